"""What the sensors' stamps follow by their own word, and whether their stamps bear it out."""

from __future__ import annotations

from capture.clock.claim import judge_claim
from capture.clock.filter import ClockFilter
from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.trial import StreamFacts, Trial
from devices.device import ClockSource

_FEWEST = 3
_NO_STAMPS = "switch stamps on in the sensor, if it has them; else state least_latency_ms in rig.toml"
_STANDS_STILL = "restart the sensor; without a running clock its stamps mean nothing"


def sensor_clocks(trial: Trial) -> list[Finding]:
    return [_clock(each, trial.ended_ns) for each in trial.streams if each.is_steady and each.packets >= _FEWEST]


def _clock(facts: StreamFacts, now_ns: int) -> Finding:
    check, name = "sensor clock", facts.stream.name
    if len(facts.device_ns) < _FEWEST:
        return amber(check, name, "gives no stamps: a sample's time is its arrival, jitter included", _NO_STAMPS)
    if facts.device_ns[-1] <= facts.device_ns[0]:
        return red(check, name, "its clock stands still or runs backwards", _STANDS_STILL)
    if facts.clock_source in {ClockSource.NONE, ClockSource.FREE}:
        return green(check, name, "runs freely; the recorder fits it to this machine's clock")
    clock = ClockFilter()
    for device_ns, host_ns in zip(facts.device_ns.tolist(), facts.device_arrivals_ns.tolist(), strict=True):
        clock.add(device_ns, host_ns)
    clock.fit()
    judged = judge_claim(name, facts.clock_source, clock.history(), now_ns)
    words = judged.words.removeprefix(f"{name} ")
    if judged.liveness != "dead":  # few seconds rarely tell a rate: that it stands where it claims is enough
        return green(check, name, words)
    measured, _, what_to_do = words.rpartition("; ")
    return amber(check, name, measured, what_to_do)
