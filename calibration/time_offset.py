"""How a sensor's stamps become capture time, and how well.

A recording shows when packets arrived at the earliest (capture/clock/filter.py fits that floor). The least latency, from the
instant measured to arrival, cannot be seen in it: it is what rig.toml states. So the uncertainty given here is the
fit's; the stated figure has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.calibration import TimeOffset
from calibration.verdict import Findings
from devices.samples import Image, Sweep

if TYPE_CHECKING:
    from calibration.left_out import LeftOut
    from capture.clock.filter import ClockFit
    from capture.recording import Recording
    from devices.rig import Sensor

_DOUBTFUL_NS = 5_000_000


def time_offsets(recording: Recording, left_out: LeftOut) -> dict[str, TimeOffset]:
    """Sensor -> its time offset, for every sensor of the rig that was recorded. left_out: from reading these."""
    recorded = {stream.sensor for stream in recording.streams.values()}
    return {
        name: _time_offset(sensor, _clock_of(recording, name), _left_out_of(recording, name, left_out))
        for name, sensor in recording.rig.sensors.items()
        if name in recorded
    }


def _clock_of(recording: Recording, sensor: str) -> ClockFit | None:
    """The newest fit of a sensor's pictures or sweeps, which are translated by it; of all its streams where it has neither. The least sure of several."""
    own = [name for name, stream in recording.streams.items() if stream.sensor == sensor]
    seen = [name for kind in (Image, Sweep) for name in recording.streams_of(kind) if name in own]
    fits = [recording.clocks[name][-1] for name in seen or own if recording.clocks.get(name)]
    return max(fits, key=lambda fit: fit.sigma_ns, default=None)


def _left_out_of(recording: Recording, sensor: str, left_out: LeftOut) -> int:
    return sum(count for name, count in left_out.mistimed.items() if recording.streams[name].sensor == sensor)


def _time_offset(sensor: Sensor, clock: ClockFit | None, left_out: int) -> TimeOffset:
    findings = Findings()
    stated = "least_latency_ms" in sensor.model_fields_set
    findings.doubt_if(not stated, f"rig.toml states no least_latency_ms for '{sensor.name}', 0 was taken")
    findings.doubt_if(
        clock is None, f"'{sensor.name}' has no clock of its own: its samples are as late as they arrived"
    )
    if clock is not None:
        findings.doubt_if(
            clock.sigma_ns > _DOUBTFUL_NS,
            f"the clock of '{sensor.name}' is known to {clock.sigma_ns / 1e6:.1f} ms only",
        )
    fit = (
        {} if clock is None else {"skew_ppm": clock.skew_ppm, "fit_sigma_ns": clock.sigma_ns, "samples": clock.samples}
    )
    return TimeOffset(
        sensor.least_latency_ns,
        None if clock is None else round(clock.sigma_ns),
        "stated in rig.toml" if stated else "not stated",
        findings.verdict,
        {**fit, "samples_left_out": left_out, "reasons": findings.reasons},
    )
