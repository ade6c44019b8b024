"""One recording: from its first packet to a finished folder."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from capture.bag.messages import Status
from capture.bag.rosbag import topic_of
from capture.bag.segments import ClosedSegment, SegmentedBag
from capture.clock.filter import ClockFilter
from capture.clock.fit import ClockFit
from capture.clock.samples import ClockSampler
from capture.details import Details
from capture.errors import CaptureError
from capture.health import OK, WARNING, Rate, judge, silent_sensors, stream_status
from capture.intake import Absence
from capture.limits import Limits
from capture.packet_queue import PacketQueue, Queued
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import Episode, Interruption, Losses, Pause, RecordingInfo
from capture.retention import delete_given_up, without_oldest
from capture.tally import Tally
from capture.workspace import Workspace
from devices.rig import RECORDER, Rig

HEALTH_S = 1.0
_WAITED_NS = 10_000_000_000  # the longest that datagrams may have waited; what is older was played from a file
UNSYNCED_S = 2.0  # what a power cut may cost; beyond it the health topic warns
_MB = 1e6
_OTHER_DISK = "free some space, or record to another disk"


class Session:
    """A sink of the writer thread, which alone calls take(), withhold() and tend() until the session is finished.

    ``trouble`` says in one line why recording cannot go on, and what to do: the disk is nearly full (all that was taken in is still
    written), or refused a write, or the writer failed (what was taken in since is not in the file, and is counted).
    """

    def __init__(
        self,
        rig: Rig,
        workspace: Workspace,
        tallies: Sequence[Tally],
        clocks: Sequence[ClockFilter],
        queue: PacketQueue,
        details: Details,
        limits: Limits,
    ) -> None:
        self.tallies = tallies
        self.trouble = ""
        streams = [tally.inlet.stream for tally in tallies]
        self.folder, self._info = begin_folder(workspace, rig, streams, details)
        self._clocks = clocks
        self._clock_sampler = ClockSampler([stream.name for stream in streams], clocks)
        self._queue = queue
        self._limits = limits
        self._disk_refuses = False
        self._doubts: list[str] = []
        self._next_health_s = 0.0
        self._changing = threading.Lock()
        self._rates = [Rate() for _ in tallies]
        self._closed: list[ClosedSegment] = []
        self._bag = SegmentedBag(self.folder, streams, limits.split, self._note_closed)
        self._put_health()
        self._bag.close_chunk()  # so that the file's first chunk, with all its schemas and channels, is on its way at once

    def begin_tallies(self) -> None:
        """What was lost until now is not this recording's loss."""
        for tally in self.tallies:
            tally.begin()

    def begin(self, started_ns: int) -> None:
        """Takes down since when what arrives belongs to the recording."""
        self._save(started_ns=started_ns)

    # the writer thread's part

    def take(self, queued: Queued, stamp_ns: int) -> None:
        """Writes a packet, or counts that it could not be written."""
        index = queued.inlet.index
        sequence = self.tallies[index].admit(queued)
        if self._disk_refuses:
            return
        try:
            self._bag.add(index, sequence, queued.packet, stamp_ns)
        except (struct.error, ValueError, TypeError) as error:  # this packet cannot be stated; the next one can
            self._doubt(f"{queued.inlet.stream.name}: packets that no message can state were not written ({error})")
        except Exception as error:  # a defect must not end the one thread that writes in silence either
            self._give_up(error)

    def withhold(self, queued: Queued) -> None:
        """A packet that arrived before the recording or while it was paused."""
        self.tallies[queued.inlet.index].withhold(queued)

    def tend(self) -> float:
        """Does what is due: the open chunk, health, a look at the disk. Returns in how many seconds something is due again."""
        if self._disk_refuses:
            return HEALTH_S
        try:
            if time.monotonic() >= self._next_health_s:
                self._try_to_put_health()
                self._check_space()
                self._check_disk()
            return self._bag.close_chunk_in_time()
        except Exception as error:
            self._give_up(error)
            return HEALTH_S

    # anybody's part

    @property
    def started_ns(self) -> int:
        return self._info.started_ns

    @property
    def size_bytes(self) -> int:
        return self._bag.size_bytes

    @property
    def segment(self) -> int:
        """The number of the file being written, from 0."""
        return self._bag.number

    @property
    def synced_s_ago(self) -> float:
        return self._bag.synced_s_ago

    def silent_sensors(self) -> list[str]:
        return silent_sensors(self.tallies)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the recording by now, beside losses and gaps."""
        return tuple(self._doubts)

    def doubt(self, reason: str) -> None:
        """A reason against the recording that others have met."""
        self._doubt(reason)

    def take_down_interruptions(self, absences: Sequence[Absence]) -> None:
        """As known by now: a recorder that is killed leaves them behind."""
        interruptions = tuple(_interruption(absence, self.started_ns) for absence in absences)
        if interruptions != self._info.interruptions:
            self._save(interruptions=interruptions)

    def take_down_pause(self, from_ns: int, to_ns: int) -> None:
        """Nothing was written of what arrived between."""
        self._save(pauses=(*self._info.pauses, Pause(from_ns=from_ns, to_ns=to_ns)))

    def take_down_episodes(self, episodes: tuple[Episode, ...]) -> None:
        self._save(episodes=episodes)

    def describe(self, details: Details) -> None:
        self._save(**details.as_dict())

    # the end

    def finish(self, ended_ns: int, absences: Sequence[Absence]) -> RecordingInfo:
        """Closes the folder with its metadata, verdict and hashes. The writer thread must have let go of the session."""
        for tally in self.tallies:
            tally.end()
        fits = {
            tally.inlet.stream.name: clock.history(self.started_ns)
            for tally, clock in zip(self.tallies, self._clocks, strict=True)
        }
        self._finish_files(fits)
        losses = {tally.inlet.stream.name: self._losses(tally) for tally in self.tallies}
        interruptions = [_interruption(absence, self.started_ns) for absence in absences]
        verdict, reasons, notes = judge(
            self.tallies, losses, fits, interruptions, self._limits.silent_s, self.started_ns, ended_ns
        )
        if doubts := [*self._doubts, *([self.trouble] if self.trouble else [])]:
            verdict, reasons = "bad" if verdict == "bad" else "doubtful", [*reasons, *doubts]
        self._change(
            started_ns=self._started_ns(),
            ended_ns=ended_ns,
            losses=losses,
            clocks={name: of_stream for name, of_stream in fits.items() if of_stream},
            interruptions=tuple(interruptions),
            verdict=verdict,
            reasons=tuple(reasons),
            notes=(*self._info.notes, *notes, *self._clock_sampler.notes(), *_never_ended(self._info.episodes)),
        )
        if (unclosed := self._bag.unclosed) is not None:  # the recording stays unfinished, with all that is known of it
            self._save()
            raise unclosed
        deleted = {segment.name for segment in self._info.segments if segment.deleted}
        present = [each for each in self._closed if each.info.name not in deleted]
        files = {each.info.name: each.summary for each in present}
        return close_folder(self.folder, self._info, files, {each.info.name: each.info.sha256 for each in present})

    def _started_ns(self) -> int:
        """Of a recording that begins with its recorder, what had waited in the sockets is part."""
        firsts = [tally.first_ns for tally in self.tallies if tally.admitted]
        return min([self.started_ns, *(first for first in firsts if first > self.started_ns - _WAITED_NS)])

    def _finish_files(self, fits: Mapping[str, Sequence[ClockFit]]) -> None:
        try:
            if not self._disk_refuses:
                self._try_to_put_health()
                self._bag.add_clocks(time.time_ns(), self._clock_sampler.last_samples(fits))
                self._bag.close_chunk()
        except OSError as error:
            self._give_up(error)
        self._bag.finish()
        self._check_disk()

    def _losses(self, tally: Tally) -> Losses:
        topic = topic_of(tally.inlet.stream.name)
        return tally.losses(sum(each.info.counts.get(topic, 0) for each in self._closed))

    def _note_closed(self, segment: ClosedSegment) -> None:
        """A file is complete; the closing thread says so."""
        self._closed.append(segment)
        segments = (*self._info.segments, segment.info)
        self._save(segments=segments)
        if self._limits.keep_bytes is None:
            return
        try:
            segments = without_oldest(self.folder, segments, self._limits.keep_bytes)
            if self._save(segments=segments):
                delete_given_up(self.folder, segments)
        except (CaptureError, OSError) as error:
            self._doubt(f"an older file could not be given up: {error}")

    def _save(self, **changes: Any) -> bool:
        """While the recording goes on; whether it is on the disk. A full disk refuses this, too: it is written at the end then."""
        with self._changing:
            self._change(**changes)
            try:
                self._info.save(self.folder)
            except OSError:
                return False
            return True

    def _change(self, **changes: Any) -> None:
        self._info = self._info.model_copy(update=changes)

    def _give_up(self, error: Exception) -> None:
        self._disk_refuses = True
        if isinstance(error, OSError):
            why = f"the disk refused a write at {self._bag.size_bytes / _MB:.1f} MB: {error.strerror}; {_OTHER_DISK}"
        else:
            why = f"the writer failed: {type(error).__name__}: {error}; report this, and record again"
        self.trouble = self.trouble or why

    def _check_space(self) -> None:
        free_bytes, floor_bytes = self._bag.free_bytes(), self._limits.free_bytes
        if free_bytes < floor_bytes:
            kept_back = f"{floor_bytes / _MB:.0f} MB are kept back"
            self.trouble = (
                self.trouble or f"the disk is nearly full: {free_bytes / _MB:.0f} MB free, {kept_back}; {_OTHER_DISK}"
            )

    def _check_disk(self) -> None:
        """What the threads beside this one have met."""
        if (failure := self._bag.sync_failure) is not None:
            self._doubt(f"the disk did not keep all that it had taken: {failure}; check it, and record to another one")
        if (unclosed := self._bag.unclosed) is not None:
            self._doubt(
                f"a file could not be closed: {unclosed}; run `fieldrig repair` on the recording once it has ended"
            )

    def _try_to_put_health(self) -> None:
        """A driver that cannot say how it does must not end the recording."""
        try:
            self._put_health()
        except OSError:
            raise
        except Exception as error:
            self._doubt(f"health could not be told at all times: {type(error).__name__}: {error}")

    def _doubt(self, reason: str) -> None:
        if reason not in self._doubts:
            self._doubts.append(reason)

    def _put_health(self) -> None:
        self._next_health_s = time.monotonic() + HEALTH_S
        now_ns = time.time_ns()
        statuses = [self._own_status()]
        for tally, rate, clock in zip(self.tallies, self._rates, self._clocks, strict=True):
            recorded, hz = self._bag.accepted(tally.inlet.index), rate.update(tally.inlet.received)
            statuses.append(stream_status(tally, recorded, hz, clock, now_ns, self._limits.silent_s))
        self._bag.add_health(now_ns, statuses)
        self._bag.add_clocks(now_ns, self._clock_sampler.samples())

    def _own_status(self) -> Status:
        values = {
            "queue_bytes": str(self._queue.size_bytes),
            "queue_age_ms": f"{self._queue.age_s() * 1e3:.0f}",
            "file_bytes": str(self._bag.size_bytes),
            "free_bytes": str(self._bag.free_bytes()),
            "synced_ms_ago": f"{self._bag.synced_s_ago * 1e3:.0f}",
            "written_p99_ms": f"{self._bag.delay.quantile_ms(0.99):.0f}",
            "written_longest_ms": f"{self._bag.delay.longest_ns / 1e6:.0f}",
        }
        if self._bag.synced_s_ago > UNSYNCED_S:
            said = f"the disk has kept nothing safe from a power cut for {self._bag.synced_s_ago:.0f} s"
            return Status(WARNING, "recorder", said, values)
        behind = self._queue.size_bytes > self._queue.bound_bytes // 2
        said = "the disk is slower than the sensors" if behind else "writing"
        return Status(WARNING if behind else OK, "recorder", said, values)


class Paused:
    """A sink that stands in for a session while it is paused."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, queued: Queued, stamp_ns: int) -> None:
        if queued.inlet.stream.sensor == RECORDER:
            self._session.take(queued, stamp_ns)  # what the crew points out meanwhile belongs to the recording
        else:
            self._session.withhold(queued)

    def tend(self) -> float:
        return self._session.tend()


def _never_ended(episodes: Sequence[Episode]) -> list[str]:
    return [f"the episode '{episode.task}' was not ended by the crew" for episode in episodes if not episode.outcome]


def _interruption(absence: Absence, started_ns: int) -> Interruption:
    return Interruption(
        sensor=absence.sensor,
        from_ns=max(absence.from_ns, started_ns),
        to_ns=absence.to_ns,
        why=absence.why,
        changed=absence.changed,
    )
