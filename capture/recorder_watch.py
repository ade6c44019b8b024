"""What can be seen of the sensors from the recorder: each stream's state, and what a crew should be alarmed by."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capture.clock.stamper import Stamper
from capture.health import Rate, is_steady, judge_clock
from capture.inlet import Inlet
from capture.intake import Intake
from capture.recorder_state import RecorderState, StreamState
from capture.tally import Tally

_RISE_ALARM_S = 10.0  # how long a loss, or a clock that was set, alarms
_SYNC_ALARM_S = 5.0
_DISK_ALARM_S = 600.0


@dataclass(slots=True)
class _Rise:
    """A count that ought to stay where it is."""

    count: int = 0
    at_s: float = float("-inf")

    def is_recent(self, count: int) -> bool:
        if count > self.count:
            self.count, self.at_s = count, time.monotonic()
        return time.monotonic() - self.at_s <= _RISE_ALARM_S


class RecorderWatch:
    """Asked several times a second by anybody; what it remembers is only rates."""

    def __init__(self, intake: Intake, stamper: Stamper, silent_s: float) -> None:
        self._intake = intake
        self._stamper = stamper
        self._silent_s = silent_s
        self._opened_s = time.monotonic()
        self._rates = [(Rate(), Rate()) for _ in intake.inlets]
        self._lost = [_Rise() for _ in intake.inlets]
        self._set = [_Rise() for _ in intake.inlets]

    def streams(self, tallies: Sequence[Tally] | None) -> tuple[StreamState, ...]:
        """tallies: of the recording under way; counts are its own then, else since the sensors were opened."""
        now_ns, rows = time.time_ns(), []
        for inlet, (packets, volume) in zip(self._intake.inlets, self._rates, strict=True):
            stream, fit = inlet.stream, self._stamper.clock(inlet.index).known
            tally = None if tallies is None else tallies[inlet.index]
            rows.append(
                StreamState(
                    name=stream.name,
                    encoding=stream.encoding,
                    description=stream.description,
                    received=inlet.received if tally is None else tally.received,
                    rate_hz=packets.update(inlet.received),
                    bytes_s=volume.update(inlet.received_bytes),
                    lost=inlet.lost + inlet.dropped if tally is None else tally.lost + tally.dropped,
                    jitter_ms=inlet.jitter_ns / 1e6,
                    clock_source=inlet.ask_clock_source().value,
                    clock_offset_ms=None if fit is None else fit.host_minus_device_ns / 1e6,
                    clock_sigma_ms=None if fit is None else fit.sigma_ns / 1e6,
                    silent_s=(now_ns - inlet.last_ns) / 1e9 if inlet.received else None,
                    connected=not inlet.failure,
                    failure=inlet.failure,
                )
            )
        return tuple(rows)

    def disk_left_s(self, free_bytes: int) -> float | None:
        """Until the disk is full at the present rate; None while nothing comes."""
        bytes_s = sum(volume.hz for _, volume in self._rates)
        return max(0.0, free_bytes / bytes_s) if bytes_s > 0 else None

    def alarms(self, state: RecorderState) -> list[str]:
        """What is wrong now, one line each with what to do."""
        found = list(dict.fromkeys(stream.failure for stream in state.streams if stream.failure))
        found += [
            f"nothing from {inlet.stream.name} for {silent_s:.0f} s; check its power and cable"
            for inlet, silent_s in zip(self._intake.inlets, map(self._silence_s, state.streams), strict=True)
            if is_steady(inlet) and not inlet.failure and not inlet.finished and silent_s > self._silent_s
        ]
        found += [line for inlet in self._intake.inlets for line in self._rises(inlet)]
        if state.queue_bytes > state.queue_bound_bytes // 2:
            found.append("the disk is slower than the sensors; close other programs, or record to another disk")
        if state.synced_s_ago is not None and state.synced_s_ago > _SYNC_ALARM_S:
            found.append(
                f"nothing has reached the disk for {state.synced_s_ago:.0f} s; check it, or record to another one"
            )
        if state.disk_left_s is not None and state.disk_left_s < _DISK_ALARM_S:
            found.append(f"the disk is full in {state.disk_left_s / 60:.0f} min at this rate; free some space")
        return found

    def _silence_s(self, stream: StreamState) -> float:
        return time.monotonic() - self._opened_s if stream.silent_s is None else stream.silent_s

    def _rises(self, inlet: Inlet) -> Iterator[str]:
        name, lost, clock = inlet.stream.name, inlet.lost + inlet.dropped, self._stamper.clock(inlet.index)
        if self._lost[inlet.index].is_recent(lost):
            yield f"{name} loses packets ({lost} by now); close other programs, or check its cable and the receive buffer"
        if self._set[inlet.index].is_recent(clock.restarts):
            yield f"the clock of {name}, or this machine's, was set; check what sets it (PTP, PPS, NTP)"
        told = judge_clock(inlet, clock, time.time_ns())
        if told.liveness == "dead" and not inlet.failure:
            yield told.words
