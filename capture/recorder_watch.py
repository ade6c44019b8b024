"""What can be seen of the sensors from the recorder: each stream's state, and what a crew should be alarmed by."""

from __future__ import annotations

import time
from collections.abc import Sequence

from capture.clock.stamper import Stamper
from capture.health import Rate, is_steady
from capture.inlet import Inlet
from capture.intake import Intake
from capture.recorder_state import RecorderState, StreamState
from capture.tally import Tally

_LOST_ALARM_S = 10.0  # how long a loss alarms
_SYNC_ALARM_S = 5.0
_DISK_ALARM_S = 600.0


class RecorderWatch:
    """Asked several times a second by anybody; what it remembers is only rates."""

    def __init__(self, intake: Intake, stamper: Stamper, silent_s: float) -> None:
        self._intake = intake
        self._stamper = stamper
        self._silent_s = silent_s
        self._opened_s = time.monotonic()
        self._rates = [(Rate(), Rate()) for _ in intake.inlets]
        self._lost = [0] * len(intake.inlets)
        self._lost_at_s = [float("-inf")] * len(intake.inlets)

    def streams(self, tallies: Sequence[Tally] | None) -> tuple[StreamState, ...]:
        """tallies: of the recording under way; counts are its own then, else since the sensors were opened."""
        now_ns, rows = time.time_ns(), []
        for inlet, (packets, volume) in zip(self._intake.inlets, self._rates, strict=True):
            stream, fit = inlet.stream, self._stamper.known(inlet.index)
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
                    clock_source=inlet.clock_source.value,
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
        found += [line for line in map(self._loss_line, self._intake.inlets, state.streams) if line]
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

    def _loss_line(self, inlet: Inlet, stream: StreamState) -> str:
        lost = inlet.lost + inlet.dropped
        if lost > self._lost[inlet.index]:
            self._lost[inlet.index], self._lost_at_s[inlet.index] = lost, time.monotonic()
        if time.monotonic() - self._lost_at_s[inlet.index] > _LOST_ALARM_S:
            return ""
        return f"{stream.name} loses packets ({lost} by now); close other programs, or check its cable and the receive buffer"
