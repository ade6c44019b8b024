"""How many samples a second a stream states that it gives, by what its sensor or driver said of it."""

from __future__ import annotations

import json
import re
from typing import Any

from devices.device import Stream

_LIDAR_MODE = re.compile(r"\d+x(\d+)")  # an Ouster's: columns x turns a second
_KEYS = ("fps", "rate_hz", "frame_rate_hz")


def stated_rate_hz(stream: Stream) -> float | None:
    """From the description: a camera's ``fps`` or ``rate_hz`` (also under ``settings``), an Ouster's ``lidar_mode``; None where none says."""
    try:
        said = json.loads(stream.description)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    tables = [table for table in (said.get("settings"), said.get("config_params"), said) if isinstance(table, dict)]
    rates = [rate for table in tables for rate in (_in_table(table),) if rate is not None]
    return rates[0] if rates else None


def _in_table(table: dict[str, Any]) -> float | None:
    mode = table.get("lidar_mode")
    if isinstance(mode, str) and (match := _LIDAR_MODE.fullmatch(mode)):
        return float(match[1]) or None
    for key in _KEYS:
        value = table.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
            return float(value)
    return None
