"""What goes over the wire between a recorder and whoever steers it: JSON lines, and packets behind one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from devices.samples import Packet, Stamps

LINE_BYTES_MAX = 1 << 20
ANSWER_S = 60.0  # closing a recording syncs and hashes; a slow disk may take this long


def line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def with_packets(packets: Sequence[Packet]) -> bytes:
    """An answer that names each packet's host ns, device ns and size; their bytes follow it."""
    heads = [(packet.stamps.host_ns, packet.stamps.device_ns, len(packet.data)) for packet in packets]
    return line({"ok": True, "packets": heads}) + b"".join(packet.data for packet in packets)


def packets_of(answer: Mapping[str, Any], body: BinaryIO, stream: str) -> list[Packet]:
    """What with_packets() has put behind an answer."""
    return [
        Packet(stream, Stamps(host_ns, device_ns), body.read(size)) for host_ns, device_ns, size in answer["packets"]
    ]
