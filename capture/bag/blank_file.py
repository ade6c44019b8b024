"""A file for messages before it holds any: made ahead, since to make one can take as long as a busy disk's journal does."""

from __future__ import annotations

from pathlib import Path

from capture.bag.appended_file import AppendedFile
from capture.bag.mcap_summary import beginning

RESERVE_BYTES = 8 << 20  # given back when the disk is full, so that the summary still fits


class BlankFile:
    """The beginning of an MCAP file, open and locked, and disk space in reserve. Raises OSError when the disk refuses it: nothing is left then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve = path.with_suffix(".reserve")
        self.file = AppendedFile(path)
        try:
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
            self.file.append([beginning()])
        except BaseException:
            self.discard()
            raise

    def renamed(self, path: Path) -> BlankFile:
        """Itself, from now on in use. Raises OSError when the disk refuses it: nothing is left then."""
        try:
            self.path = self.path.rename(path)
        except BaseException:
            self.discard()
            raise
        return self

    def give_back_reserve(self) -> None:
        self._reserve.unlink(missing_ok=True)

    def discard(self) -> None:
        self.file.close()
        self.give_back_reserve()
        self.path.unlink(missing_ok=True)
