"""Sentences and frames as receivers send them."""

from __future__ import annotations

import datetime as dt
import struct

from devices.gnss.stream import ubx_checksum


def nmea(text: str) -> bytes:
    value = 0
    for byte in text.encode():
        value ^= byte
    return f"${text}*{value:02X}\r\n".encode()


def ubx(group: int, number: int, payload: bytes) -> bytes:
    content = struct.pack("<BBH", group, number, len(payload)) + payload
    return b"\xb5\x62" + content + ubx_checksum(content)


def pvt(
    moment: dt.datetime, nano: int = 0, *, fix: int = 3, flags: int = 1, valid: int = 7, lat: float = 47.0, lon: float = 8.0
) -> bytes:  # fmt: skip
    payload = bytearray(92)
    week_ms = round(
        (moment.weekday() + 1) % 7 * 86_400_000 + (moment.hour * 3600 + moment.minute * 60 + moment.second + 18) * 1e3
    )
    struct.pack_into(
        "<IH5BBIiBBBB", payload, 0, week_ms % 604_800_000, *moment.timetuple()[:6], valid, 20, nano, fix, flags, 0, 14
    )
    struct.pack_into(
        "<4i2I5i", payload, 24, round(lon * 1e7), round(lat * 1e7), 450_000, 400_000, 12, 34, 1500, -200, 50, 1513, 0
    )
    return ubx(1, 7, bytes(payload))


NOON = dt.datetime(2024, 5, 6, 12, 0, 0, tzinfo=dt.UTC)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000
RMC = nmea("GNRMC,120000.00,A,4717.11399,N,00833.91590,E,10.0,90.0,060524,,,A,V")
GGA = nmea("GNGGA,120000.00,4717.11399,N,00833.91590,E,4,12,0.5,499.6,M,48.0,M,1.0,0000")
GST = nmea("GNGST,120000.00,1.0,,,,0.010,0.020,0.030")
ZDA = nmea("GNZDA,120000.00,06,05,2024,00,00")
