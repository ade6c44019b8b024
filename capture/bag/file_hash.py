"""The SHA-256 of a file while it is being written, from the very buffers that go into it, as far as the hash keeps pace with the writer."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

from capture.bag.appended_file import Buffer
from capture.checksums import sha256_of

_WAITING_BYTES_MAX = 64 << 20  # what may wait to be hashed, and so stays in memory
_BLOCK_BYTES = 1 << 20


class FileHash:
    """Fed by the writer, computed by a thread of its own; ``hashed_bytes``, from the file's beginning on, are done.

    Where that thread cannot keep pace, writing is not held up and memory does not grow: the thread reads what it missed from the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.hashed_bytes = 0
        self._hash = hashlib.sha256()
        self._added_bytes = 0
        self._queued_bytes = 0
        self._taken_bytes = 0  # of those, what the thread is done with
        self._queue: SimpleQueue[tuple[int, Sequence[Buffer]] | None] = SimpleQueue()  # (where they begin, buffers)
        self._thread = threading.Thread(target=self._run, name="fieldrig-hash", daemon=True)
        self._thread.start()

    def add(self, buffers: Sequence[Buffer]) -> None:
        """What has just been appended to the file."""
        begin, length = self._added_bytes, sum(map(len, buffers))
        self._added_bytes += length
        if self._queued_bytes - self._taken_bytes + length <= _WAITING_BYTES_MAX:
            self._queued_bytes += length
            self._queue.put((begin, buffers))

    def stop(self) -> None:
        """Once all is added."""
        self._queue.put((self._added_bytes, ()))
        self._queue.put(None)
        self._thread.join()

    def sha256(self) -> str:
        """Of all that was added, once stopped."""
        return self._hash.hexdigest() if self.hashed_bytes == self._added_bytes else sha256_of(self._path)

    def _run(self) -> None:
        with contextlib.suppress(OSError, EOFError, MemoryError):  # sha256() reads the file then
            while (item := self._queue.get()) is not None:
                begin, buffers = item
                self._read_until(begin)
                for buffer in buffers:
                    self._update(buffer)
                    self._taken_bytes += len(buffer)

    def _read_until(self, end: int) -> None:
        """Hashes what was written, but never waited here."""
        if self.hashed_bytes == end:
            return
        block = memoryview(bytearray(_BLOCK_BYTES))
        with self._path.open("rb", buffering=0) as file:
            file.seek(self.hashed_bytes)
            while self.hashed_bytes < end:
                length = file.readinto(block[: end - self.hashed_bytes])
                if not length:
                    raise EOFError(f"{self._path} has become shorter")
                self._update(block[:length])

    def _update(self, buffer: Buffer) -> None:
        self._hash.update(buffer)
        self.hashed_bytes += len(buffer)
