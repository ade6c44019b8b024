"""SHA256SUMS, as `sha256sum -c` reads it: a line a file, over every file below a recording's or a dataset's folder but itself.

A name with a backslash or the end of a line in it is written with backslashes, and its line begins with one (GNU coreutils, "cksum").
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from capture.errors import CaptureError
from capture.whole_file import write_whole

NAME = "SHA256SUMS"
_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-f]{64})  (?P<name>.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escape: letter for letter, escape in _ESCAPES.items()}
_SHOWN_LETTERS = 80


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> list[str]:
    """The files that have a sum, by their path below the folder, in order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted({path.relative_to(folder).as_posix() for path in files} - {NAME})


def write_sums(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> None:
    """Hashes the folder's files, but those whose hash is ``known`` already, by name."""
    sums = {name: known.get(name) or sha256_of(folder / name) for name in files_of(folder)}
    write_lines(folder, sums)


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> hash. Raises CaptureError when there is no SHA256SUMS, or it is damaged."""
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raise CaptureError(f"{folder} has no {NAME}; run: fieldrig repair {shlex.quote(str(folder))}") from None
    except OSError as error:
        raise CaptureError(f"cannot read {folder / NAME}: {error.strerror or error}; see whether you may") from None
    return parse_sums(content.decode(errors="surrogateescape"), str(folder / NAME))


def parse_sums(text: str, where: str) -> dict[str, str]:
    """File name -> hash. Raises CaptureError, naming ``where`` it stands, at a line that is none of sha256sum's."""
    sums = {}
    for line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            raise CaptureError(f"{where}: not a line of sha256sum: {line[:_SHOWN_LETTERS]!r}")
        sums[_name(match)] = match["digest"]
    return sums


def legible_sums(content: bytes) -> dict[str, str]:
    """What can still be read of a SHA256SUMS that is damaged."""
    matches = map(_LINE.fullmatch, _lines(content.decode(errors="surrogateescape")))
    return {_name(match): match["digest"] for match in matches if match is not None}


def bytes_in(folder: Path) -> int:
    """Of all files of a recording, SHA256SUMS, too."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_lines(folder: Path, sums: Mapping[str, str]) -> None:
    """SHA256SUMS of these lines, whatever else lies in the folder."""
    write_whole(folder / NAME, sums_text(sums).encode(errors="surrogateescape"))


def _lines(text: str) -> list[str]:
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


def sums_text(sums: Mapping[str, str]) -> str:
    """The lines for files and their hashes, in the order of their names."""
    return "".join(_line(name, sums[name]) for name in sorted(sums))


def _line(name: str, digest: str) -> str:
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in name)
    mark = "" if escaped == name else "\\"
    return f"{mark}{digest}  {escaped}\n"


def _name(line: re.Match[str]) -> str:
    name = line["name"]
    return re.sub(r"\\[\\nr]", lambda escape: _PLAIN[escape[0]], name) if line["escaped"] else name
