"""A recording's bag, split into files: a new one is begun before the old one is closed, and no message falls between.

The next file is made ahead, ID_NUMBER.mcap.tmp, by the thread that closes files: on a busy disk that can take as long as packets may wait.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from capture.bag.blank_file import BlankFile
from capture.bag.clock_sample import ClockSample
from capture.bag.diagnostics import Status
from capture.bag.mcap_file import FileSummary
from capture.bag.writer import BagWriter
from capture.bag.written_delay import WrittenDelay
from capture.recording_info import SegmentInfo
from devices.device import Stream
from devices.samples import Packet


@dataclass(frozen=True, slots=True)
class Split:
    """A file is closed when it holds this much, or is this old."""

    bytes_max: int = 2 << 30
    seconds_max: float = 600.0


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A finished file."""

    info: SegmentInfo
    summary: FileSummary


class SegmentedBag:
    """Written to by one thread, as a BagWriter is. Files are closed by another, so that hashing and syncing stall nobody.

    closed: told of each file once it is complete, by the closing thread.
    """

    def __init__(
        self, folder: Path, streams: Sequence[Stream], split: Split, closed: Callable[[ClosedSegment], None]
    ) -> None:
        self._folder = folder
        self._streams = streams
        self._split = split
        self._tell = closed
        self._number = 0
        self._written_before = [0] * len(streams)
        self._bytes_before = 0
        self._ahead: SimpleQueue[BlankFile] = SimpleQueue()  # one at most
        self._is_over = False
        self._bag = self._opened()
        self._to_close: SimpleQueue[BagWriter | None] = SimpleQueue()
        self._sync_failure: OSError | None = None
        self._unclosed: Exception | None = None
        self._closer = threading.Thread(target=self._close_files, name="fieldrig-closer", daemon=True)
        self._closer.start()

    def add(self, stream: int, sequence: int, packet: Packet, stamp_ns: int) -> None:
        """One packet of the stream of this index. Raises OSError when the disk does not take it."""
        if self._bag.size_bytes >= self._split.bytes_max or time.monotonic() >= self._split_at_s:
            self._begin_next()
        self._bag.add(stream, sequence, packet, stamp_ns)

    def add_health(self, now_ns: int, statuses: Sequence[Status]) -> None:
        self._bag.add_health(now_ns, statuses)

    def add_clocks(self, now_ns: int, samples: Sequence[ClockSample]) -> None:
        self._bag.add_clocks(now_ns, samples)

    def accepted(self, stream: int) -> int:
        """How many messages of a stream add() has taken so far, in all files."""
        return self._written_before[stream] + self._bag.accepted(stream)

    def close_chunk_in_time(self) -> float:
        return self._bag.close_chunk_in_time()

    def close_chunk(self) -> None:
        self._bag.close_chunk()

    @property
    def number(self) -> int:
        """Of the file being written, from 0."""
        return self._number

    @property
    def size_bytes(self) -> int:
        """Of all files so far."""
        return self._bytes_before + self._bag.size_bytes

    def free_bytes(self) -> int | None:
        return self._bag.free_bytes()

    @property
    def synced_s_ago(self) -> float:
        return self._bag.synced_s_ago

    @property
    def delay(self) -> WrittenDelay:
        """Of the messages in the file being written."""
        return self._bag.delay

    @property
    def sync_failure(self) -> OSError | None:
        """The first time that the disk did not keep what it had taken; None when it always did."""
        return self._sync_failure or self._bag.sync_failure

    @property
    def unclosed(self) -> Exception | None:
        """Why a file could not be closed; None when all could."""
        return self._unclosed

    def finish(self) -> None:
        """Closes the last file and waits until all are complete; ``unclosed`` says what could not be."""
        self._is_over = True
        self._to_close.put(self._bag)
        self._to_close.put(None)
        self._closer.join()

    def discard(self) -> None:
        """In place of finish(), where the first file came to nothing: no file is left."""
        self._to_close.put(None)
        self._closer.join()
        self._discard_ahead()
        self._bag.discard()

    def _begin_next(self) -> None:
        full = self._bag
        full.close_chunk()
        self._number += 1
        self._bag = self._opened()
        for stream in range(len(self._streams)):
            self._written_before[stream] += full.accepted(stream)
        self._bytes_before += full.size_bytes
        self._to_close.put(full)

    def _opened(self) -> BagWriter:
        self._split_at_s = time.monotonic() + self._split.seconds_max
        path, blank = self._path(self._number), self._taken_ahead()
        return BagWriter(path if blank is None else blank.renamed(path), self._streams)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._folder.name}_{number}.mcap"

    # the closing thread, and what it hands over

    def _taken_ahead(self) -> BlankFile | None:
        try:
            return self._ahead.get_nowait()
        except Empty:
            return None

    def _make_ahead(self) -> None:
        if sys.platform == "win32" or not self._ahead.empty():
            return  # Windows renames no open file
        path = self._path(self._number + 1)
        with contextlib.suppress(Exception):  # what is in its way will be in the way of the writer, too, who says so
            self._ahead.put(BlankFile(path.with_name(f"{path.name}.tmp")))

    def _discard_ahead(self) -> None:
        """First of all at the end: the disk may be full."""
        if (blank := self._taken_ahead()) is not None:
            with contextlib.suppress(OSError):
                blank.discard()

    def _close_files(self) -> None:
        self._make_ahead()
        while (bag := self._to_close.get()) is not None:
            if self._is_over:
                self._discard_ahead()
            else:
                self._make_ahead()
            self._close(bag)

    def _close(self, bag: BagWriter) -> None:
        try:
            summary, sha256 = bag.finish()
            info = SegmentInfo(
                name=bag.path.name,
                sha256=sha256,
                size_bytes=bag.path.stat().st_size,
                start_ns=summary.start_ns,
                end_ns=summary.end_ns,
                counts=summary.counts,
            )
            self._sync_failure = self._sync_failure or bag.sync_failure
            self._tell(ClosedSegment(info, summary))
        except Exception as error:  # nobody waits for this thread before the end; it is looked at meanwhile
            self._unclosed = self._unclosed or error
