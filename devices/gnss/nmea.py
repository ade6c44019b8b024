"""NMEA 0183 sentences: what GNSS receivers say in text. Field layouts: NMEA 0183 4.11 as u-blox' and Trimble's interface descriptions repeat it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence

from devices.device import Rejections
from devices.gnss.epoch import Part
from devices.samples import FixQuality

_KNOT_M_S = 1852 / 3600
_RANKS = {"GGA": 3, "GNS": 3, "RMC": 2, "GLL": 1}
_GGA_QUALITY = {
    "1": FixQuality.THREE_D, "2": FixQuality.DIFFERENTIAL, "3": FixQuality.THREE_D, "4": FixQuality.RTK_FIXED,
    "5": FixQuality.RTK_FLOAT, "6": FixQuality.DEAD_RECKONING, "9": FixQuality.DIFFERENTIAL,
}  # fmt: skip
_MODES = {
    "A": FixQuality.THREE_D, "D": FixQuality.DIFFERENTIAL, "P": FixQuality.THREE_D, "R": FixQuality.RTK_FIXED,
    "F": FixQuality.RTK_FLOAT, "E": FixQuality.DEAD_RECKONING,
}  # fmt: skip
_MODE_ORDER = list(FixQuality)


def read_sentence(sentence: bytes, rejections: Rejections) -> Part | None:
    """What a sentence says of place and time; None when it says nothing of that. Damaged ones are counted."""
    text = sentence.rstrip(b"\r\n")
    content, star, check = text[1:].rpartition(b"*")
    if not star or _checksum(content) != _hex(check):
        rejections.add("an NMEA sentence with a wrong checksum" if star else "an NMEA sentence cut short")
        return None
    fields = content.decode("ascii").split(",")
    kind = fields[0][-3:] if not fields[0].startswith("P") else ""
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        part = reader(fields)
    except (ValueError, IndexError):
        rejections.add(f"an NMEA {kind} sentence that makes no sense")
        return None
    part.kind = kind
    return part


def _rmc(fields: Sequence[str]) -> Part:
    mode = fields[12] if len(fields) > 12 else ""
    part = _placed("RMC", fields[1], fields[3:7], valid=fields[2] == "A" and mode != "N")
    part.date_ns = _date(int(fields[9][4:6]), int(fields[9][2:4]), int(fields[9][:2])) if fields[9] else None
    part.quality = _MODES.get(mode)
    if fields[7] and fields[8]:
        speed, course = float(fields[7]) * _KNOT_M_S, math.radians(float(fields[8]))
        part.velocity_m_s = (speed * math.sin(course), speed * math.cos(course), math.nan)
    return part


def _gga(fields: Sequence[str]) -> Part:
    part = _placed("GGA", fields[1], fields[2:6], valid=fields[6] in _GGA_QUALITY)
    part.quality = _GGA_QUALITY.get(fields[6])
    part.satellites = int(fields[7]) if fields[7] else None
    if fields[9] and fields[11]:  # above the sea, and the geoid above the ellipsoid
        part.altitude_m = float(fields[9]) + float(fields[11])
    return part


def _gns(fields: Sequence[str]) -> Part:
    """One mode letter a satellite system; the fix is as good as the best of them."""
    found = [_MODES[letter] for letter in fields[6] if letter in _MODES]
    part = _placed("GNS", fields[1], fields[2:6], valid=bool(found))
    part.quality = max(found, key=_MODE_ORDER.index, default=None)
    part.satellites = int(fields[7]) if fields[7] else None
    if fields[9] and fields[10]:
        part.altitude_m = float(fields[9]) + float(fields[10])
    return part


def _gll(fields: Sequence[str]) -> Part:
    return _placed("GLL", fields[5], fields[1:5], valid=fields[6] == "A")


def _gst(fields: Sequence[str]) -> Part:
    part = Part(of_day_ns=_of_day(fields[1]))
    if all(fields[6:9]):
        north, east, up = (float(field) for field in fields[6:9])
        part.sigma_m = (east, north, up)
    return part


def _gsa(fields: Sequence[str]) -> Part:
    return Part(two_d=True if fields[2] == "2" else None)


def _zda(fields: Sequence[str]) -> Part:
    part = Part(of_day_ns=_of_day(fields[1]))
    if all(fields[2:5]):
        day = dt.datetime(int(fields[4]), int(fields[3]), int(fields[2]), tzinfo=dt.UTC)
        part.date_ns = int(day.timestamp()) * 1_000_000_000
    return part


_READERS: dict[str, Callable[[Sequence[str]], Part]] = {
    "RMC": _rmc, "GGA": _gga, "GNS": _gns, "GLL": _gll, "GST": _gst, "GSA": _gsa, "ZDA": _zda,
}  # fmt: skip


def _placed(kind: str, time: str, place: Sequence[str], *, valid: bool) -> Part:
    part = Part(rank=_RANKS[kind], of_day_ns=_of_day(time), valid=valid)
    if valid and all(place):
        part.latitude_deg = _degrees(place[0], place[1], "NS", 90)
        part.longitude_deg = _degrees(place[2], place[3], "EW", 180)
    return part


def _degrees(text: str, side: str, sides: str, limit: int) -> float:
    """``4404.14063``, ``N`` -> degrees. Raises ValueError."""
    point = text.index(".") if "." in text else len(text)
    value = int(text[: point - 2] or "0") + float(text[point - 2 :]) / 60
    if not 0 <= value <= limit:
        raise ValueError(text)
    return value if sides.index(side) == 0 else -value


def _of_day(text: str) -> int | None:
    """``171926.00`` -> ns of the day. Raises ValueError."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    if len(whole) != 6:
        raise ValueError(text)
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError(text)
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or "0")


def _date(year: int, month: int, day: int) -> int:
    """RMC gives two digits of the year: 80 to 99 are the last century's, as GPS began in 1980."""
    moment = dt.datetime(year + (1900 if year >= 80 else 2000), month, day, tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1_000_000_000


def _checksum(content: bytes) -> int:
    value = 0
    for byte in content:
        value ^= byte
    return value


def _hex(text: bytes) -> int:
    try:
        return int(text, 16) if len(text) == 2 else -1
    except ValueError:
        return -1
