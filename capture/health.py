"""How a recording is doing: for the health topic once a second, and for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from capture.bag.diagnostics import Status
from capture.clock.claim import ClaimVerdict, judge_claim
from capture.clock.filter import ClockFilter
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.recording_info import Losses
from capture.rest import rest_ns
from capture.tally import Tally
from devices.rig import Rig

OK, WARNING, ERROR, STALE = range(4)
_BEHIND_NS = 1_000_000_000  # more than an air link's usual stall
CHECK_SENDERS = "see whether something else sends to its port, and check its cable"


@dataclass(slots=True)
class Rate:
    """Events a second over the last second or two."""

    _since_s: float = field(default_factory=time.monotonic)
    _count: int = 0
    hz: float = 0.0

    def update(self, count: int) -> float:
        now_s = time.monotonic()
        if (passed_s := now_s - self._since_s) >= 1.0:
            self.hz = (count - self._count) / passed_s
            self._since_s, self._count = now_s, count
        return self.hz


def stream_status(tally: Tally, recorded: int, rate_hz: float, clock: ClockFilter, now_ns: int) -> Status:
    """One stream on the health topic. recorded: its messages in the bag before this status."""
    inlet, lost, dropped = tally.inlet, tally.lost, tally.dropped
    silence_s = (now_ns - inlet.last_ns) / 1e9
    values = {
        "received": str(tally.received),
        "recorded": str(recorded),
        "received_bytes": str(inlet.received_bytes),
        "lost_before_read": str(lost),
        "dropped_in_queue": str(dropped),
        "rejected": str(sum(tally.rejected.values())),
        "rate_hz": f"{rate_hz:.2f}",
        "silent_ms": f"{silence_s * 1e3:.0f}" if inlet.received else "",
    }
    values |= _clock_values(inlet, clock, now_ns)
    if inlet.failure:
        return Status(ERROR, inlet.stream.name, inlet.failure, values)
    if lost or dropped:
        return Status(WARNING, inlet.stream.name, f"{lost + dropped} packets lost", values)
    if tally.rejected:
        return Status(WARNING, inlet.stream.name, rejected_in_words(tally.rejected), values)
    if inlet.is_steady and (not inlet.received or now_ns - inlet.last_ns > inlet.silent_ns):
        return Status(STALE, inlet.stream.name, "silent", values)
    if trouble := clock_trouble(inlet, clock, now_ns):
        return Status(WARNING, inlet.stream.name, trouble, values)
    return Status(OK, inlet.stream.name, f"{rate_hz:.1f} packets/s", values)


def losses_of(status: Status) -> Losses:
    """Raises CaptureError when it does not say them."""
    try:
        return Losses(before_read=int(status.values["lost_before_read"]), queue=int(status.values["dropped_in_queue"]))
    except (KeyError, ValueError):
        raise CaptureError(f"a health message says nothing of what was lost on {status.name}") from None


def clock_trouble(inlet: Inlet, clock: ClockFilter, now_ns: int) -> str:
    """What is wrong with a stream's clock at the moment, in one line with what to do; empty where nothing is."""
    name = inlet.stream.name
    if clock.stands_still:
        return f"{name}: its clock stands still, and its samples bear their arrival instead; restart the sensor"
    if clock.behind_ns > _BEHIND_NS:
        behind_s = clock.behind_ns / 1e9
        return (
            f"{name} arrives {behind_s:.1f} s later than before: its link is congested, its clock slow or set back, or a capture is "
            "played again; check its cable, or restart it"
        )
    claim = _judge_claim(inlet, clock, now_ns)
    return claim.words if claim.liveness == "dead" else ""


def _judge_claim(inlet: Inlet, clock: ClockFilter, now_ns: int) -> ClaimVerdict:
    source, fit = inlet.ask_clock_source(), clock.known
    return judge_claim(inlet.stream.name, source, [] if fit is None else [fit], now_ns, inlet.followed)


def _clock_values(inlet: Inlet, clock: ClockFilter, now_ns: int) -> dict[str, str]:
    fit = clock.known
    if fit is None:
        return {}
    return {
        "clock_source": inlet.ask_clock_source().value,
        "clock_source_is": "dead" if clock.stands_still else _judge_claim(inlet, clock, now_ns).liveness,
        "clock_offset_ms": f"{fit.host_minus_device_ns / 1e6:.4f}",
        "clock_skew_ppm": f"{fit.skew_ppm:.3f}",
        "clock_sigma_ms": f"{fit.sigma_ns / 1e6:.4f}",
        "clock_restarts": str(clock.restarts),
        "clock_strays": str(clock.strays),
        "clock_stood_still": str(clock.stopped),
        "clock_behind_ms": f"{clock.behind_ns / 1e6:.1f}",
    }


def rejected_in_words(rejected: Mapping[str, int]) -> str:
    """rejected: reason -> packets; kept as they came."""
    why = ", ".join(f"{count} x {reason}" for reason, count in sorted(rejected.items()))
    return f"{sum(rejected.values())} packets are not as the sensor sends them ({why})"


def silent_sensors(tallies: Sequence[Tally], rig: Rig, lasted_ns: float) -> list[str]:
    """Sensors that ought to speak steadily, and several times in so long, and have said nothing at all on any stream."""
    heard = {each.inlet.stream.sensor for each in tallies if each.received > 0 or each.inlet.failure}
    steady = [each.inlet.stream for each in tallies if each.inlet.is_steady]
    due = dict.fromkeys(stream.sensor for stream in steady if rest_ns(rig, stream) <= lasted_ns)
    return [sensor for sensor in due if sensor not in heard]
