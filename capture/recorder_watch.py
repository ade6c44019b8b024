"""What can be seen of the sensors from the recorder: each stream's state, and what a crew should be alarmed by."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from capture.clock.stamper import Stamper
from capture.clock_note import clock_alarm
from capture.health import CHECK_SENDERS, Rate, clock_trouble, rejected_in_words
from capture.inlet import Inlet
from capture.intake import Intake
from capture.recorder_state import RecorderState, StreamState
from capture.tally import Tally
from devices.host_clock import HOST_CLOCK

_LOOK_S = 0.25
_RISE_ALARM_S = 10.0  # how long a loss, or a clock that was set, alarms
_SYNC_ALARM_S = 5.0
_DISK_ALARM_S = 600.0


@dataclass(slots=True)
class _Rise:
    """A count that ought to stay where it is, or begins again."""

    count: int = 0
    at_s: float = float("-inf")

    def update(self, count: int) -> None:
        if count > self.count:
            self.at_s = time.monotonic()
        self.count = count

    @property
    def is_recent(self) -> bool:
        return time.monotonic() - self.at_s <= _RISE_ALARM_S


@dataclass(slots=True)
class _Seen:
    """What can be told of a stream only by looking again and again."""

    packets: Rate = field(default_factory=Rate)
    volume: Rate = field(default_factory=Rate)
    lost: _Rise = field(default_factory=_Rise)
    rejected: _Rise = field(default_factory=_Rise)
    clock_set: _Rise = field(default_factory=_Rise)


class RecorderWatch:
    """Once started it looks by itself, so that rates and alarms depend on no one who asks, how often and with how many others."""

    def __init__(self, intake: Intake, stamper: Stamper) -> None:
        self._intake = intake
        self._stamper = stamper
        self._opened_s = time.monotonic()
        self._seen = [_Seen() for _ in intake.inlets]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def streams(self, tallies: Sequence[Tally] | None) -> tuple[StreamState, ...]:
        """tallies: of the recording under way; counts are its own then, else since the sensors were opened."""
        now_ns, rows = HOST_CLOCK.now_ns(), []
        for inlet, seen in zip(self._intake.inlets, self._seen, strict=True):
            stream, fit = inlet.stream, self._stamper.clock(inlet.index).known
            tally = None if tallies is None else tallies[inlet.index]
            rows.append(
                StreamState(
                    name=stream.name,
                    encoding=stream.encoding,
                    description=stream.description,
                    received=inlet.received if tally is None else tally.received,
                    rate_hz=seen.packets.hz,
                    bytes_s=seen.volume.hz,
                    lost=inlet.lost + inlet.dropped if tally is None else tally.lost + tally.dropped,
                    rejected=sum((inlet.rejected if tally is None else tally.rejected).values()),
                    jitter_ms=inlet.jitter_ns / 1e6,
                    clock_source=inlet.ask_clock_source().value,
                    clock_offset_ms=None if fit is None else fit.host_minus_device_ns / 1e6,
                    clock_sigma_ms=None if fit is None else fit.sigma_ns / 1e6,
                    silent_s=(now_ns - inlet.last_ns) / 1e9 if inlet.received else None,
                    connected=not inlet.failure,
                    failure=inlet.failure,
                    is_steady=inlet.is_steady,
                )
            )
        return tuple(rows)

    def disk_left_s(self, free_bytes: int | None, kept_back_bytes: int) -> float | None:
        """Until the disk is full at the present rate; None while nothing comes, or the disk does not say what is free."""
        bytes_s = sum(seen.volume.hz for seen in self._seen)
        if free_bytes is None or not bytes_s:
            return None
        return max(0.0, (free_bytes - kept_back_bytes) / bytes_s)

    def alarms(self, state: RecorderState) -> list[str]:
        """What is wrong now, one line each with what to do."""
        found = list(dict.fromkeys(stream.failure for stream in state.streams if stream.failure))
        found += self._silences(state)
        found += [line for inlet in self._intake.inlets for line in self._rises(inlet)]
        if state.mode != "standby" and (said := clock_alarm(HOST_CLOCK.sets, HOST_CLOCK.now_ns(), _RISE_ALARM_S)):
            found.append(said)
        if state.queue_bytes > state.queue_bound_bytes // 2:
            found.append("the disk is slower than the sensors; close other programs, or record to another disk")
        if state.synced_s_ago is not None and state.synced_s_ago > _SYNC_ALARM_S:
            found.append(
                f"nothing has reached the disk for {state.synced_s_ago:.0f} s; check it, or record to another one"
            )
        if state.disk_left_s is not None and state.disk_left_s < _DISK_ALARM_S:
            found.append(f"the disk is full in {state.disk_left_s / 60:.0f} min at this rate; free some space")
        return found

    def _silences(self, state: RecorderState) -> Iterator[str]:
        """A sensor of which no stream speaks is told once."""
        since_s = {each.name: self._silence_s(each) for each in state.streams}
        for connection in self._intake.connections:
            due = [each for each in connection.due if not each.failure and not each.finished]
            quiet = [each for each in due if since_s[each.stream.name] * 1e9 > each.silent_ns]
            silent = {each.stream.name: since_s[each.stream.name] for each in quiet}
            if silent and len(silent) == len(due):
                silent = {connection.sensor.name: min(silent.values())}
            for name, silent_s in silent.items():
                yield f"nothing from {name} for {silent_s:.0f} s; check its power and cable"

    def _silence_s(self, stream: StreamState) -> float:
        return time.monotonic() - self._opened_s if stream.silent_s is None else stream.silent_s

    def _rises(self, inlet: Inlet) -> Iterator[str]:
        name, seen, clock = inlet.stream.name, self._seen[inlet.index], self._stamper.clock(inlet.index)
        if seen.lost.is_recent:
            yield f"{name} loses packets ({seen.lost.count} by now); close other programs, or check its cable and the receive buffer"
        if seen.rejected.is_recent:
            yield f"{name}: {rejected_in_words(inlet.rejected)} by now; {CHECK_SENDERS}"
        if seen.clock_set.is_recent:
            yield f"the clock of {name} was set; check what sets it (PTP, PPS, NTP)"
        if not inlet.failure and (trouble := clock_trouble(inlet, clock, HOST_CLOCK.now_ns())):
            yield trouble

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            HOST_CLOCK.look()
            for inlet, seen in zip(self._intake.inlets, self._seen, strict=True):
                with contextlib.suppress(
                    Exception
                ):  # a driver that cannot say what it has lost: the health topic tells of it
                    self._look(inlet, seen)

    def _look(self, inlet: Inlet, seen: _Seen) -> None:
        seen.packets.update(inlet.received)
        seen.volume.update(inlet.received_bytes)
        seen.clock_set.update(self._stamper.clock(inlet.index).restarts)
        seen.lost.update(inlet.lost + inlet.dropped)
        seen.rejected.update(sum(inlet.rejected.values()))
