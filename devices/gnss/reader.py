"""A receiver's bytes cut into sentences and frames, what each says of place and time, and what in them is broken or foreign."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devices.device import Rejections
from devices.gnss.epoch import Part
from devices.gnss.nmea import read_sentence
from devices.gnss.stream import Kind, Piece, PieceSplitter
from devices.gnss.ubx import read_frame

_SENTENCE_END = re.compile(rb"\*[0-9A-Fa-f]{2}\r?\n\s*\Z")


class PartReader:
    """Bytes in any portions -> each sentence and frame with what it says, or None. What is broken or foreign is passed over and counted."""

    def __init__(self) -> None:
        self.rejections = Rejections()
        self._splitter = PieceSplitter()
        self._is_joined = False  # whether a whole sentence or frame has come

    @property
    def waiting(self) -> bytes:
        """What has come of a sentence or frame that is not whole yet."""
        return self._splitter.waiting

    def feed(self, data: bytes) -> Iterator[tuple[Piece, Part | None]]:
        """What is whole with these bytes."""
        return ((piece, self._part(piece)) for piece in self._splitter.feed(data))

    def rest(self) -> Iterator[tuple[Piece, Part | None]]:
        """What waits for its end in vain, and what is whole in it, now that nothing more comes."""
        return ((piece, self._part(piece)) for piece in self._splitter.rest())

    def _part(self, piece: Piece) -> Part | None:
        """Corrections (RTCM 3) say nothing of place and time."""
        if piece.junk.strip() and not self._is_torn(piece):
            self.rejections.add("bytes that are neither NMEA nor UBX nor RTCM3")
        self._is_joined = self._is_joined or bool(piece.body)
        if piece.kind is Kind.NMEA:
            return read_sentence(piece.body, self.rejections)
        return read_frame(piece.body, self.rejections) if piece.kind is Kind.UBX else None

    def _is_torn(self, piece: Piece) -> bool:
        """Whether what is no sentence may be the rest of one: a receiver talks on before a recording begins, and after it has ended."""
        if not piece.body:
            return self._is_joined and piece.junk[:1] in (b"$", b"!", b"\xb5", b"\xd3")
        return not self._is_joined and (
            piece.kind in (Kind.UBX, Kind.RTCM3) or _SENTENCE_END.search(piece.junk) is not None
        )
