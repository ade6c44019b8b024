"""Where recordings are moved to, as far as moving them needs it; folder.py and remote.py are the two there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

Append = Callable[[bytes], object]
Fill = Callable[[Append], object]  # calls the function that it is given until all bytes are there
GO_ON = "run the same command again: what has arrived is not sent twice"


class Destination(Protocol):
    """One recording's folder at the destination. Everything raises CaptureError in one line when the destination fails.

    A file is written under another name or invisibly, read back by read_unfinished(), and then commit()ed.
    """

    @property
    def where(self) -> str: ...

    def size_of(self, name: str) -> int | None:
        """Bytes of a committed file; None when there is none."""
        ...

    def unfinished_bytes(self, name: str) -> int:
        """What arrived of a file before an interruption and can be gone on with."""
        ...

    def free_bytes(self) -> int | None:
        """None where that cannot be known."""
        ...

    def holds(self, path: Path) -> bool:
        """Whether this is the folder at ``path``, or lies in it."""
        ...

    def shares_disk_with(self, path: Path) -> bool: ...

    def write(self, name: str, fill: Fill, start: int) -> None:
        """Calls ``fill`` with a function that appends; ``start`` > 0 goes on behind that many bytes. What ``fill`` raises is passed on."""
        ...

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A committed file, opened for reading."""
        ...

    def read_unfinished(self, name: str) -> AbstractContextManager[BinaryIO]:
        """What write() made, opened for reading, from the disk or server and not from memory."""
        ...

    def commit(self, name: str) -> None: ...

    def discard(self, name: str) -> None:
        """Removes what write() made."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """A small file, whole or not at all."""
        ...

    def remove(self, name: str) -> None: ...
