"""What a recorder says of itself at one instant, put together from what it has in hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from capture.details import Details
from capture.errors import CaptureError
from capture.free_space import free_bytes
from capture.limits import Limits
from capture.memory import Memory
from capture.open_rig import OpenRig
from capture.operator_desk import OperatorDesk
from capture.recorder_state import Mode, RecorderState, Sound
from capture.recording_info import EpisodeInfo
from capture.session import Session
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK

TellOrders = Callable[[Details, Sequence[EpisodeInfo]], Sequence[str]]


class Reporter:
    """Any thread may ask; it waits for no command that is being carried out. order_lines: what an order still asks for."""

    def __init__(
        self, workspace: Workspace, limits: Limits, sensors: OpenRig, desk: OperatorDesk, order_lines: TellOrders
    ) -> None:
        self._workspace = workspace
        self._limits = limits
        self._sensors = sensors
        self._desk = desk
        self._order_lines = order_lines

    def state(
        self, rig: str, details: Details, session: Session | None, memory: Memory | None, sound: Sound, last_folder: str, last_trouble: str
    ) -> RecorderState:  # fmt: skip
        """session: the recording under way. last_folder, last_trouble: of the one before it."""
        queue, watch = self._sensors.intake.queue, self._sensors.watch
        free, disk_trouble = self._free_bytes()
        state = RecorderState(
            mode=_mode(session, memory),
            rig=rig,
            streams=watch.streams(None if session is None else session.tallies),
            last_folder=last_folder,
            **details.as_dict(),
            order_lines=tuple(self._order_lines(details, () if session is None else self._desk.episodes)),
            queue_bytes=queue.size_bytes,
            queue_bound_bytes=queue.bound_bytes,
            queue_age_ms=queue.age_s() * 1e3,
            free_bytes=free,
            disk_left_s=watch.disk_left_s(free, self._limits.free_bytes),
            kept_s=0.0 if memory is None else memory.reach_s,
            kept_asked_s=0.0 if memory is None else memory.asked_s,
            episode=self._desk.episode_state(),
            marks=self._desk.marks,
            sound=sound,
        )
        state = state if session is None else _with_session(state, session)
        trouble = [last_trouble, disk_trouble, *self._sensors.alarms]
        trouble += [] if memory is None else [memory.alarm]
        trouble += [] if session is None else session.doubts
        return replace(state, alarms=(*filter(None, trouble), *watch.alarms(state)))

    def _free_bytes(self) -> tuple[int | None, str]:
        """On the disk, and why that is not known."""
        try:
            return free_bytes(self._workspace), ""
        except CaptureError as error:
            return None, str(error)


def _mode(session: Session | None, memory: Memory | None) -> Mode:
    if session is not None:
        return session.mode
    return "standby" if memory is None else "snapshot"


def _with_session(state: RecorderState, session: Session) -> RecorderState:
    return replace(
        state,
        recording_id=session.folder.name,
        folder=str(session.folder),
        elapsed_s=((session.ended_ns or HOST_CLOCK.now_ns()) - session.started_ns) / 1e9,
        file_bytes=session.bag.size_bytes,
        segment=session.bag.number,
        synced_s_ago=session.bag.synced_s_ago,
    )
