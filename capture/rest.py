"""How long a stream may say nothing, by the rate that rig.toml or the stream itself states."""

from __future__ import annotations

from devices.device import Stream
from devices.rig import Rig
from devices.stated_rate import stated_rate_hz

_SEVERAL = 5  # intervals that a sensor may leave out, where they are long


def rest_ns(rig: Rig, stream: Stream) -> int:
    """0 where nobody states a rate."""
    said_hz = rig.sensors[stream.sensor].rate_hz if stream.sensor in rig.sensors else None
    rate_hz = said_hz or stated_rate_hz(stream)
    return 0 if rate_hz is None else round(_SEVERAL * 1e9 / rate_hz)
