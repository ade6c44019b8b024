"""What the sensors' stamps follow by their own word, and whether their stamps bear it out."""

from __future__ import annotations

from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.trial import StreamFacts, Trial
from devices.device import ClockSource

_FEWEST = 10
_CLOSE_NS = 100_000_000  # between a stamp and its arrival, for a clock that is said to follow the world's
_SLOW_CLOSE_NS = 1_000_000_000  # where an encoder or a receiver works on what it stamped before it sends it
_SLOW = (ClockSource.RTCP, ClockSource.GNSS)
_TAI_MINUS_UTC_NS = 37_000_000_000
_WORDS = {
    ClockSource.PPS: "a receiver's pulse",
    ClockSource.PTP: "PTP",
    ClockSource.RTCP: "RTCP sender reports",
    ClockSource.GNSS: "satellites",
    ClockSource.HOST: "this machine's clock",
}
_REVIVE = {
    ClockSource.PPS: "check the receiver's antenna, its pulse and its time message",
    ClockSource.PTP: "see whether a PTP master runs on this network (ptp4l, phc2sys) and the sensor is its slave",
    ClockSource.RTCP: "set the camera's own clock by NTP, on its page",
    ClockSource.GNSS: "wait for a fix under open sky",
    ClockSource.HOST: "set this machine's clock, then restart the sensor's driver",
}


def sensor_clocks(trial: Trial) -> list[Finding]:
    return [_clock(each) for each in trial.streams if each.is_steady and each.packets >= _FEWEST]


def _clock(facts: StreamFacts) -> Finding:
    check, name, source = "sensor clock", facts.stream.name, facts.clock_source
    if len(facts.device_ns) < _FEWEST:
        measured = "gives no stamps of its own: a sample's time is its arrival, jitter included"
        return amber(
            check,
            name,
            measured,
            "switch stamps on in the sensor, if it has them; else state least_latency_ms in rig.toml",
        )
    if facts.device_ns[-1] <= facts.device_ns[0]:
        return red(
            check,
            name,
            "its clock stands still or runs backwards",
            "restart the sensor; without a running clock its stamps mean nothing",
        )
    if source not in _WORDS:
        return green(check, name, "runs freely; the recorder fits it to this machine's clock")
    late_ns = int((facts.device_arrivals_ns - facts.device_ns).min())
    measured = f"follows {_WORDS[source]} by its own word; its stamps are {late_ns / 1e6:+.1f} ms before their arrival"
    if -_CLOSE_NS <= late_ns <= (_SLOW_CLOSE_NS if source in _SLOW else _CLOSE_NS):
        return green(check, name, measured)
    if source is ClockSource.PTP and abs(late_ns + _TAI_MINUS_UTC_NS) <= _CLOSE_NS:
        return green(check, name, f"{measured} (TAI, 37 s ahead of UTC)")
    return amber(check, name, f"{measured}: it follows something else", _REVIVE[source])
