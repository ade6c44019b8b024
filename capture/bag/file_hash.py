"""The SHA-256 of a file while it is being written, from the very buffers that go into it: nothing is read back."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

from capture.bag.appended_file import Buffer
from capture.checksums import sha256_of

_BEHIND_BYTES_MAX = 64 << 20  # what may wait to be hashed, and so stay in memory


class FileHash:
    """Fed by the writer, computed by a thread of its own.

    Where that thread cannot keep pace, hashing is given up rather than writing held up, and sha256() reads the file instead.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._added_bytes = 0
        self._hashed_bytes = 0
        self._given_up = False
        self._waiting: SimpleQueue[Sequence[Buffer] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fieldrig-hash", daemon=True)
        self._thread.start()

    def add(self, buffers: Sequence[Buffer]) -> None:
        """What has just been appended to the file."""
        self._added_bytes += sum(map(len, buffers))
        if self._added_bytes - self._hashed_bytes > _BEHIND_BYTES_MAX:
            self._given_up = True
        if not self._given_up:
            self._waiting.put(buffers)

    def stop(self) -> None:
        """Once all is added."""
        self._waiting.put(None)
        self._thread.join()

    def sha256(self) -> str:
        """Of all that was added, once stopped."""
        return sha256_of(self._path) if self._given_up else self._hash.hexdigest()

    def _run(self) -> None:
        while (buffers := self._waiting.get()) is not None:
            for buffer in buffers:
                self._hash.update(buffer)
                self._hashed_bytes += len(buffer)
