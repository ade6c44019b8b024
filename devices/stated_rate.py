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
    read = _turns_hz if stream.encoding == "ouster.lidar" else _samples_hz
    return next((rate for rate in map(read, tables) if rate is not None), None)


def _turns_hz(table: dict[str, Any]) -> float | None:
    """The metadata also describes the lidar's IMU, whose rate it does not state."""
    match = _LIDAR_MODE.fullmatch(str(table.get("lidar_mode", "")))
    return (float(match[1]) or None) if match else None


def _samples_hz(table: dict[str, Any]) -> float | None:
    for key in _KEYS:
        value = table.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
            return float(value)
    return None
