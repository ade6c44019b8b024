"""The SHA-256 of a file whose end is still being worked on: a thread hashes its beginning meanwhile."""

from __future__ import annotations

import hashlib
import threading
from io import FileIO
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_END_BYTES = 4 << 20  # what whoever works on the end is likely to change


class HashBeside:
    """Begins to hash a file, but for its last few MB; sha256() does the rest once the file is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-hash", daemon=True)
        self._thread.start()

    def sha256(self, kept_bytes: int) -> str:
        """Of the whole file as it is now, whose first ``kept_bytes`` are what they were at the beginning."""
        self._thread.join()
        if self._hashed_bytes > kept_bytes:
            self._hash, self._hashed_bytes = hashlib.sha256(), 0
        with self._path.open("rb", buffering=0) as file:
            self._add(file, self._path.stat().st_size)
        return self._hash.hexdigest()

    def stop(self) -> None:
        """Where the hash is not wanted after all."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                self._add(file, self._path.stat().st_size - _END_BYTES)
        except OSError:
            self._hash, self._hashed_bytes = hashlib.sha256(), 0  # whoever wants the hash will meet the same disk

    def _add(self, file: FileIO, until: int) -> None:
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        file.seek(self._hashed_bytes)
        while self._hashed_bytes < until and not self._stop.is_set():
            length = file.readinto(buffer[: min(_BLOCK_BYTES, until - self._hashed_bytes)])
            if not length:
                return
            self._hash.update(buffer[:length])
            self._hashed_bytes += length
