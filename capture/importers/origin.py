"""The files that a recording was made of: each with its hash, those that no message holds kept, left out or not readable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from capture.importers.source_files import in_words, log_files, size_of, small_text
from capture.whole_file import write_whole

ORIGIN = "origin.sha256"  # a line a source file, as `sha256sum -c` reads it
SIZES = "origin.sizes"  # a line a source file: bytes, two blanks, name
ORIGINAL = "original"  # the folder of source files that are kept
_BLOCK_BYTES = 1 << 20


class Origin:
    """source: the log. taken: those of its files whose content the messages hold. but: folders in it that are not the log's.

    kept: the files that were kept in the recording's folder, by their path in it -> SHA-256. Raises CaptureError at names that no list
    of hashes can hold.
    """

    def __init__(self, source: Path, taken: Iterable[Path], but: Iterable[Path]) -> None:
        self.source = source
        self.kept: dict[str, str] = {}
        self._taken = set(taken)
        self._files = sorted({*log_files(source, but), *self._taken})
        self._left_out: list[str] = []
        self._unread: dict[Path, str] = {}

    def keep(self, file: Path, folder: Path) -> None:
        """Copies a source file into the recording's folder, under its name in the source, hashed on its way."""
        target = folder / self._kept_as(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with file.open("rb") as source, target.open("xb") as copy:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                copy.write(block)
            copy.flush()
            os.fsync(copy.fileno())
        self.kept[self._kept_as(file)] = digest.hexdigest()

    def take_down(self, folder: Path, tell: Callable[[int, int], None]) -> None:
        """Keeps the small texts that no message holds, hashes all files, and writes origin.sha256 and origin.sizes. A file that cannot be read stops nothing.

        tell: gets the bytes that were hashed and those of all files.
        """
        done, total = 0, sum(size_of(file) for file in self._files if self._kept_as(file) not in self.kept)

        def hashed(count: int) -> None:
            nonlocal done
            done += count
            tell(done, total)

        lines, sizes = list[str](), list[str]()
        for file in self._files:
            is_rest = file not in self._taken and self._kept_as(file) not in self.kept
            try:
                text = small_text(file) if is_rest else None
                sha256 = self.kept.get(self._kept_as(file)) or _sha256(file, hashed)
            except OSError as error:
                self._unread[file] = error.strerror or str(error)
                continue
            if text is not None:
                self._keep_text(file, text, folder)
            elif is_rest:
                self._left_out.append(self._name_of(file))
            lines.append(f"{sha256}  {self._name_of(file)}\n")
            sizes.append(f"{size_of(file)}  {self._name_of(file)}\n")
        write_whole(folder / ORIGIN, "".join(lines).encode(errors="surrogateescape"))
        write_whole(folder / SIZES, "".join(sizes).encode(errors="surrogateescape"))

    def doubts(self) -> Iterable[str]:
        """What is missing in the recording of its source's files."""
        if self._left_out:
            yield f"{len(self._left_out)} files of {self.source.name} were left out, since nothing here reads them"
        if unread := self._unread.keys() - self._taken:
            yield f"{len(unread)} files of {self.source.name} were left out, since they could not be read"
        if unhashed := self._unread.keys() & self._taken:
            yield f"{len(unhashed)} files of {self.source.name} could not be read again for their hashes, which {ORIGIN} lacks"

    def notes(self) -> Iterable[str]:
        """Which files they are."""
        if self._left_out:
            yield f"left out: {in_words(self._left_out)}"
        for why in sorted(set(self._unread.values())):
            names = [self._name_of(file) for file, said in self._unread.items() if said == why]
            yield f"could not be read ({why}): {in_words(names)}"

    def _keep_text(self, file: Path, text: bytes, folder: Path) -> None:
        target = folder / self._kept_as(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text)
        self.kept[self._kept_as(file)] = hashlib.sha256(text).hexdigest()

    def _kept_as(self, file: Path) -> str:
        return f"{ORIGINAL}/{self._name_of(file)}"

    def _name_of(self, file: Path) -> str:
        return file.relative_to(self.source if self.source.is_dir() else self.source.parent).as_posix()


def _sha256(file: Path, hashed: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
            hashed(len(block))
    return digest.hexdigest()
