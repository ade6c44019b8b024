"""JSON objects, one a line, one or several a UDP datagram: how robots and operators report without a protocol of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from devices.device import Rejections

_INT64_MAX = (1 << 63) - 1


def objects(data: bytes, rejections: Rejections) -> Iterator[dict[str, Any]]:
    """The objects in ``data`` that have a ``t_ns`` (int64, ns); other lines are counted and passed over, empty ones ignored."""
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        found = _parsed(line)
        if found is None:
            rejections.add("not a JSON object")
        elif not is_time(found.get("t_ns")):
            rejections.add("no t_ns, or not an int64 of ns")
        else:
            yield found


def newest_t_ns(data: bytes) -> int | None:
    """The t_ns of the datagram's last line that has one."""
    times = [found["t_ns"] for found in objects(data, Rejections())]
    return times[-1] if times else None


def is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INT64_MAX


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):  # ValueError covers bad UTF-8 and integers of absurd length
        return None
    return found if isinstance(found, dict) else None
