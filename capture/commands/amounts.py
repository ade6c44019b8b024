"""Lengths of time and sizes as people type them: 20s, 5min, 1h; 500MB, 5GB."""

from __future__ import annotations

import re

from capture.errors import CaptureError

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def seconds(text: str) -> float:
    """``20s``, ``1.5min``, ``2h``, or a plain number of seconds. Raises CaptureError on anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise CaptureError(f"'{text}' is no length of time; write it like 20s, 5min or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def size_bytes(text: str) -> int:
    """``500MB``, ``5GB``, ``1TB`` (powers of ten). Raises CaptureError on anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)", text.strip())
    if match is None or float(match[1]) == 0:
        raise CaptureError(f"'{text}' is no size; write it like 500MB or 5GB")
    return round(float(match[1]) * _BYTES[match[2]])
