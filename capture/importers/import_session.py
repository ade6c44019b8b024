"""A recording that is being made of somebody else's log: whole and in its place in the end, or not there at all."""

from __future__ import annotations

import errno
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from capture.bag.segments import ClosedSegment, SegmentedBag, Split
from capture.clock.filter import ClockFit
from capture.errors import CaptureError
from capture.importers import Progress
from capture.importers.lane import Lane
from capture.importers.origin import ORIGIN, ORIGINAL, Origin
from capture.lock import FolderLock, is_held, one_at_a_time
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import Losses
from capture.whole_file import sync_folder, write_whole
from capture.workspace import Workspace
from devices.device import Stream
from devices.rig import Rig
from devices.samples import Packet

_STAGING = ".importing"
_PROGRESS_EVERY = 64
_SPLIT = Split(seconds_max=math.inf)  # by size: how long an import takes says nothing of its log
_FULL = (errno.ENOSPC, errno.EDQUOT)


class ImportSession:
    """Used as a context: what add() took is a finished recording behind it; an error or an interrupt leaves nothing behind.

    streams: in the order of add()'s index. source: the log; the hashes of all of its files go with the recording. taken: those whose content
    the messages hold. Of the others small texts are kept, and the rest is named as left out. total: messages expected, for ``progress``.
    """

    def __init__(
        self,
        workspace: Workspace,
        rig: Rig,
        streams: Sequence[Stream],
        source: Path,
        taken: Iterable[Path],
        *,
        total: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.source = source
        self._workspace = workspace
        self._rig = rig
        self._streams = list(streams)
        self._total = total
        self._progress = progress
        self._done = 0
        self._notes = [f"imported from {source.name}; {ORIGIN} holds the SHA-256 of each of its files"]
        self._doubts: list[str] = []
        self._lost: dict[str, int] = {}
        self._sigma_ns = 0.0
        self._origin = Origin(source, taken, (workspace.recordings, workspace.root / _STAGING))
        self._closed: list[ClosedSegment] = []

    def __enter__(self) -> Self:
        try:
            self._stage, self._lock = _stage_in(self._workspace)
        except OSError as error:
            raise self._readable(error) from None
        try:
            self._folder, self._info = begin_folder(Workspace(self._stage), self._rig, self._streams)
            self._lanes = [Lane(self._rig, stream) for stream in self._streams]
            self._bag = SegmentedBag(self._folder, self._streams, _SPLIT, self._closed.append)
        except BaseException as error:
            self._abandon()
            raise self._readable(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._finish()
                return
            except BaseException as failure:
                self._abandon()
                raise self._readable(failure) from None
        try:
            self._bag.finish()
        finally:
            self._abandon()
        if isinstance(error, OSError):
            raise self._readable(error) from None

    @property
    def folder(self) -> Path:
        """Where the recording lies once the session is over."""
        return self._workspace.recordings / self._folder.name

    def add(self, stream: int, packet: Packet, *, stamp_ns: int | None = None, clock_ns: int | None = None) -> None:
        """One packet of the stream of this index.

        stamp_ns: its capture time, where the log knows it. clock_ns: the newest instant in it on its sensor's own clock, by which that clock
        is put against the arrivals; None where the sensor's clock is the log's.
        """
        lane = self._lanes[stream]
        if not lane.holds(packet.stamps.host_ns) or (stamp_ns is not None and not lane.holds(stamp_ns)):
            lane.impossible += 1
            return
        known_ns = lane.stamp_ns(packet, clock_ns) if stamp_ns is None else stamp_ns
        self._bag.add(stream, lane.packets, packet, known_ns)
        lane.take(packet)
        self._done += 1
        if self._progress is not None and (self._done % _PROGRESS_EVERY == 0 or self._done == self._total):
            self._progress(self._done, max(self._total, self._done))

    def expect(self, total: int) -> None:
        """How many messages there will be, as far as one can tell by now."""
        self._total = total

    def note(self, text: str) -> None:
        """What a reader of the recording should know."""
        self._notes.append(text)

    def doubt(self, text: str) -> None:
        """What makes the recording doubtful."""
        self._doubts.append(text)

    def lost(self, stream: str, packets: int) -> None:
        """Packets that the log itself lacks."""
        self._lost[stream] = packets

    def time_known_to(self, sigma_ns: float) -> None:
        """One standard deviation of the log's own time against UTC: of each sensor's clock nobody knows more."""
        self._sigma_ns = sigma_ns

    def keep(self, file: Path) -> None:
        """Copies a source file into the recording's folder, under its name in the source, hashed on its way."""
        self._origin.keep(file, self._folder)

    def keep_bytes(self, content: bytes, name: str) -> None:
        """A part of the log that is no stream, as a file of its own in the recording's folder."""
        target = self._folder / ORIGINAL / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)

    def check_understood(self) -> None:
        """Raises CaptureError when nothing that came was what its stream's decoder knows: the log is of something else."""
        spoken = [lane for lane in self._lanes if lane.packets]
        if spoken and all(lane.is_foreign for lane in spoken):
            why = "; ".join(reason for lane in spoken for reason in lane.reasons())
            raise CaptureError(f"nothing in {self.source} is what its sensors send ({why}); nothing of it was kept")

    def _finish(self) -> None:
        self._bag.finish()
        if not self._done:
            why = "; ".join([*self._doubts, *(reason for lane in self._lanes for reason in lane.reasons())])
            raise CaptureError(
                f"{self.source} holds no message{f' that could be taken in ({why})' if why else ''}; nothing was imported"
            )
        if (failure := self._bag.unclosed or self._bag.sync_failure) is not None:
            raise failure
        files = {each.info.name: each.summary for each in self._closed}
        written = sum(each.messages for each in files.values())
        if written != self._done:
            raise CaptureError(
                f"{self._done - written} of {self._done} messages of {self.source} did not reach {self._workspace.recordings}: "
                "its disk is full, or fails; nothing of it was kept"
            )
        self._origin.take_down(self._folder, self._tell_hashed)
        reasons = [
            *self._doubts,
            *self._origin.doubts(),
            *(reason for lane in self._lanes for reason in lane.reasons()),
        ]
        changes = {
            "started_ns": min(each.start_ns for each in files.values()),
            "ended_ns": max(each.end_ns for each in files.values()),
            "losses": {stream.name: Losses(before_read=self._lost.get(stream.name, 0)) for stream in self._streams},
            "clocks": {lane.stream.name: self._clock_of(lane) for lane in self._lanes if lane.clock.fit() is not None},
            "segments": tuple(each.info for each in self._closed),
            "verdict": "doubtful" if reasons else "good",
            "reasons": tuple(reasons),
            "notes": (*self._notes, *self._origin.notes()),
        }
        sums = {each.info.name: each.info.sha256 for each in self._closed} | self._origin.kept
        close_folder(self._folder, self._info.model_copy(update=changes), files, sums)
        self._workspace.recordings.mkdir(parents=True, exist_ok=True)
        self._folder.rename(self.folder)
        sync_folder(self._workspace.recordings)
        self._abandon()

    def _clock_of(self, lane: Lane) -> tuple[ClockFit, ...]:
        return tuple(replace(fit, sigma_ns=math.hypot(fit.sigma_ns, self._sigma_ns)) for fit in lane.clock.history())

    def _tell_hashed(self, done_bytes: int, total_bytes: int) -> None:
        if self._progress is not None:
            self._progress(done_bytes // 1_000_000, total_bytes // 1_000_000, "MB hashed")

    def _abandon(self) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)
        self._lock.release()
        with suppress(OSError):  # another import may be at work beside this one
            self._stage.parent.rmdir()

    def _readable(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError):
            return error
        advice = "; free some space there, or give another --workspace" if error.errno in _FULL else ""
        return CaptureError(
            f"cannot import {self.source} into {self._workspace.recordings}: {error}; nothing of it was kept{advice}"
        )


def _stage_in(workspace: Workspace) -> tuple[Path, FolderLock]:
    """A folder beside the recordings in which an import makes its own; those of imports that were killed go."""
    staging = workspace.root / _STAGING
    staging.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(staging):
        for left in staging.iterdir():
            if not is_held(left):
                shutil.rmtree(left, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(dir=staging))
        return stage, FolderLock(stage)
