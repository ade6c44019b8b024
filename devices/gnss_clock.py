"""A receiver's bytes cut into sentences and frames, with the instants that they speak of, while they arrive."""

from __future__ import annotations

from collections.abc import Iterator

from devices.device import ClockSource, Rejections
from devices.gnss_epoch import Calendar
from devices.gnss_reader import read_piece
from devices.gnss_stream import Piece, PieceSplitter


class TimedPieces:
    """Bytes in any portions -> those of each sentence or frame, and its instant.

    Follows the date that the receiver says, so that times of day become instants; None before it has said one.
    """

    def __init__(self) -> None:
        self._splitter = PieceSplitter()
        self._calendar = Calendar()
        self._dated = False
        self._valid = False

    def feed(self, data: bytes, host_ns: int) -> Iterator[tuple[bytes, int | None]]:
        """What is whole with these bytes, which arrived at host_ns."""
        for piece in self._splitter.feed(data):
            yield piece.data, self._instant_ns(piece, host_ns)

    def rest(self) -> Iterator[tuple[bytes, int | None]]:
        """What waits for its end in vain."""
        for piece in self._splitter.rest():
            yield piece.data, None

    def _instant_ns(self, piece: Piece, host_ns: int) -> int | None:
        part = read_piece(piece, Rejections())
        if part is None:
            return None
        if part.valid is not None:
            self._valid = part.valid
        self._dated = self._dated or part.date_ns is not None
        return self._calendar.instant_ns(part, host_ns) if self._dated else None

    @property
    def clock_source(self) -> ClockSource:
        """GNSS while the receiver has a fix: without one its time runs on a crystal."""
        return ClockSource.GNSS if self._valid else ClockSource.FREE
