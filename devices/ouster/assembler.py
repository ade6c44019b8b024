"""How packets fill an Ouster's scans: in which turn each belongs, and where one ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.device import Rejections
from devices.lidars.succession import OUTAGE_NS
from devices.ouster.metadata import OusterMetadata
from devices.ouster.packet import LidarPackets
from devices.ouster.scan import FASTEST_TURN_NS, SLOWEST_TURN_NS, OusterScan

# A packet that comes this many frames late at the most is a straggler of the network. Whatever else does not continue the stream is
# believed when a second packet goes on from it: one broken frame id must not end a scan, nor a sensor's restart end the stream.
_LATE_FRAMES = 8


class _Piece(NamedTuple):
    """A packet's columns and where they stand in the stream. number, t_ns: id and time of the first that was measured; None where none was."""

    frame_id: int
    number: int
    t_ns: int | None
    columns: NDArray[np.void]
    valid: NDArray[np.bool_]


class ScanAssembler:
    """Packets in, scans out. Only valid columns are written. Counts what it passes over in ``rejections``.

    A scan ends, too, where the sensor's clock leaps or the sensor starts anew, so that the times in it belong together.
    """

    def __init__(self, metadata: OusterMetadata, rejections: Rejections) -> None:
        self._metadata = metadata
        self._layout = LidarPackets(metadata)
        self._rejections = rejections
        self._window = metadata.window_columns()
        self._scan: OusterScan | None = None
        self._filled = np.zeros(metadata.columns, dtype=np.bool_)  # columns that a packet spoke of, valid or not
        self._newest: _Piece | None = None  # of those that were used
        self._doubtful: tuple[_Piece, str] | None = (
            None  # a packet that no other has confirmed, and what is odd about it
        )

    def add(self, data: bytes) -> Iterator[OusterScan]:
        """The scans that this packet finishes: the one before when it begins a new one, its own when nothing is missing any more."""
        piece = self._piece(data)
        if isinstance(piece, str):
            self._rejections.add(piece)
            return
        oddity = None if self._newest is None else self._oddity(self._newest, piece)
        if oddity is None:
            self._settle()
            yield from self._use(piece)
        else:
            yield from self._leap(piece, oddity)

    def end(self) -> Iterator[OusterScan]:
        """The scan in hand, unfinished as it is, and no more to come."""
        self._settle()
        yield from self._finish()

    def _finish(self) -> Iterator[OusterScan]:
        if self._scan is not None:
            scan, self._scan = self._scan, None
            yield scan

    def _piece(self, data: bytes) -> _Piece | str:
        """What a packet holds, or why it is not to be used."""
        reason = self._layout.foreign(data)
        if reason:
            return reason
        if not self._layout.intact(data):
            return "wrong CRC"
        columns = self._layout.columns(data)
        ids, valid = columns["id"], self._layout.valid(columns)
        if (ids >= self._metadata.columns).any():
            return "measurement id out of range"
        times = columns["t_ns"][valid]
        t_ns = None
        if len(times):
            t_ns, last_ns = int(times[0]), int(times[-1])
            if last_ns >> 63:
                return "time beyond the year 2262"
            if last_ns - t_ns > SLOWEST_TURN_NS or (times[1:] < times[:-1]).any():
                return "a time out of step"
        return _Piece(self._layout.frame_id(data, columns), int(ids[valid.argmax()]), t_ns, columns, valid)

    def _oddity(self, before: _Piece, piece: _Piece) -> str | None:
        """Why a packet cannot be of the same run as another: None when it can, as its next, a straggler, or the same again."""
        step = self._step(before.frame_id, piece.frame_id)
        near = -_LATE_FRAMES <= step <= 1
        if before.t_ns is None or piece.t_ns is None:
            return None if near else "foreign frame id"
        after_ns = piece.t_ns - before.t_ns
        if step > 0:  # so many turns take some time
            fits = (step - 1) * FASTEST_TURN_NS < after_ns <= OUTAGE_NS
        elif step == 0:
            fits = abs(after_ns) <= SLOWEST_TURN_NS and self._in_order(before.number, piece.number, after_ns)
        else:
            fits = near and -OUTAGE_NS <= after_ns < 0
        return None if fits else "a time out of step" if near else "foreign frame id"

    def _in_order(self, before: int, number: int, after_ns: int) -> bool:
        """Whether one column comes after another as its time does. Where the window wraps, a turn may begin with it or with column 0."""
        first = self._metadata.column_window[0]
        in_window = (number - first) % self._metadata.columns - (before - first) % self._metadata.columns
        return _sign(after_ns) in (_sign(number - before), _sign(in_window))

    def _step(self, from_: int, to: int) -> int:
        """How many frames ``to`` is after ``from_``, negative before it; frame ids wrap."""
        turn = 1 << self._layout.header.frame_bits
        return (to - from_ + turn // 2) % turn - turn // 2

    def _leap(self, piece: _Piece, oddity: str) -> Iterator[OusterScan]:
        """A packet that does not continue the stream is held until the next one tells; when that continues it, both are used."""
        if self._doubtful is not None:
            before, _ = self._doubtful
            if piece[:3] == before[:3]:
                self._rejections.add("duplicate packet")
                return
            if self._oddity(before, piece) is None:
                self._doubtful = self._newest = None
                yield from self._use(before)
                yield from self._use(piece)
                return
        self._settle()
        self._doubtful = piece, oddity

    def _settle(self) -> None:
        """Gives up what the next packet has not confirmed."""
        if self._doubtful is not None:
            self._rejections.add(self._doubtful[1])
            self._doubtful = None

    def _use(self, piece: _Piece) -> Iterator[OusterScan]:
        step = 1 if self._newest is None else self._step(self._newest.frame_id, piece.frame_id)
        if step < 0:
            self._rejections.add("late packet")
        elif step == 0 and self._scan is None:
            self._rejections.add("duplicate packet")
        else:
            if step > 0:
                yield from self._finish()
                self._scan = self._empty(piece.frame_id)
            if step > 0 or self._is_newer(piece):
                self._newest = piece
            yield from self._write(piece)

    def _is_newer(self, piece: _Piece) -> bool:
        if self._newest is None or self._newest.t_ns is None:
            return True
        return piece.t_ns is not None and piece.t_ns > self._newest.t_ns

    def _empty(self, frame_id: int) -> OusterScan:
        meta, profile = self._metadata, self._layout.profile
        self._filled[:] = False
        return OusterScan(
            frame_id=frame_id,
            profile=profile,
            words=np.zeros((meta.columns, meta.rows, profile.words), dtype=np.uint32),
            column_t_ns=np.zeros(meta.columns, dtype=np.uint64),
            status=np.zeros(meta.columns, dtype=np.uint32),
            window=self._window,
        )

    def _write(self, piece: _Piece) -> Iterator[OusterScan]:
        scan, columns = self._scan, piece.columns
        if scan is None:
            return
        ids = columns["id"]
        if self._filled[ids].all():
            self._rejections.add("duplicate packet")
            return
        use = piece.valid & ~self._filled[ids]
        written = ids[use]
        scan.words[written] = columns["pixels"][use]
        scan.column_t_ns[written] = columns["t_ns"][use]
        scan.status[written] = columns["status"][use]
        self._filled[ids] = True
        if self._filled[self._window].all():
            yield from self._finish()


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
