"""One recording: from its first packet to a finished folder."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from capture import heap
from capture.account import account, untold
from capture.bag.segments import ClosedSegment, SegmentedBag
from capture.clock.filter import ClockFilter
from capture.clock.fit import ClockFit
from capture.clock_note import clock_note
from capture.health_topic import HEALTH_S, HealthTopic
from capture.limits import Limits
from capture.packet_queue import PacketQueue, Queued
from capture.recorder_state import Mode
from capture.recording_folder import RecordingFolder
from capture.recording_info import Interruption, MarkInfo, Pause, RecordingInfo
from capture.retention import Retention
from capture.tally import Tally
from devices.host_clock import HOST_CLOCK
from devices.rig import RECORDER

_T = TypeVar("_T")
_MB = 1e6
_OTHER_DISK = "free some space, or record to another disk"


class Session:
    """A sink of the writer thread, which alone calls take(), withhold() and tend() until the session is finished.

    ``trouble`` says in one line why recording cannot go on, and what to do: the disk is nearly full (all that was taken in is still
    written), or refused a write, or the writer failed (what was taken in since is not in the file, and is counted). Raises OSError when
    the disk does not take the first chunk: no file is left then.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        tallies: Sequence[Tally],
        clocks: Sequence[ClockFilter],
        queue: PacketQueue,
        limits: Limits,
    ) -> None:
        self.tallies = tallies
        self.trouble = ""
        self._folder = folder
        self._clocks = clocks
        self._limits = limits
        self._retention = None if limits.keep_bytes is None else Retention(folder.path, limits.keep_bytes)
        self._ended_ns = 0
        self._disk_refuses = False
        self._doubts: list[str] = []
        self._clock_note = ""
        self._closed: list[ClosedSegment] = []
        streams = [tally.inlet.stream for tally in tallies]
        self.bag = SegmentedBag(folder.path, streams, limits.split, self._note_closed)
        try:
            self._health = HealthTopic(self.bag, tallies, clocks, queue)
            self._put_health()
            self.bag.close_chunk()  # so that the file's first chunk, with all its schemas and channels, is on its way at once
        except BaseException:
            self.bag.discard()
            raise

    # its life; at_ns: host arrival, at which every inlet's border has just been drawn

    def begin(self, at_ns: int) -> None:
        for tally in self.tallies:
            tally.begin()
        self._folder.change(started_ns=at_ns)

    def pause(self, at_ns: int) -> None:
        for tally in self.tallies:
            if tally.inlet.stream.sensor != RECORDER:  # what the crew points out is recorded meanwhile, too
                tally.pause()
        self._folder.change(pauses=(*self._folder.info.pauses, Pause(from_ns=at_ns, to_ns=None)))

    def resume(self, at_ns: int) -> None:
        for tally in self.tallies:
            tally.resume()
        self._folder.change(pauses=tuple(each.ended(at_ns) for each in self._folder.info.pauses))

    def end(self, at_ns: int) -> None:
        if self.is_paused:
            self.resume(at_ns)
        for tally in self.tallies:
            tally.end()
        self._ended_ns = at_ns

    def discard(self) -> None:
        """In place of all that, where the writer thread has ended before it: nothing of it is left."""
        self.bag.discard()
        self._folder.abandon()

    def take_down(self, **changes: Any) -> None:
        """What recording.json says by now: a recorder that is killed leaves it behind."""
        self._folder.save(**changes)

    def take_down_interruptions(self, interruptions: tuple[Interruption, ...]) -> None:
        if interruptions != self.interruptions:
            self.take_down(interruptions=interruptions)

    def take_down_clock(self) -> None:
        """When this machine's clock was set meanwhile, which is a note: the recording's own time runs on."""
        known, said = self._clock_note, clock_note(HOST_CLOCK.sets, self.started_ns)
        if said != known:
            self._clock_note = said
            self.take_down(notes=(*(each for each in self._folder.info.notes if each not in (known, said)), said))

    # the writer thread's part

    def take(self, queued: Queued, stamp_ns: int) -> None:
        """Writes a packet, or counts that it could not be written."""
        index = queued.inlet.index
        sequence = self.tallies[index].admit(queued)
        if self._disk_refuses:
            return
        try:
            self.bag.add(index, sequence, queued.packet, stamp_ns)
        except (struct.error, ValueError, TypeError) as error:  # this packet cannot be stated; the next one can
            self.doubt(f"{queued.inlet.stream.name}: packets that no message can state were not written ({error})")
        except Exception as error:  # a defect must not end the one thread that writes in silence either
            self._give_up(error)

    def withhold(self, queued: Queued) -> None:
        """A packet that arrived before the recording or while it was paused."""
        self.tallies[queued.inlet.index].withhold()

    def tend(self) -> float:
        """Does what is due: the open chunk, health, a look at the disk. Returns in how many seconds something is due again."""
        if self._disk_refuses:
            return HEALTH_S
        try:
            if self._health.is_due:
                self._put_health()
                self._check_space()
                self._check_disk()
            return self.bag.close_chunk_in_time()
        except Exception as error:
            self._give_up(error)
            return HEALTH_S

    # anybody's part

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def mode(self) -> Mode:
        return "closing" if self._ended_ns else "paused" if self.is_paused else "recording"

    @property
    def pauses(self) -> tuple[Pause, ...]:
        return self._folder.info.pauses

    @property
    def interruptions(self) -> tuple[Interruption, ...]:
        """As taken down by now."""
        return self._folder.info.interruptions

    @property
    def marks(self) -> tuple[MarkInfo, ...]:
        """As taken down by now."""
        return self._folder.info.marks

    @property
    def is_paused(self) -> bool:
        pauses = self.pauses
        return bool(pauses) and pauses[-1].to_ns is None

    @property
    def started_ns(self) -> int:
        return self._folder.info.started_ns

    @property
    def ended_ns(self) -> int:
        """0 while it goes on."""
        return self._ended_ns

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the recording by now, beside losses and gaps."""
        return tuple(self._doubts)

    def doubt(self, reason: str) -> None:
        if reason not in self._doubts:
            self._doubts.append(reason)

    # the end

    def finish(self, interruptions: tuple[Interruption, ...]) -> RecordingInfo:
        """Closes the folder with its metadata, verdict and hashes. The writer thread must have let go of the session."""
        try:
            fits = {
                tally.inlet.stream.name: self._told(
                    "a clock", partial(clock.history, self.started_ns), tuple[ClockFit, ...]()
                )
                for tally, clock in zip(self.tallies, self._clocks, strict=True)
            }
            self._finish_files(fits)
            self._folder.change(interruptions=interruptions)
            self._told("this machine's clock", self.take_down_clock, None)
            self._account(fits)
            return self._close_folder()
        finally:
            self._folder.release()
            heap.give_back()

    def _finish_files(self, fits: Mapping[str, Sequence[ClockFit]]) -> None:
        try:
            if not self._disk_refuses:
                self._put_health()
                self._health.put_last_clocks(fits)
                self.bag.close_chunk()
        except OSError as error:
            self._give_up(error)
        except Exception as error:  # a defect there must not cost the file its end
            self.doubt(untold("health", error))
        self.bag.finish()
        self._check_disk()

    def _account(self, fits: Mapping[str, tuple[ClockFit, ...]]) -> None:
        clock_doubts = self._told("a clock", lambda: self._health.doubts, list[str]())
        clock_notes = self._told("a clock", lambda: self._health.notes, list[str]())
        doubts = [*self._doubts, *clock_doubts, *([self.trouble] if self.trouble else [])]
        said = account(self._folder.info, self.tallies, fits, self._ended_ns, doubts)
        self._folder.change(**said)
        self._folder.change(notes=(*self._folder.info.notes, *clock_notes))

    def _close_folder(self) -> RecordingInfo:
        if (unclosed := self.bag.unclosed) is not None:
            self._folder.save()  # the recording stays unfinished, with all that is known of it
            raise unclosed
        deleted = {segment.name for segment in self._folder.info.segments if segment.deleted}
        present = [each for each in self._closed if each.info.name not in deleted]
        files = {each.info.name: each.summary for each in present}
        return self._folder.close(files, {each.info.name: each.info.sha256 for each in present})

    # what it meets

    def _note_closed(self, segment: ClosedSegment) -> None:
        """A file is complete; the closing thread says so."""
        heap.give_back_quickly()
        self._closed.append(segment)
        segments = (*self._folder.info.segments, segment.info)
        self._folder.save(segments=segments)
        if self._retention is None:
            return
        try:
            segments = self._retention.without_oldest(segments)
            if self._folder.save(segments=segments):
                self._retention.delete()
        except OSError as error:
            self.doubt(f"an older file could not be given up: {error}")
        for doubt in self._retention.doubts:
            self.doubt(doubt)

    def _put_health(self) -> None:
        self._health.put()
        if self._health.failure:
            self.doubt(self._health.failure)

    def _told(self, what: str, tell: Callable[[], _T], otherwise: _T) -> _T:
        """A defect there must not cost the recording its end."""
        try:
            return tell()
        except Exception as error:
            self.doubt(untold(what, error))
            return otherwise

    def _give_up(self, error: Exception) -> None:
        self._disk_refuses = True
        if isinstance(error, OSError):
            why = f"the disk refused a write at {self.bag.size_bytes / _MB:.1f} MB: {error.strerror}; {_OTHER_DISK}"
        else:
            why = f"the writer failed: {type(error).__name__}: {error}; report this, and record again"
        self.trouble = self.trouble or why

    def _check_space(self) -> None:
        free_bytes, floor_bytes = self.bag.free_bytes(), self._limits.free_bytes
        if free_bytes is not None and free_bytes < floor_bytes:
            kept_back = f"{floor_bytes / _MB:.0f} MB are kept back"
            self.trouble = (
                self.trouble or f"the disk is nearly full: {free_bytes / _MB:.0f} MB free, {kept_back}; {_OTHER_DISK}"
            )

    def _check_disk(self) -> None:
        if (failure := self.bag.sync_failure) is not None:
            self.doubt(f"the disk did not keep all that it had taken: {failure}; check it, and record to another one")
        if (unclosed := self.bag.unclosed) is not None:
            self.doubt(
                f"a file could not be closed: {unclosed}; run `fieldrig repair` on the recording once it has ended"
            )
