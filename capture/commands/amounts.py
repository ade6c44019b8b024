"""Lengths of time and sizes as people type them: 20s, 5min, 1h; 500MB, 5GB."""

from __future__ import annotations

import re

from capture.errors import CaptureError

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_LONGEST_S, _MOST_BYTES = 1e9, 1e18  # 32 years; more than any disk holds


def seconds(text: str, option: str = "", least_s: float = 1e-3) -> float:
    """``20s``, ``1.5min``, ``2h``, or a plain number of seconds. option: what it was said for. Raises CaptureError on anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)?", text.strip())
    length_s = 0.0 if match is None else float(match[1]) * _SECONDS[match[2] or "s"]
    if not 0 < length_s < _LONGEST_S:
        raise CaptureError(f"{option} '{text}' is no length of time; write it like 20s, 5min or 1h".lstrip())
    if length_s < least_s:
        raise CaptureError(f"{option} '{text}' is too short: at least {least_s:g} s".lstrip())
    return length_s


def size_bytes(text: str, option: str = "", least_bytes: int = 1) -> int:
    """``500MB``, ``5GB``, ``1TB`` (powers of ten). option: what it was said for. Raises CaptureError on anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(MB|GB|TB)", text.strip())
    size = 0.0 if match is None else float(match[1]) * _BYTES[match[2]]
    if not 0 < size < _MOST_BYTES:
        raise CaptureError(f"{option} '{text}' is no size; write it like 500MB or 5GB".lstrip())
    if size < least_bytes:
        raise CaptureError(f"{option} '{text}' is too small: at least {least_bytes / 1e6:g} MB".lstrip())
    return round(size)
