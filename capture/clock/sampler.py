"""Takes the samples of a recording's clocks while it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capture.bag.clock_sample import ClockSample
from capture.clock.filter import ClockFilter
from capture.clock.fit import ClockFit


class ClockSampler:
    """Takes the samples of a recording's clocks, for the writer to write once a second."""

    def __init__(self, streams: Sequence[str], clocks: Sequence[ClockFilter]) -> None:
        self._clocks = list(zip(streams, clocks, strict=True))
        self._least: dict[str, tuple[int, int]] = {}
        self._strays_before = {stream: clock.strays for stream, clock in self._clocks}
        self._stopped_before = {stream: clock.stopped for stream, clock in self._clocks}

    def samples(self) -> list[ClockSample]:
        """Of every stream that something has come on since the last time."""
        return [sample for stream, clock in self._clocks if (sample := self._sample(stream, clock, clock.known))]

    def last_samples(self, fits_of: Mapping[str, Sequence[ClockFit]]) -> list[ClockSample]:
        """Of every stream on which anything ever came, with what recording.json will say: its fits."""
        made = []
        for stream, clock in self._clocks:
            fits = fits_of[stream]
            sample = self._sample(stream, clock, fits[-1] if fits else None)
            if sample is None and fits and stream in self._least:
                sample = ClockSample(stream, *self._least[stream], fits[-1], clock.strays - self._strays_before[stream])
            made += [] if sample is None else [sample]
        return made

    def notes(self) -> list[str]:
        """What a reader should know of each stream's stamps, in words."""
        strays = {stream: clock.strays - self._strays_before[stream] for stream, clock in self._clocks}
        return [
            f"{stream}: {count} packets bear a time that the sensor's clock cannot have shown when they came"
            for stream, count in strays.items()
            if count
        ]

    def doubts(self) -> list[str]:
        """What speaks against each stream's stamps, in words."""
        stopped = {stream: clock.stopped - self._stopped_before[stream] for stream, clock in self._clocks}
        return [
            f"{stream}: {count} packets came while the sensor's clock stood still; their header stamps are their arrival"
            for stream, count in stopped.items()
            if count
        ]

    def _sample(self, stream: str, clock: ClockFilter, fit: ClockFit | None) -> ClockSample | None:
        least = clock.take_least()
        if least is None or fit is None:
            return None
        self._least[stream] = least
        return ClockSample(stream, *least, fit, clock.strays - self._strays_before[stream])
