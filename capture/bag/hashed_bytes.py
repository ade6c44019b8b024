"""A file read in order, every byte of which goes through the hash: in a thread of its own, since hashlib gives up the interpreter's lock."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

_HASHED_AT_ONCE_BYTES = 1 << 20
_HASHES_WAITING = 8


class HashedBytes:
    """position: of the next byte. progress gets it from time to time."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None] | None) -> None:
        self.position = 0
        self._file = file
        self._progress = progress
        self._hash = hashlib.sha256()
        self._loose: list[bytes] = []
        self._loose_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fieldrig-hash")
        self._waiting: deque[Future[None]] = deque()

    def read(self, length: int) -> bytes:
        """Fewer bytes only where the file ends."""
        data = self._file.read(length)
        self.position += len(data)
        self._loose.append(data)
        self._loose_bytes += len(data)
        if self._loose_bytes >= _HASHED_AT_ONCE_BYTES:
            self._pass_on()
        return data

    def skip(self, length: int) -> None:
        """Bytes that only the hash wants."""
        while length > 0 and (data := self.read(min(length, _HASHED_AT_ONCE_BYTES))):
            length -= len(data)

    def finish(self) -> str:
        """The SHA-256 of all that was read."""
        self._pass_on()
        self._thread.shutdown(wait=True)
        return self._hash.hexdigest()

    def _pass_on(self) -> None:
        blocks, self._loose, self._loose_bytes = self._loose, [], 0
        self._waiting.append(self._thread.submit(self._update, blocks))
        if len(self._waiting) > _HASHES_WAITING:
            self._waiting.popleft().result()
        if self._progress is not None:
            self._progress(self.position)

    def _update(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self._hash.update(block)
