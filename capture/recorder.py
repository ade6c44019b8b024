"""Records a rig: from its sensors to a finished recording in the workspace."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capture.errors import CaptureError
from capture.health import Rate, judge, silent_sensors
from capture.intake import Inlet, PacketQueue, open_inlets, start_reading
from capture.mcap_file import FileSummary
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import Losses
from capture.rosbag import topic_of
from capture.workspace import Workspace
from capture.writer import BagWriter
from capture.writer_thread import WriterThread
from devices.rig import Rig

_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """queue_bytes: what may wait for the disk. free_bytes: what is left free on it. silent_s: how long a sensor may say nothing."""

    queue_bytes: int = 256 << 20
    free_bytes: int = 512 << 20
    silent_s: float = 5.0


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """One stream while it is being recorded; lost: before and in the queue; silent_s: since its newest packet, None before the first."""

    name: str
    received: int
    rate_hz: float
    bytes_s: float
    lost: int
    silent_s: float | None
    failure: str


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """A recording in progress."""

    folder: Path
    elapsed_s: float
    streams: tuple[StreamProgress, ...]
    queue_bytes: int
    file_bytes: int
    free_bytes: int
    synced_s_ago: float


def record(
    rig: Rig,
    workspace: Workspace,
    *,
    duration_s: float | None,
    stop: threading.Event | None = None,
    progress: Callable[[RecordingProgress], None] | None = None,
    site: str = "",
    task: str = "",
    operator: str = "",
    limits: Limits | None = None,
) -> Path:
    """Records until ``duration_s`` has passed, ``stop`` is set, or every source has said its last word; returns the recording's folder.

    Raises DeviceError when a sensor cannot be reached, CaptureError when one stays silent or fails at the start, or when the disk
    fills; in the latter cases what was recorded until then is finished and whole, and the message says where it lies.
    """
    limits = limits or Limits()
    _check_space(workspace, limits)
    inlets = open_inlets(rig)
    try:
        session = _Session(rig, workspace, inlets, limits, site=site, task=task, operator=operator)
        try:
            trouble = session.run(duration_s, stop or threading.Event(), progress)
        finally:
            session.finish()
    except OSError as error:
        raise CaptureError(
            f"the disk at {workspace.root} fails: {error}; free some space, then `fieldrig repair` what is in {workspace.recordings}"
        ) from None
    finally:
        for inlet in inlets:
            inlet.source.close()
    if trouble:
        raise CaptureError(f"{trouble}; what was recorded until then is complete in {session.folder}")
    return session.folder


class _Session:
    """A recording from its first packet to its last."""

    def __init__(
        self,
        rig: Rig,
        workspace: Workspace,
        inlets: Sequence[Inlet],
        limits: Limits,
        *,
        site: str,
        task: str,
        operator: str,
    ) -> None:
        streams = [inlet.stream for inlet in inlets]
        self.folder, self._info = begin_folder(workspace, rig, streams, site=site, task=task, operator=operator)
        self._inlets = inlets
        self._limits = limits
        self._bag = BagWriter(self.folder / f"{self.folder.name}_0.mcap", streams)
        self._queue = PacketQueue(limits.queue_bytes)
        latencies = [rig.sensors[inlet.stream.sensor].least_latency_ns for inlet in inlets]
        self._writer = WriterThread(self._bag, self._queue, inlets, latencies, limits.free_bytes, limits.silent_s)
        self._halt = threading.Event()
        self._rates = [(Rate(), Rate()) for _ in inlets]
        self._started_s = time.monotonic()
        self._writer.start()
        self._readers = start_reading(inlets, self._queue, self._halt)

    def run(
        self, duration_s: float | None, stop: threading.Event, progress: Callable[[RecordingProgress], None] | None
    ) -> str:
        """Waits for the end; returns why it came too early, in one line, or nothing."""
        started_well = False
        while True:
            elapsed_s = time.monotonic() - self._started_s
            if progress is not None:
                progress(self._progress(elapsed_s))
            if self._writer.trouble:
                return f"recording stopped: {self._writer.trouble}"
            finished = all(inlet.finished for inlet in self._inlets)
            if not started_well and (finished or elapsed_s >= self._limits.silent_s):
                if trouble := self._start_trouble(elapsed_s):
                    return trouble
                started_well = True
            left_s = _TICK_S if duration_s is None else min(_TICK_S, duration_s - elapsed_s)
            if left_s <= 0 or finished or stop.wait(left_s):
                return ""

    def finish(self) -> None:
        """Everything that has arrived goes to the disk; then the folder is closed with its metadata, verdict and hashes."""
        self._halt.set()
        ended_ns = time.time_ns()
        for reader in self._readers:
            reader.join()
        self._queue.close()
        self._writer.join()
        summary, sha256 = self._bag.finish()
        losses = {inlet.stream.name: _losses(inlet, summary) for inlet in self._inlets}
        verdict, reasons, notes = judge(self._inlets, losses, self._writer.clocks, self._limits.silent_s, ended_ns)
        if self._writer.trouble:
            verdict, reasons = "bad" if verdict == "bad" else "doubtful", [*reasons, self._writer.trouble]
        fits = {inlet.stream.name: clock.fit() for inlet, clock in zip(self._inlets, self._writer.clocks, strict=True)}
        changes = {
            "ended_ns": ended_ns,
            "losses": losses,
            "clocks": {name: fit for name, fit in fits.items() if fit is not None},
            "verdict": verdict,
            "reasons": tuple(reasons),
            "notes": tuple(notes),
        }
        info, name = self._info.model_copy(update=changes), self._bag.path.name
        close_folder(self.folder, info, {name: summary}, {name: sha256})

    def _start_trouble(self, elapsed_s: float) -> str:
        if failed := [inlet.failure for inlet in self._inlets if inlet.failure]:
            return failed[0]
        silent = silent_sensors(self._inlets)
        if not silent:
            return ""
        return (
            f"nothing came from {', '.join(silent)} in {elapsed_s:.1f} s; check power, cable and the address that "
            "it sends to (rig.toml says where we listen), or take it out of rig.toml"
        )

    def _progress(self, elapsed_s: float) -> RecordingProgress:
        now_ns, rows = time.time_ns(), []
        for inlet, (packets, volume) in zip(self._inlets, self._rates, strict=True):
            rows.append(
                StreamProgress(
                    name=inlet.stream.name,
                    received=inlet.received,
                    rate_hz=packets.update(inlet.received),
                    bytes_s=volume.update(inlet.received_bytes),
                    lost=inlet.source.lost + inlet.dropped,
                    silent_s=(now_ns - inlet.last_ns) / 1e9 if inlet.received else None,
                    failure=inlet.failure,
                )
            )
        bag = self._bag
        return RecordingProgress(
            self.folder,
            elapsed_s,
            tuple(rows),
            self._queue.size_bytes,
            bag.size_bytes,
            bag.free_bytes(),
            bag.synced_s_ago,
        )


def _losses(inlet: Inlet, file: FileSummary) -> Losses:
    """The account of one stream: received = recorded + dropped in the queue + refused by the disk."""
    recorded = file.counts.get(topic_of(inlet.stream.name), 0)
    refused = inlet.received - inlet.dropped - recorded
    return Losses(before_read=inlet.source.lost, queue=inlet.dropped, not_written=refused)


def _check_space(workspace: Workspace, limits: Limits) -> None:
    existing = next(folder for folder in (workspace.root, *workspace.root.parents) if folder.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < limits.free_bytes:
        raise CaptureError(
            f"only {free_bytes / 1e6:.0f} MB are free at {existing}, and {limits.free_bytes / 1e6:.0f} MB are kept back; "
            "free some space, or give another --workspace"
        )
