"""UBX frames of u-blox receivers: what they say of place and time. Source: u-blox' interface descriptions (M8, F9), as pyubx2 names the fields."""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Callable

from devices.device import Rejections
from devices.gnss.ecef import enu_from_ecef, geodetic
from devices.gnss.epoch import DAY_NS, Part
from devices.samples import FixQuality

_MS_NS = 1_000_000
_WEEK_MS = 7 * 86_400_000
_GPS_EPOCH_S = 315_964_800  # 1980-01-06, the first second of GPS time, UTC since 1970
_RANK_HIGH_PRECISION, _RANK_PVT, _RANK_POSITION, _RANK_ECEF = 9, 8, 7, 6
# GPS minus UTC, s, from the second of GPS time on at which it holds (IERS Bulletin C); none was announced since 2017.
_LEAPS = ((1_167_264_018, 18), (1_119_744_017, 17), (1_025_136_016, 16), (914_803_215, 15), (820_108_814, 14), (0, 13))


def read_frame(frame: bytes, rejections: Rejections) -> Part | None:
    """What a frame with a right checksum says of place and time; None when it says nothing of that."""
    kind = frame[2], frame[3]
    known = _READERS.get(kind)
    if known is None:
        return None
    name, least_bytes, reader = known
    payload = frame[6:-2]
    if len(payload) < least_bytes:
        rejections.add(f"a UBX {name} frame of {len(payload)} bytes, which is too short")
        return None
    try:
        part = reader(payload)
    except (ValueError, OverflowError):
        rejections.add(f"a UBX {name} frame that makes no sense")
        return None
    part.kind = name
    return part


def _pvt(payload: bytes) -> Part:
    """NAV-PVT. nano may be negative: the second is then the one that the instant is rounded to."""
    year, month, day, hour, minute, second, valid = struct.unpack_from("<H6B", payload, 4)
    nano, fix, flags = struct.unpack_from("<iBB", payload, 16)
    longitude, latitude, height, _, horizontal, vertical, north, east, down = struct.unpack_from("<4i2I3i", payload, 24)
    part = Part(rank=_RANK_PVT, valid=bool(flags & 1) and fix in (1, 2, 3, 4), satellites=payload[23])
    if valid & 3 == 3:
        midnight = dt.datetime(year, month, day, tzinfo=dt.UTC)
        if hour > 23 or minute > 59 or second > 60 or abs(nano) > 1_000_000_000:
            raise ValueError
        of_day_ns = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nano
        part.date_ns = int(midnight.timestamp()) * 1_000_000_000 + of_day_ns // DAY_NS * DAY_NS
        part.of_day_ns = of_day_ns % DAY_NS
    if part.valid:
        part.latitude_deg, part.longitude_deg = _place(latitude * 1e-7, longitude * 1e-7)
        part.altitude_m = height * 1e-3
        part.quality = _pvt_quality(fix, flags)
        part.sigma_m = (horizontal * 1e-3, horizontal * 1e-3, vertical * 1e-3)
        part.velocity_m_s = (east * 1e-3, north * 1e-3, -down * 1e-3)
    return part


def _pvt_quality(fix: int, flags: int) -> FixQuality:
    carrier = flags >> 6
    if carrier:
        return FixQuality.RTK_FIXED if carrier == 2 else FixQuality.RTK_FLOAT
    if flags & 2:
        return FixQuality.DIFFERENTIAL
    return {1: FixQuality.DEAD_RECKONING, 2: FixQuality.TWO_D}.get(fix, FixQuality.THREE_D)


def _hpposllh(payload: bytes) -> Part:
    """NAV-HPPOSLLH: what RTK adds below 1e-7 degrees and 1 mm; the place is the sum of both parts."""
    if payload[3] & 1:
        return Part()
    week_ms, longitude, latitude, height = struct.unpack_from("<I3i", payload, 4)
    longitude_rest, latitude_rest, height_rest = struct.unpack_from("<3b", payload, 24)
    horizontal, vertical = struct.unpack_from("<2I", payload, 28)
    part = Part(rank=_RANK_HIGH_PRECISION, of_day_ns=_of_day(week_ms))
    part.latitude_deg, part.longitude_deg = _place(
        (latitude * 100 + latitude_rest) * 1e-9, (longitude * 100 + longitude_rest) * 1e-9
    )
    part.altitude_m = (height * 10 + height_rest) * 1e-4
    part.sigma_m = (horizontal * 1e-4, horizontal * 1e-4, vertical * 1e-4)
    return part


