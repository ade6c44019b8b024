"""A file that only ever grows, without a buffer of its own: what was written survives the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from capture.lock import hold

Buffer = bytes | bytearray | memoryview
_BUFFERS_A_CALL = 1024  # IOV_MAX of Linux and macOS


class AppendedFile:
    """Created and locked by this process. After a refused write it takes nothing more: behind a torn record nothing may stand."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        self._size_bytes = 0
        self._refused: OSError | None = None
        try:
            hold(self.descriptor, path)
        except BaseException:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, buffers: Sequence[Buffer]) -> None:
        """All buffers, one behind the other, without joining them. Raises OSError when the disk does not take them."""
        if self._refused is not None:
            raise self._refused
        waiting = buffers
        try:
            while waiting:
                done = _write(self.descriptor, waiting[:_BUFFERS_A_CALL])
                self._size_bytes += done
                waiting = _behind(waiting, done)
        except OSError as error:
            self._refused = error
            raise

    def close(self) -> None:
        os.close(self.descriptor)


def _write(descriptor: int, buffers: Sequence[Buffer]) -> int:
    """How many bytes the disk took: it may be fewer than all when it fills or a signal comes."""
    return os.writev(descriptor, buffers) if sys.platform != "win32" else os.write(descriptor, b"".join(buffers))


def _behind(buffers: Sequence[Buffer], done: int) -> Sequence[Buffer]:
    """What is left of the buffers behind their first ``done`` bytes."""
    for index, buffer in enumerate(buffers):
        if done < len(buffer):
            return [memoryview(buffer)[done:], *buffers[index + 1 :]] if done else buffers[index:]
        done -= len(buffer)
    return ()
