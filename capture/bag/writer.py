"""Writes a recording's messages into an MCAP file that loses at most its open chunk when the recorder is killed.

Uncompressed, a CRC on every chunk; chunks are closed at ~1 MB or after 80 ms, whichever comes first. Payloads go from where they were
received to the kernel without being copied. A thread at the side syncs the file to the disk, another hashes it, so that neither ever
stalls the writer. The file is only ever appended to.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcap.records import Channel, ChunkIndex, Schema

from capture.bag.appended_file import Buffer
from capture.bag.blank_file import BlankFile
from capture.bag.chunk import OpenChunk
from capture.bag.clock_sample import ClockSample, pack_clock_sample
from capture.bag.definitions import definitions_of
from capture.bag.diagnostics import Status, pack_diagnostics
from capture.bag.file_hash import FileHash
from capture.bag.mcap_file import FileSummary
from capture.bag.mcap_summary import beginning, ending, record_bytes
from capture.bag.packing import Packing
from capture.bag.salvage import finish_file
from capture.bag.syncer import Syncer
from capture.bag.written_delay import WrittenDelay
from capture.checksums import sha256_of
from devices.device import Stream
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet

CHUNK_BYTES = 1 << 20
CHUNK_S = 0.08  # "at least every 100 ms", with room for a busy machine

_UNSIGNED_64 = range(1 << 64)


class BagWriter:
    """One MCAP file being written, by one thread.

    ``written`` counts the messages of each stream that lie in closed chunks; what add() took since waits in the open one. ``delay`` tells
    how long those in closed chunks took from their arrival. Raises OSError when the disk does not take the first bytes: nothing is left then.

    file: where to, or a file that was made for it ahead.
    """

    def __init__(self, file: Path | BlankFile, streams: Sequence[Stream]) -> None:
        self.written = [0] * len(streams)
        self.delay = WrittenDelay()
        self._pending = [0] * len(streams)
        self._packings = [Packing(stream) for stream in streams]
        self._chunk = OpenChunk()
        self._chunks: list[ChunkIndex] = []
        definitions = definitions_of(streams)
        for definition in definitions:
            self._chunk.put_record(record_bytes(definition))
        self._schemas = [each for each in definitions if isinstance(each, Schema)]
        self._channels = [each for each in definitions if isinstance(each, Channel)]
        self._counts: dict[int, int] = {}  # channel -> messages in closed chunks
        *self._ids, self._health, self._clock = (channel.id for channel in self._channels)
        self._health_count = self._clock_count = 0
        self._blank = file if isinstance(file, BlankFile) else BlankFile(file)
        self.path, self._file = self._blank.path, self._blank.file
        self._hash = FileHash(self.path)
        self._hash.add([beginning()])
        self._syncer = Syncer(self._file.descriptor, self.path.parent, needed_from=lambda: self._hash.hashed_bytes)
        self._closed_at = time.monotonic()

    def add(self, stream: int, sequence: int, packet: Packet, stamp_ns: int) -> None:
        """One packet of the stream of this index. Raises OSError when the disk does not take it."""
        stamps, data, packing = packet.stamps, packet.data, self._packings[stream]
        device_ns = stamps.device_ns
        if device_ns is not None and device_ns not in _UNSIGNED_64:
            device_ns = None  # a broken packet's, which no message can state; it is kept like one that says none
        head = packing.head(stamp_ns, device_ns or 0, sequence, len(data))
        published_ns = stamps.host_ns if device_ns is None else device_ns
        self._chunk.put(self._ids[stream], sequence, stamps.host_ns, published_ns, head, data, packing.tail(len(data)))
        self._pending[stream] += 1
        if self._chunk.size_bytes >= CHUNK_BYTES or time.monotonic() - self._closed_at >= CHUNK_S:
            self.close_chunk()

    def add_health(self, now_ns: int, statuses: Sequence[Status]) -> None:
        self._chunk.put(self._health, self._health_count, now_ns, now_ns, b"", pack_diagnostics(now_ns, statuses), b"")
        self._health_count += 1

    def add_clocks(self, now_ns: int, samples: Sequence[ClockSample]) -> None:
        for sample in samples:
            self._chunk.put(self._clock, self._clock_count, now_ns, now_ns, b"", pack_clock_sample(sample), b"")
            self._clock_count += 1

    def accepted(self, stream: int) -> int:
        """How many messages of a stream add() has taken so far."""
        return self.written[stream] + self._pending[stream]

    def close_chunk_in_time(self) -> float:
        """Closes the open chunk if it is due; returns in how many seconds the next is."""
        wait_s = self._closed_at + CHUNK_S - time.monotonic()
        if wait_s > 0:
            return wait_s
        self.close_chunk()
        return CHUNK_S

    def close_chunk(self) -> None:
        """Writes the open chunk, if it holds a message. Raises OSError when the disk does not take it."""
        counts = self._chunk.counts()
        if counts:
            self._write_chunk(counts)
        self._closed_at = time.monotonic()

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes

    def free_bytes(self) -> int | None:
        """On the disk; None while it does not say."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return None

    @property
    def sync_failure(self) -> OSError | None:
        """The first time that the disk did not keep what it had taken."""
        return self._syncer.failure

    @property
    def synced_s_ago(self) -> float:
        return self._syncer.synced_s_ago

    def finish(self) -> tuple[FileSummary, str]:
        """Closes the file with its summary; returns what it holds and its SHA-256.

        When the disk has refused a write, or refuses the summary, the file is cut back to its last whole chunk and finished there. Whatever
        else is raised leaves the file to repair.
        """
        try:
            self.close_chunk()
            end = ending(self._file.size_bytes, self._schemas, self._channels, self._chunks, self._counts)
            self._append([end])
        except OSError:
            pass  # finish_file() below makes it whole from what the disk took
        finally:
            self._hash.stop()
            self._syncer.stop()
            self._file.close()
            self._blank.give_back_reserve()
        summary = finish_file(self.path)
        return summary, self._hash.sha256() if summary.intact else sha256_of(self.path)

    def discard(self) -> None:
        """Nothing of the file is wanted: none is left."""
        self._syncer.stop()
        self._hash.stop()
        self._blank.discard()

    def _write_chunk(self, counts: Mapping[int, int]) -> None:
        arrivals_ns = self._chunk.log_times_ns()
        buffers, index = self._chunk.close(self._file.size_bytes)
        self._append(buffers)
        self._chunks.append(index)
        for channel, count in counts.items():
            self._counts[channel] = self._counts.get(channel, 0) + count
        for stream, count in enumerate(self._pending):
            self.written[stream] += count
        self._pending = [0] * len(self._pending)
        self.delay.add(HOST_CLOCK.now_ns(), arrivals_ns)

    def _append(self, buffers: Sequence[Buffer]) -> None:
        self._file.append(buffers)
        self._hash.add(buffers)
