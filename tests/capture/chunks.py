"""Where the chunks of an MCAP file lie, found without the code under test."""

from __future__ import annotations

from pathlib import Path

from mcap.opcode import Opcode


def chunks_of(file: Path | bytes) -> list[tuple[int, int]]:
    """(start, end) of every whole chunk."""
    data, chunks, at = file if isinstance(file, bytes) else file.read_bytes(), [], 8
    while at + 9 <= len(data):
        end = at + 9 + int.from_bytes(data[at + 1 : at + 9], "little")
        if data[at] == Opcode.CHUNK and end <= len(data):
            chunks.append((at, end))
        at = end
    return chunks
