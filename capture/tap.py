"""The newest packets of each stream, for whoever wants to look; holds nothing while nobody does."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from capture.errors import CaptureError
from capture.packet_queue import Queued
from devices.samples import Packet

_WANTED_S = 5.0  # how long a stream is kept for after it was last asked for
_BYTES_MAX = 16 << 20
# How far back the packets of one look reach: a picture is one packet, a sweep at 5 Hz takes 0.2 s, a video needs its last key frame.
_REACH_NS = 250_000_000
_REACHES_NS = {"jpeg": 0, "png": 0, "h264": 3_000_000_000, "h265": 3_000_000_000}


@dataclass(slots=True)
class _Kept:
    reach_ns: int
    wanted_until_s: float = 0.0
    size_bytes: int = 0
    packets: deque[Packet] = field(default_factory=deque)


class Tap:
    """offer() is the writer thread's, look() anybody's."""

    def __init__(self, streams: Sequence[tuple[str, str]]) -> None:
        """streams: (name, encoding) of each, by inlet."""
        self._kept = [_Kept(_REACHES_NS.get(encoding, _REACH_NS)) for _, encoding in streams]
        self._index = {name: index for index, (name, _) in enumerate(streams)}
        self._lock = threading.Lock()
        self._wanted_until_s = 0.0

    @property
    def is_wanted(self) -> bool:
        return time.monotonic() < self._wanted_until_s

    def offer(self, queued: Queued) -> None:
        kept, packet = self._kept[queued.inlet.index], queued.packet
        with self._lock:
            if time.monotonic() > kept.wanted_until_s:
                kept.packets.clear()
                kept.size_bytes = 0
                return
            kept.packets.append(packet)
            kept.size_bytes += len(packet.data)
            oldest_ns = packet.stamps.host_ns - kept.reach_ns
            while len(kept.packets) > 1 and (
                kept.packets[0].stamps.host_ns < oldest_ns or kept.size_bytes > _BYTES_MAX
            ):
                kept.size_bytes -= len(kept.packets.popleft().data)

    def look(self, stream: str) -> list[Packet]:
        """What is kept of a stream; from the first look on, it is kept. Raises CaptureError naming the streams."""
        if stream not in self._index:
            raise CaptureError(f"this recorder has no stream '{stream}'; it has: {', '.join(self._index)}")
        kept = self._kept[self._index[stream]]
        with self._lock:
            if time.monotonic() > kept.wanted_until_s:  # what was kept for an earlier look is old
                kept.packets.clear()
                kept.size_bytes = 0
            self._wanted_until_s = kept.wanted_until_s = time.monotonic() + _WANTED_S
            return list(kept.packets)
