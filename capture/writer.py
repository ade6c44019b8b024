"""Writes a recording's messages into an MCAP file that loses at most its open chunk when the recorder is killed.

The `mcap` package's writer without compression, a CRC on every chunk; chunks are closed at ~1 MB or after 80 ms, whichever comes first.
A second thread syncs the file to the disk and hashes what is written, so that neither ever stalls the first. The file is only
ever appended to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mcap.writer import CompressionType, Writer

from capture.checksums import sha256_of
from capture.lock import hold
from capture.mcap_file import FileSummary
from capture.messages import DIAGNOSTIC_ARRAY, MessageType, Packing, Status, pack_diagnostics
from capture.rosbag import HEALTH_TOPIC, topic_of
from capture.salvage import finish_file
from devices.device import Stream
from devices.samples import Packet

CHUNK_BYTES = 1 << 20
CHUNK_S = 0.08  # "at least every 100 ms", with room for a busy machine
SYNC_S = 0.5
RESERVE_BYTES = 8 << 20  # given back when the disk is full, so that the summary still fits

_HASH_BLOCK_BYTES = 1 << 20


class BagWriter:
    """One MCAP file being written, by one thread.

    ``written`` counts the messages of each stream that lie in closed chunks; what add() took since waits in the open one.
    """

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None:
        self.path = path
        self.written = [0] * len(streams)
        self._pending = [0] * len(streams)
        self._pending_bytes = 0
        self._packings = [Packing(stream) for stream in streams]
        self._file = _AppendedFile(path)
        self._reserve = path.with_suffix(".reserve")
        self._reserve.write_bytes(bytes(RESERVE_BYTES))
        self._mcap = Writer(self._file, chunk_size=2**62, compression=CompressionType.NONE, enable_crcs=True)  # type: ignore[arg-type]
        self._mcap.start(profile="ros2", library="fieldrig")
        schemas: dict[MessageType, int] = {}
        self._channels = [
            self._channel(schemas, topic_of(stream.name), packing.type)
            for stream, packing in zip(streams, self._packings, strict=True)
        ]
        self._health = self._channel(schemas, HEALTH_TOPIC, DIAGNOSTIC_ARRAY)
        self._health_count = 0
        self._closed_at = time.monotonic()
        self._syncer = _Syncer(self._file)

    def add(self, stream: int, sequence: int, packet: Packet, stamp_ns: int) -> None:
        """One packet of the stream of this index. Raises OSError when the disk does not take it."""
        stamps = packet.stamps
        message = self._packings[stream].pack(stamp_ns, stamps.device_ns or 0, sequence, packet.data)
        published_ns = stamps.host_ns if stamps.device_ns is None else stamps.device_ns
        self._mcap.add_message(self._channels[stream], stamps.host_ns, message, published_ns, sequence & 0xFFFFFFFF)
        self._pending[stream] += 1
        self._pending_bytes += len(message)
        if self._pending_bytes >= CHUNK_BYTES or time.monotonic() - self._closed_at >= CHUNK_S:
            self.close_chunk()

    def add_health(self, now_ns: int, statuses: Sequence[Status]) -> None:
        self._mcap.add_message(self._health, now_ns, pack_diagnostics(now_ns, statuses), now_ns, self._health_count)
        self._health_count += 1
        self._pending_bytes += 1

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
        if self._pending_bytes:
            self._mcap.flush()  # type: ignore[no-untyped-call]
            for stream, count in enumerate(self._pending):
                self.written[stream] += count
            self._pending = [0] * len(self._pending)
            self._pending_bytes = 0
        self._closed_at = time.monotonic()

    @property
    def size_bytes(self) -> int:
        return self._file.tell()

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path.parent).free

    @property
    def synced_s_ago(self) -> float:
        return time.monotonic() - self._syncer.synced_at

    def finish(self) -> tuple[FileSummary, str]:
        """Closes the file with its summary; returns what it holds and its SHA-256.

        When the disk has refused a write, or refuses the summary, the file is cut back to its last whole chunk and finished there.
        """
        try:
            self.close_chunk()
            self._mcap.finish()  # type: ignore[no-untyped-call]
        except OSError:
            pass  # finish_file() below makes it whole from what the disk took
        self._syncer.stop()
        self._file.close()
        self._reserve.unlink(missing_ok=True)
        summary = finish_file(self.path)
        return summary, self._syncer.sha256() if summary.intact else sha256_of(self.path)

    def _channel(self, schemas: dict[MessageType, int], topic: str, kind: MessageType) -> int:
        schema = replace(kind, type_hash="", qos="")
        if schema not in schemas:
            schemas[schema] = self._mcap.register_schema(kind.name, kind.format, kind.definition.encode())
        metadata = {"offered_qos_profiles": kind.qos, "topic_type_hash": kind.type_hash}
        return self._mcap.register_channel(topic, "cdr", schemas[schema], metadata)


class _AppendedFile:
    """What the mcap writer needs of a stream, without a buffer of its own: what was written survives the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        hold(self.descriptor, path)
        self._size = 0
        self._refused: OSError | None = None

    def write(self, data: bytes) -> int:
        if self._refused is not None:
            raise self._refused  # behind a torn record nothing more may stand
        view = memoryview(data)
        try:
            while view:
                done = os.write(self.descriptor, view)
                self._size += done
                view = view[done:]
        except OSError as error:
            self._refused = error
            raise
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        os.close(self.descriptor)


class _Syncer:
    """The second thread: fdatasync every half second, and the hash of all that was written, read back from the page cache."""

    def __init__(self, file: _AppendedFile) -> None:
        self.synced_at = time.monotonic()
        self._file = file
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._reader = file.path.open("rb", buffering=0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-sync", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def _run(self) -> None:
        with self._reader:
            while not self._stop.wait(SYNC_S):
                self._sync()
            self._sync()

    def _sync(self) -> None:
        started, target = time.monotonic(), self._file.tell()
        try:
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(self._file.descriptor)
            self.synced_at = started
        except OSError:
            pass  # its age grows on the health topic; the writer meets the same disk and reports it
        while self._hashed < target:
            block = self._reader.read(min(_HASH_BLOCK_BYTES, target - self._hashed))
            if not block:
                break
            self._hash.update(block)
            self._hashed += len(block)
