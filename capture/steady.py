"""Which streams speak all the time: a silence of theirs means something."""

from __future__ import annotations

from devices.device import Stream
from devices.errors import DeviceError
from devices.rig import Rig

# Streams that speak when something happens.
EVENT_ENCODINGS = frozenset({"mark.json"})


def is_steady(rig: Rig, stream: Stream) -> bool:
    """What holds no samples may be silent, too, and of what no driver is known nobody can tell."""
    if stream.encoding in EVENT_ENCODINGS:
        return False
    try:
        return stream.encoding in rig.driver_of(stream.sensor).yields
    except (DeviceError, KeyError):
        return False
