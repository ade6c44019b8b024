"""A receiver's bytes, what they say of place and time, and what in them is broken or foreign."""

from __future__ import annotations

import re

from devices.device import Rejections
from devices.gnss_epoch import Part
from devices.gnss_stream import Kind, Piece, PieceSplitter
from devices.nmea import read_sentence
from devices.ubx import read_frame

_SENTENCE_END = re.compile(rb"\*[0-9A-Fa-f]{2}\r?\n\s*\Z")


class PartReader:
    """Bytes in any portions -> what each sentence and frame says. What is broken or foreign is passed over and counted."""

    def __init__(self) -> None:
        self.rejections = Rejections()
        self._splitter = PieceSplitter()
        self._is_joined = False  # whether a whole sentence or frame has come

    def feed(self, data: bytes) -> list[Part]:
        """What is whole with these bytes."""
        return self._parts(list(self._splitter.feed(data)))

    def rest(self) -> list[Part]:
        """What waits for its end in vain."""
        return self._parts(list(self._splitter.rest()))

    def _parts(self, pieces: list[Piece]) -> list[Part]:
        parts = []
        for piece in pieces:
            if piece.junk.strip() and not self._is_torn(piece):
                self.rejections.add("bytes that are neither NMEA nor UBX nor RTCM3")
            self._is_joined = self._is_joined or bool(piece.body)
            if (part := read_piece(piece, self.rejections)) is not None:
                parts.append(part)
        return parts

    def _is_torn(self, piece: Piece) -> bool:
        """Whether what is no sentence may be the rest of one: a receiver talks on before a recording begins, and after it has ended."""
        if not piece.body:
            return self._is_joined and piece.junk[:1] in (b"$", b"!", b"\xb5", b"\xd3")
        return not self._is_joined and (
            piece.kind in (Kind.UBX, Kind.RTCM3) or _SENTENCE_END.search(piece.junk) is not None
        )


def read_piece(piece: Piece, rejections: Rejections) -> Part | None:
    """What a piece of the stream says of place and time, which corrections (RTCM 3) do not; broken sentences and frames are counted."""
    if piece.kind is Kind.NMEA:
        return read_sentence(piece.body, rejections)
    return read_frame(piece.body, rejections) if piece.kind is Kind.UBX else None