def _posllh(payload: bytes) -> Part:
    """NAV-POSLLH. It does not say whether there is a fix."""
    week_ms, longitude, latitude, height, _, horizontal, vertical = struct.unpack_from("<I4i2I", payload)
    part = Part(rank=_RANK_POSITION, of_day_ns=_of_day(week_ms))
    part.latitude_deg, part.longitude_deg = _place(latitude * 1e-7, longitude * 1e-7)
    part.altitude_m = height * 1e-3
    part.sigma_m = (horizontal * 1e-3, horizontal * 1e-3, vertical * 1e-3)
    return part


def _sol(payload: bytes) -> Part:
    """NAV-SOL of receivers before M8: earth-centred position and velocity, GPS time."""
    week_ms, sub_ns, week, fix, flags = struct.unpack_from("<IihBB", payload)
    x, y, z, accuracy, vx, vy, vz = struct.unpack_from("<3iI3i", payload, 12)
    part = Part(rank=_RANK_ECEF, valid=bool(flags & 1) and fix in (1, 2, 3, 4), satellites=payload[47])
    if flags & 12 == 12:  # week and time of week are known
        t_ns = utc_ns(week, week_ms) + sub_ns
        part.date_ns, part.of_day_ns = t_ns // DAY_NS * DAY_NS, t_ns % DAY_NS
    place = geodetic(x / 100, y / 100, z / 100)
    if part.valid and place is not None:
        part.latitude_deg, part.longitude_deg, part.altitude_m = place
        part.quality = _pvt_quality(fix, flags & 3)
        part.sigma_m = (accuracy / 100, accuracy / 100, accuracy / 100)
        part.velocity_m_s = enu_from_ecef(place[0], place[1], (vx / 100, vy / 100, vz / 100))
    return part


def _timeutc(payload: bytes) -> Part:
    """NAV-TIMEUTC."""
    nano, year, month, day, hour, minute, second, valid = struct.unpack_from("<iH6B", payload, 8)
    if valid & 4 == 0:
        return Part()
    midnight = dt.datetime(year, month, day, tzinfo=dt.UTC)
    of_day_ns = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nano
    date_ns = int(midnight.timestamp()) * 1_000_000_000 + of_day_ns // DAY_NS * DAY_NS
    return Part(of_day_ns=of_day_ns % DAY_NS, date_ns=date_ns)


_READERS: dict[tuple[int, int], tuple[str, int, Callable[[bytes], Part]]] = {
    (1, 0x02): ("NAV-POSLLH", 28, _posllh),
    (1, 0x06): ("NAV-SOL", 52, _sol),
    (1, 0x07): ("NAV-PVT", 84, _pvt),
    (1, 0x14): ("NAV-HPPOSLLH", 36, _hpposllh),
    (1, 0x21): ("NAV-TIMEUTC", 20, _timeutc),
}


def utc_ns(week: int, week_ms: int) -> int:
    """GPS week and ms of it -> UTC since 1970, ns."""
    gps_s = week * _WEEK_MS // 1000 + week_ms // 1000
    return (_GPS_EPOCH_S + gps_s - leap_s(gps_s)) * 1_000_000_000 + week_ms % 1000 * _MS_NS


def leap_s(gps_s: int) -> int:
    """GPS minus UTC at a second of GPS time, s; from 1999 on."""
    return next(leap for since_s, leap in _LEAPS if gps_s >= since_s)


def _of_day(week_ms: int) -> int:
    """Of a time of week alone: by today's leap seconds. Only which part belongs to which instant rests on it."""
    if week_ms >= _WEEK_MS:
        raise ValueError(week_ms)
    return (week_ms - _LEAPS[0][1] * 1000) * _MS_NS % DAY_NS


def _place(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    if not (abs(latitude_deg) <= 90 and abs(longitude_deg) <= 180 and math.isfinite(latitude_deg)):
        raise ValueError
    return latitude_deg, longitude_deg
