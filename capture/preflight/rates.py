"""Whether every stream comes at the rate that somebody states, and steadily."""

from __future__ import annotations

import numpy as np

from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.sensors import CHECK_POWER, FOREIGN, KEY_FRAMES
from capture.preflight.trial import StreamFacts, Trial
from devices.rig import Rig
from devices.samples import ImuSample
from devices.stated_rate import stated_rate_hz

# A crystal is good to 100 ppm; what is beyond 2 % is another setting, a lost part or a starved bus.
_RATE_GREEN, _RATE_AMBER = 0.02, 0.10
_FEWEST_SAMPLES = 3  # two distances between samples: below that there is no rate to speak of
_WINDOW_S = 0.5  # or some of the stream's own intervals
_UNSTEADY = 0.25  # share by which a half second's packets may differ from the usual number, beside _UNSTEADY_COUNT
_UNSTEADY_COUNT = 3
_UNSTEADY_ADVICE = "check its cable, its bus and its exposure time; say rate_hz in rig.toml to have it compared"
_SO_SLOW_ADVICE = "where it speaks no more often, say so in rig.toml, e.g. rate_hz = 0.2 for once in five seconds"
_SILENT_S = 1.0
_SEVERAL = 5  # intervals of the stream's own
_BETWEEN_EPOCHS_S = 1.0  # of a GNSS receiver, as they come from the factory
_NO_FIX_ADVICE = "wait under open sky, and see whether its antenna is plugged in; until it has a fix, only its sentences are recorded"


def rates(rig: Rig, trial: Trial) -> list[Finding]:
    """Every stream of samples comes at the rate that rig.toml or the sensor states, or at least steadily."""
    return [
        _rate(each, _expected_hz(rig, trial, each), trial)
        for each in trial.streams
        if each.is_steady and each.packets and not each.failure and not each.undecodable
    ]


def _expected_hz(rig: Rig, trial: Trial, facts: StreamFacts) -> float | None:
    """By rig.toml, whose rate_hz is that of sweeps, pictures or vectors, not of an IMU that rides along; else by the stream's own word."""
    siblings = [each for each in trial.streams if each.stream.sensor == facts.stream.sensor and each.is_steady]
    rides_along = facts.yields is ImuSample and any(each.yields is not ImuSample for each in siblings)
    said = None if rides_along else rig.sensors[facts.stream.sensor].rate_hz
    return said if said is not None else stated_rate_hz(facts.stream)


def _rate(facts: StreamFacts, expected_hz: float | None, trial: Trial) -> Finding:
    name, hz = facts.stream.name, _hz(facts)
    if silence := _silence(facts, expected_hz, trial):
        return red("rate", name, silence, CHECK_POWER if expected_hz else f"{CHECK_POWER}; {_SO_SLOW_ADVICE}")
    if facts.awaits_fix:
        return amber("rate", name, "no fix yet, while it speaks", _NO_FIX_ADVICE)
    if hz is None:
        return _too_few(facts, expected_hz, trial)
    if expected_hz is None:
        if unsteady := _unsteadiness(facts, trial):
            return amber("rate", name, f"{hz:.2f} a second, but {unsteady}", _UNSTEADY_ADVICE)
        return green("rate", name, f"{hz:.2f} a second, steady (nothing states what it should be)")
    off = hz / expected_hz - 1
    measured = f"{hz:.2f} a second, {expected_hz:g} expected ({off:+.1%})"
    if abs(off) <= _RATE_GREEN:
        return green("rate", name, measured)
    colour = amber if abs(off) <= _RATE_AMBER else red
    why = "something on its way loses data, or it is set to another rate" if off < 0 else "it is set to another rate"
    return colour("rate", name, measured, f"{why}: check its settings and its cable, or correct rate_hz in rig.toml")


def _too_few(facts: StreamFacts, expected_hz: float | None, trial: Trial) -> Finding:
    name, count = facts.stream.name, len(facts.sample_arrivals_ns)
    heard_s = min(trial.duration_s, (facts.arrivals_ns[max(facts.decoded - 1, 0)] - facts.arrivals_ns[0]) / 1e9)
    measured = f"{count} samples in {heard_s:.1f} s"
    if facts.awaits_key_frame:
        return amber("rate", name, f"no key frame in {heard_s:.1f} s", KEY_FRAMES)
    if count == 0 and (facts.rejected or expected_hz is None or expected_hz * heard_s > 2 * _FEWEST_SAMPLES):
        return red("rate", name, measured, f"its packets make nothing whole: {FOREIGN}")
    return amber("rate", name, measured, "too few to tell a rate: listen longer, e.g. --for 30s")


def _hz(facts: StreamFacts) -> float | None:
    """Samples a second from the first to the last that was decoded; None when there are too few."""
    times = facts.sample_arrivals_ns
    if len(times) < _FEWEST_SAMPLES or times[-1] <= times[0]:
        return None
    return float((len(times) - 1) * 1e9 / (times[-1] - times[0]))


def _silence(facts: StreamFacts, expected_hz: float | None, trial: Trial) -> str:
    """Whether it fell silent for much longer than it is wont to, or ought to."""
    gaps_ns = np.diff(facts.arrivals_ns)
    limit_s = max(_SILENT_S, _SEVERAL * max(_usual_s(facts), 1 / expected_hz if expected_hz else 0.0))
    longest_s = float(gaps_ns.max()) / 1e9 if len(gaps_ns) else 0.0
    since_s = (trial.ended_ns - int(facts.arrivals_ns[-1])) / 1e9
    if since_s > limit_s:
        return f"fell silent {since_s:.1f} s before the end"
    return f"was silent for {longest_s:.1f} s" if longest_s > limit_s else ""


def _usual_s(facts: StreamFacts) -> float:
    """Between packets, or between samples where each takes a burst of packets, as of a GNSS receiver."""
    if facts.awaits_fix:
        return _BETWEEN_EPOCHS_S
    samples_ns = np.diff(facts.sample_arrivals_ns, prepend=facts.arrivals_ns[0])
    return max(
        float(np.median(gaps_ns)) / 1e9 for gaps_ns in (np.diff(facts.arrivals_ns), samples_ns, [0]) if len(gaps_ns)
    )


def _unsteadiness(facts: StreamFacts, trial: Trial) -> str:
    """Whether the packets of some half second differ much in number from the usual."""
    begun_ns, window_s = int(facts.arrivals_ns[0]), max(_WINDOW_S, _SEVERAL * _usual_s(facts))
    windows = int((trial.ended_ns - begun_ns) / 1e9 / window_s)
    if windows < 4:
        return ""
    edges = begun_ns + np.arange(windows + 1) * round(window_s * 1e9)
    counts = np.histogram(facts.arrivals_ns, edges)[0]
    usual = float(np.median(counts))
    if np.abs(counts - usual).max() <= _UNSTEADY * usual + _UNSTEADY_COUNT:
        return ""
    return f"between {counts.min() / window_s:.0f} and {counts.max() / window_s:.0f} packets a second"
