"""What stands where in a Velodyne's data packets, and what differs between the models that send them.

Source: Velodyne's user manuals; of the beats their "Discreet Point Timing Calculation".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from devices.velodyne.hour_clock import HOUR_US

PACKET_BYTES = 1206
FULL_TURN = 36000  # azimuths are in 0.01 degrees
DUAL_RETURN = 0x39
Model = Literal["VLP-16", "HDL-32E", "VLP-32C", "VLS-128"]

_BLOCKS, _BLOCK_BYTES = 12, 100
_RETURN_MODES = (0x37, 0x38, DUAL_RETURN)
_FLAGS = (b"\xff\xee",)
_FLAGS_VLS = (b"\xff\xee", b"\xff\xdd", b"\xff\xcc", b"\xff\xbb")


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between models. dual_blocks: how many of a packet's blocks are filled with two returns.

    period_us: from one packet to the next, with one return and with two. newest_us: how long after its stamp a packet's last
    firing is, likewise.
    """

    id: int
    beams: int
    decoder_name: str
    period_us: tuple[float, float]
    newest_us: tuple[float, float]
    flags: tuple[bytes, ...] = _FLAGS
    dual_blocks: int = _BLOCKS


KINDS: Mapping[str, Kind] = {
    "VLP-16": Kind(  # two firings a block
        0x22, 16, "VLP16", (24 * 55.296, 12 * 55.296), (55.296 * 23 + 2.304 * 15, 55.296 * 11 + 2.304 * 15)
    ),
    "HDL-32E": Kind(0x21, 32, "HDL32E", (12 * 46.08, 6 * 46.08), (46.08 * 11 + 1.152 * 31, 46.08 * 5 + 1.152 * 31)),
    "VLP-32C": Kind(
        0x28, 32, "VLP32C", (12 * 55.296, 6 * 55.296), (55.296 * 11 + 2.304 * 15, 55.296 * 5 + 2.304 * 15)
    ),
    "VLS-128": Kind(  # four blocks a firing; with two returns one firing a packet
        0xA1, 128, "VLS128", (3 * 53.3, 53.3), (53.3 * 2 + 2.665 * 16 - 8.7, 2.665 * 16 - 8.7), _FLAGS_VLS, dual_blocks=8
    ),
}  # fmt: skip


def model_of(data: bytes) -> str | None:
    """Which model's data packet this is; None when it is none."""
    return next((name for name, kind in KINDS.items() if fault_of(data, kind) is None), None)


def fault_of(data: bytes, kind: Kind) -> str | None:
    """Why this is no data packet of that model, or None."""
    if len(data) != PACKET_BYTES:
        return "wrong size"
    if data[1205] != kind.id:
        return "another model"
    if return_mode(data) not in _RETURN_MODES:
        return "unknown return mode"
    if us_past_hour(data) >= HOUR_US:
        return "a time beyond the hour"
    filled_to = _filled_blocks(data, kind) * _BLOCK_BYTES
    for at in range(0, _BLOCKS * _BLOCK_BYTES, _BLOCK_BYTES):
        flag, azimuth = data[at : at + 2], data[at + 2] | data[at + 3] << 8
        if flag not in kind.flags and (at < filled_to or flag != b"\0\0"):
            return "a broken block"
        if azimuth >= FULL_TURN:
            return "an azimuth beyond 360 degrees"
    return None


def azimuths(data: bytes, kind: Kind) -> tuple[int, int]:
    """Of the first and the last filled block, hundredths of a degree."""
    at = (_filled_blocks(data, kind) - 1) * _BLOCK_BYTES
    return data[2] | data[3] << 8, data[at + 2] | data[at + 3] << 8


def return_mode(data: bytes) -> int:
    return data[1204]


def us_past_hour(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 1200)[0])


def newest_after_ns(data: bytes, kind: Kind) -> int:
    """How long after its stamp a packet's last firing is."""
    return round(kind.newest_us[return_mode(data) == DUAL_RETURN] * 1000)


def _filled_blocks(data: bytes, kind: Kind) -> int:
    return kind.dual_blocks if return_mode(data) == DUAL_RETURN else _BLOCKS
