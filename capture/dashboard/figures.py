"""Samples that are no pictures, in a few lines of name and value: what a person checks at a glance."""

from __future__ import annotations

import numpy as np

from devices.samples import GnssFix, ImuSample, NamedVector, Sample

_LINES = 8


def figures(sample: Sample) -> str:
    """At most eight lines; empty for what has no figures."""
    if isinstance(sample, NamedVector):
        rows = [f"{name} {value:.3f}" for name, value in zip(sample.names, sample.values, strict=True)]
        return "\n".join(rows if len(rows) <= _LINES else [*rows[: _LINES - 1], f"and {len(rows) - _LINES + 1} more"])
    if isinstance(sample, ImuSample):
        return "\n".join(
            [
                "rate " + " ".join(f"{np.degrees(value):+.1f}" for value in sample.angular_rate) + " °/s",
                "acceleration " + " ".join(f"{value:+.2f}" for value in sample.acceleration) + " m/s²",
                f"together {float(np.linalg.norm(sample.acceleration)):.2f} m/s²",
            ]
        )
    if isinstance(sample, GnssFix):
        return "\n".join(_fix_lines(sample))
    return ""


def _fix_lines(fix: GnssFix) -> list[str]:
    lines = [f"fix {fix.quality.value}", f"{fix.latitude_deg:.6f}° {fix.longitude_deg:.6f}°"]
    if fix.satellites is not None:
        lines.append(f"{fix.satellites} satellites")
    if fix.sigma_m is not None:
        lines.append(f"sigma {float(np.hypot(*fix.sigma_m[:2])):.2f} m")
    return lines
