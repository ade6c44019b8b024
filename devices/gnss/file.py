"""A receiver's log, played as if the receiver were there."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from devices.device import ClockSource, Stream
from devices.errors import DeviceError
from devices.gnss.clock import GnssClock
from devices.gnss.reader import PartReader
from devices.host_clock import HOST_CLOCK
from devices.logs.pace import Pace
from devices.samples import Packet, Stamps

_BLOCK_BYTES = 65_536


class GnssFile:
    """A Source of a log's sentences and frames; EOFError after the last.

    Paced, they come as far apart as the times that they tell, stamped with the present. Else at once, stamped with the time that they, or those
    before them, tell; what stands before the first time has that.
    """

    def __init__(self, stream: Stream, path: Path, *, pace: bool) -> None:
        self._stream = stream
        self._reading = threading.Lock()
        self._closed = threading.Event()
        self._pace = Pace(self._closed) if pace else None
        self._newest_ns = _first_time(stream.sensor, path)
        self._reader = PartReader()
        self._rejected: Mapping[str, int] = {}
        self._clock = GnssClock()
        self._timed = _timed(stream.sensor, path, self._reader, self._clock)
        self._held: tuple[bytes, int | None] | None = None

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        with self._reading:
            if self._closed.is_set():
                raise EOFError(f"{self._stream.name} was closed")
            return self._read(timeout_s)

    def _read(self, timeout_s: float) -> list[Packet]:
        held = self._held or next(self._timed, None)
        if held is None:
            raise EOFError(f"{self._stream.name}: the log has ended")
        self._held = held
        data, device_ns = held
        self._newest_ns = self._newest_ns if device_ns is None else max(self._newest_ns, device_ns)
        host_ns = self._pace.wait_for(self._newest_ns, timeout_s) if self._pace else self._newest_ns
        if host_ns is None:
            return []
        self._held = None
        self._rejected = dict(self._reader.rejections.counts)
        return [Packet(self._stream.name, Stamps(host_ns, device_ns), data)]

    @property
    def lost(self) -> int:
        return 0

    @property
    def rejected(self) -> Mapping[str, int]:
        """As the decoder counts what was handed over so far."""
        return self._rejected

    @property
    def clock_source(self) -> ClockSource:
        return self._clock.source

    def close(self) -> None:
        self._closed.set()
        with self._reading:
            self._timed.close()


def _timed(name: str, path: Path, reader: PartReader, clock: GnssClock) -> Generator[tuple[bytes, int | None]]:
    """The bytes of each sentence and frame, and its instant, each read when it is asked for."""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                for piece, part in reader.feed(block):
                    yield piece.data, clock.instant_ns(part, HOST_CLOCK.now_ns())
    except OSError as error:
        raise DeviceError(f"{name}: cannot read {path}: {error.strerror or error}") from None
    for piece, part in reader.rest():
        yield piece.data, clock.instant_ns(part, HOST_CLOCK.now_ns())


def _first_time(name: str, path: Path) -> int:
    """The first instant that the log tells; when the file was last changed where it tells none. Raises DeviceError."""
    times = (t_ns for _, t_ns in _timed(name, path, PartReader(), GnssClock()) if t_ns is not None)
    found = next(times, None)
    return path.stat().st_mtime_ns if found is None else found
