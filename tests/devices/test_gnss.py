"""GNSS receivers: real logs against gpsd's reading of them, real ports, and every way in which a stream can be broken."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.device import Attentive, ClockSource, Source, Stream
from devices.errors import DeviceError
from devices.gnss.driver import DRIVER, GnssConfig, GnssDecoder
from devices.gnss.ecef import enu_from_ecef, geodetic
from devices.gnss.link import GnssLink
from devices.gnss.stream import Kind, PieceSplitter
from devices.gnss.ubx import leap_s, utc_ns
from devices.host_clock import HOST_CLOCK
from devices.samples import FixQuality, GnssFix, Packet, Stamps
from tests.devices.gnss_bytes import GGA, GST, NOON, NOON_NS, RMC, ZDA, nmea, pvt, ubx

DAY_NS = 86_400_000_000_000
KNOT_M_S = 1852 / 3600


def fixes_of(*pieces: bytes, host_ns: int = NOON_NS) -> list[GnssFix]:
    return decoded(pieces, host_ns)[0]


def decoded(pieces: Iterable[bytes], host_ns: int = NOON_NS) -> tuple[list[GnssFix], dict[str, int]]:
    decoder = GnssDecoder("gnss")
    fixes = [fix for data in pieces for fix in decoder.decode(Packet("gnss/stream", Stamps(host_ns), data))]
    return [*fixes, *decoder.flush()], dict(decoder.rejected)


def opened(**keys: Any) -> Source:
    (source,) = DRIVER.open("gnss", GnssConfig(**keys))
    return source


def played(path: Path) -> list[Packet]:
    source, packets = opened(file=path, pace=False), list[Packet]()
    try:
        while True:
            packets += source.read(0.0)
    except EOFError:
        return packets


def by_time(path: Path) -> dict[int, dict[str, Any]]:
    """gpsd's last word on each instant, by ms since 1970."""
    found = {}
    for line in path.with_name(path.name + ".chk").read_text(errors="replace").splitlines():
        report = json.loads(line) if line.startswith('{"class":"TPV"') else {}
        if "time" in report and "lat" in report:
            found[round(dt.datetime.fromisoformat(report["time"]).timestamp() * 1000)] = report
    return found


# Log -> (fixes, the digit to which gpsd prints or the receiver sends a degree, fixes that gpsd gives no time).
LOGS = {
    "neo-m8n": (24, 5e-10, 2),
    "ublox-neo-m9n-nmea": (61, 5e-10, 0),
    "ublox-zed-f9p-nmea": (29, 5e-10, 0),
    "ublox-zed-f9p-hp": (29, 5.01e-8, 0),  # gpsd reads NAV-PVT's 1e-7 degrees, fieldrig NAV-HPPOSLLH's 1e-9 beside it
}


@pytest.mark.parametrize("name", LOGS)
def test_every_fix_of_a_real_log_is_the_one_that_gpsd_reads(name: str, test_data: Path) -> None:
    path = test_data / "gnss_logs" / f"{name}.log"
    count, degrees, untimed = LOGS[name]
    packets = played(path)
    assert b"".join(packet.data for packet in packets) == path.read_bytes()
    decoder = GnssDecoder("gnss")
    fixes = [*(fix for packet in packets for fix in decoder.decode(packet)), *decoder.flush()]
    # gpsd believed in 2022 that no receiver tells a date before 2015-03-22, and added 1,024 weeks to those that do.
    shift_ms = 1024 * 7 * 86_400_000 if name == "neo-m8n" else 0
    ours = {round(fix.t_ns / 1e6) + shift_ms: fix for fix in fixes}
    theirs = by_time(path)
    assert len(ours) == len(fixes) == count
    assert len(theirs.keys() & ours.keys()) == len(theirs) == count - untimed
    for t_ms, said in theirs.items():
        fix = ours[t_ms]
        assert abs(fix.latitude_deg - said["lat"]) <= degrees
        assert abs(fix.longitude_deg - said["lon"]) <= degrees
        if "altHAE" in said:
            assert fix.altitude_m == pytest.approx(said["altHAE"], abs=5.1e-4)
        if "velN" in said and fix.velocity_m_s is not None:
            assert fix.velocity_m_s[:2].tolist() == pytest.approx([said["velE"], said["velN"]], abs=6e-4)
    assert fixes[5].quality is (FixQuality.DIFFERENTIAL if "m9n" in name else FixQuality.THREE_D)


def test_a_receiver_that_gives_earth_centred_positions_only_is_where_gpsd_has_it(test_data: Path) -> None:
    """gpsd repeats one latitude for all of this log, but prints each frame's own position in earth-centred axes."""
    path = test_data / "gnss_logs" / "ublox-neo-m8t.log"
    decoder = GnssDecoder("gnss")
    fixes = [*(fix for packet in played(path) for fix in decoder.decode(packet)), *decoder.flush()]
    ours, theirs = {round(fix.t_ns / 1e6): fix for fix in fixes}, by_time(path)
    assert len(ours) == len(theirs) == 39
    for t_ms, said in theirs.items():
        place = geodetic(said["ecefx"], said["ecefy"], said["ecefz"])
        assert place is not None
        fix = ours[t_ms]
        assert (fix.latitude_deg, fix.longitude_deg) == pytest.approx(place[:2], abs=1e-7)
        assert fix.altitude_m == pytest.approx(place[2], abs=0.01)
        assert fix.velocity_m_s is not None
        assert fix.velocity_m_s.tolist() == pytest.approx(
            enu_from_ecef(place[0], place[1], (said["ecefvx"], said["ecefvy"], said["ecefvz"])), abs=1e-6
        )
    # Where gpsd does convert, to nine digits: its first report.
    first = theirs[min(theirs)]
    assert geodetic(first["ecefx"], first["ecefy"], first["ecefz"]) == pytest.approx(
        (first["lat"], first["lon"], first["altHAE"]), abs=5e-4
    )


def test_a_log_in_another_language_is_kept_whole_and_said_to_be_foreign(test_data: Path) -> None:
    path = test_data / "gnss_logs" / "trimble-lassen_iq-playacar.log"  # Trimble's TSIP
    packets = played(path)
    assert b"".join(packet.data for packet in packets) == path.read_bytes()
    fixes, rejected = decoded(packet.data for packet in packets)
    assert fixes == []
    assert rejected.keys() == {"bytes that are neither NMEA nor UBX nor RTCM3"}


def test_sentences_of_one_instant_make_one_fix() -> None:
    (fix,) = fixes_of(RMC, GGA, GST, ZDA)
    assert (fix.t_ns, fix.quality, fix.satellites) == (NOON_NS, FixQuality.RTK_FIXED, 12)
    assert fix.latitude_deg == pytest.approx(47 + 17.11399 / 60, abs=1e-12)
    assert fix.longitude_deg == pytest.approx(8 + 33.91590 / 60, abs=1e-12)
    assert fix.altitude_m == pytest.approx(547.6)
    assert fix.sigma_m is not None
    assert fix.sigma_m.tolist() == [0.020, 0.010, 0.030]
    assert fix.velocity_m_s is not None
    assert fix.velocity_m_s[:2].tolist() == pytest.approx([10 * KNOT_M_S, 0], abs=1e-12)
    assert np.isnan(fix.velocity_m_s[2])


def test_sentences_and_frames_on_one_line_are_one_fix_and_the_frames_word_counts() -> None:
    (fix,) = fixes_of(GGA + pvt(NOON) + GST + RMC)
    assert (fix.latitude_deg, fix.longitude_deg, fix.altitude_m) == pytest.approx((47.0, 8.0, 450.0))
    assert fix.sigma_m is not None
    assert fix.sigma_m.tolist() == pytest.approx([0.012, 0.012, 0.034])
    assert fix.velocity_m_s is not None
    assert fix.velocity_m_s.tolist() == pytest.approx([-0.2, 1.5, -0.05])


@pytest.mark.parametrize("kinds", ["RMC", "GGA", "GGA RMC", "PVT", "PVT GGA RMC", "GGA PVT"])
def test_a_receiver_that_measures_every_10_ms_gives_each_of_its_fixes(kinds: str) -> None:
    """NMEA's times are rounded to 10 ms; a frame's second may begin a little before it."""
    stream, instants = b"", []
    for number in range(10):
        instants.append(NOON_NS + number * 10_000_000)
        saying = {
            "RMC": nmea(f"GNRMC,120000.{number:02d},A,4717.0,N,00833.0,E,10.0,90.0,060524,,,A,V"),
            "GGA": nmea(f"GNGGA,120000.{number:02d},4717.0,N,00833.0,E,4,12,0.5,499.6,M,48.0,M,1.0,0000"),
            "PVT": pvt(NOON, nano=number * 10_000_000 - 300),
        }
        stream += b"".join(saying[kind] for kind in kinds.split())
    told = [fix.t_ns for fix in fixes_of(stream)]
    assert len(told) == 10
    assert all(abs(t_ns - instant_ns) <= 300 for t_ns, instant_ns in zip(told, instants, strict=True))


def test_the_next_instant_closes_a_fix_and_one_without_a_date_follows_the_last_one_across_midnight() -> None:
    late = nmea("GPRMC,235959.00,A,4717.0,N,00833.0,E,,,311224,,,A")
    after = nmea("GPGGA,000000.00,4717.0,N,00833.0,E,1,05,1.0,500,M,48,M,,")
    first, second = fixes_of(late, after, host_ns=0)
    new_year_ns = int(dt.datetime(2025, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
    assert (first.t_ns, second.t_ns) == (new_year_ns - 1_000_000_000, new_year_ns)
    assert first.altitude_m is None


def test_a_time_of_day_alone_is_of_the_day_in_which_it_arrives() -> None:
    just_before = nmea("GPGGA,235959.50,4717.0,N,00833.0,E,1,05,1.0,500,M,48,M,,")
    midnight_ns = NOON_NS + DAY_NS // 2
    assert [fix.t_ns for fix in fixes_of(just_before, host_ns=midnight_ns + 100_000_000)] == [midnight_ns - 500_000_000]
    assert [fix.t_ns for fix in fixes_of(GGA, ZDA, host_ns=0)] == [NOON_NS]


def test_a_second_that_begins_before_it_is_named_and_a_week_count_that_began_anew() -> None:
    (fix,) = fixes_of(pvt(dt.datetime(2024, 5, 6, tzinfo=dt.UTC), nano=-250_000))
    assert fix.t_ns == NOON_NS - DAY_NS // 2 - 250_000
    weeks = dt.timedelta(weeks=1024)
    assert [fix.t_ns for fix in fixes_of(pvt(NOON - weeks), pvt(NOON - 2 * weeks + dt.timedelta(seconds=1)))] == [
        NOON_NS, NOON_NS + 1_000_000_000,
    ]  # fmt: skip
    old = NOON - dt.timedelta(weeks=1000)
    assert [fix.t_ns for fix in fixes_of(pvt(old))] == [int(old.timestamp()) * 1_000_000_000]


def test_leap_seconds_change_at_their_instant() -> None:
    for moment, leap in ((dt.datetime(2017, 1, 1, tzinfo=dt.UTC), 18), (dt.datetime(2015, 7, 1, tzinfo=dt.UTC), 17)):
        gps_s = int((moment - dt.datetime(1980, 1, 6, tzinfo=dt.UTC)).total_seconds()) + leap
        assert (leap_s(gps_s - 1), leap_s(gps_s)) == (leap - 1, leap)
        week, second = divmod(gps_s, 604_800)
        assert utc_ns(week, second * 1000 + 250) == int(moment.timestamp()) * 1_000_000_000 + 250_000_000


@pytest.mark.parametrize(
    ("piece", "quality"),
    [
        (pvt(NOON, flags=1), FixQuality.THREE_D),
        (pvt(NOON, flags=3), FixQuality.DIFFERENTIAL),
        (pvt(NOON, flags=3 | 1 << 6), FixQuality.RTK_FLOAT),
        (pvt(NOON, flags=3 | 2 << 6), FixQuality.RTK_FIXED),
        (pvt(NOON, fix=2), FixQuality.TWO_D),
        (pvt(NOON, fix=1), FixQuality.DEAD_RECKONING),
        (GGA.replace(b",4,12,", b",5,12,").replace(GGA[-4:], nmea(GGA[1:-5].decode().replace(",4,12,", ",5,12,"))[-4:]), FixQuality.RTK_FLOAT),
        (nmea("GNGNS,120000.00,4717.0,N,00833.0,E,RDNN,14,0.6,499.6,48.0,,,V"), FixQuality.RTK_FIXED),
        (RMC, FixQuality.THREE_D),
        (RMC + nmea("GNGSA,A,2,01,,,,,,,,,,,,1.5,0.9,1.2"), FixQuality.TWO_D),
        (nmea("GNGLL,4717.0,N,00833.0,E,120000.00,A,D"), FixQuality.THREE_D),
    ],
)  # fmt: skip
def test_the_receivers_word_on_its_fix_is_kept(piece: bytes, quality: FixQuality) -> None:
    assert [fix.quality for fix in fixes_of(piece)] == [quality]


@pytest.mark.parametrize(
    "piece",
    [
        pvt(NOON, flags=0), pvt(NOON, fix=5), pvt(NOON, fix=0), pvt(NOON, valid=0),
        nmea("GNRMC,120000.00,V,,,,,,,060524,,,N"), nmea("GNGGA,120000.00,,,,,0,00,99.99,,,,,,"),
        nmea("GNRMC,120000.00,V,4717.0,N,00833.0,E,,,060524,,,N"),
        nmea("GNGGA,120000.00,4717.0,N,00833.0,E,8,12,0.5,499.6,M,48.0,M,,"),  # a simulator
        nmea("GNGLL,,,,,120000.00,V,N"), nmea("PUBX,00,120000.00,4717.0,N,00833.0,E,1,G3"), ubx(10, 4, b"version"),
    ],
)  # fmt: skip
def test_without_a_fix_there_is_no_sample_and_nothing_is_broken(piece: bytes) -> None:
    assert decoded([piece]) == ([], {})


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (RMC.replace(b"4717", b"4817"), "an NMEA sentence with a wrong checksum"),
        (RMC[:30] + b"\r\n", "an NMEA sentence cut short"),
        (nmea("GNRMC,126000.00,A,4717.0,N,00833.0,E,,,060524,,,A"), "an NMEA RMC sentence that makes no sense"),
        (nmea("GNGGA,120000.00,9717.0,N,00833.0,E,1,12,0.5,499.6,M,48.0,M,,"), "an NMEA GGA sentence that makes no sense"),
        (nmea("GNRMC,120000.00,A"), "an NMEA RMC sentence that makes no sense"),
        (nmea("GNZDA,120000.00,31,02,2024,00,00"), "an NMEA ZDA sentence that makes no sense"),
        (ubx(1, 7, bytes(20)), "a UBX NAV-PVT frame of 20 bytes, which is too short"),
        (pvt(NOON, lat=120.0), "a UBX NAV-PVT frame that makes no sense"),
        (pvt(NOON)[:-1] + b"\0", "bytes that are neither NMEA nor UBX nor RTCM3"),
        (pvt(NOON)[:-20], "bytes that are neither NMEA nor UBX nor RTCM3"),
        (b"\xd3\0\x13>\xd0\0\x03", "bytes that are neither NMEA nor UBX nor RTCM3"),
    ],
)  # fmt: skip
def test_what_is_broken_is_counted_and_costs_no_good_fix(piece: bytes, reason: str) -> None:
    later = pvt(NOON + dt.timedelta(seconds=1))
    fixes, rejected = decoded([GGA, ZDA, piece, later])
    assert [fix.t_ns for fix in fixes] == [NOON_NS, NOON_NS + 1_000_000_000]
    assert rejected == {reason: 1}


def test_a_recording_that_begins_and_ends_in_the_middle_of_a_sentence_is_not_broken_for_that() -> None:
    later = pvt(NOON + dt.timedelta(seconds=1))
    for begin, end in ((RMC[20:], GGA[:30]), (later[15:], later[:60]), (RMC[20:] + b"\r\n", b"$"), (b"", b"\xb5")):
        first = pvt(NOON) if begin == later[15:] else RMC
        fixes, rejected = decoded([begin + first + GGA, later + end])
        assert (len(fixes), rejected) == (2, {})
    assert decoded([b"rubbish", RMC])[1] == {"bytes that are neither NMEA nor UBX nor RTCM3": 1}
    assert decoded([RMC, RMC[20:], GGA])[1] == {"bytes that are neither NMEA nor UBX nor RTCM3": 1}


# Message 1005, a base station's place, as RTCM 10403 gives it for an example.
STATION = bytes.fromhex("d30013 3ed7d30202980edeef34b4bd62ac0941986f33 360b98")


def test_corrections_that_a_receiver_passes_on_are_nothing_wrong_and_cut_out_whole() -> None:
    later = pvt(NOON + dt.timedelta(seconds=1))
    stream = [RMC, STATION, GGA, STATION + STATION, later, STATION]
    fixes, rejected = decoded(stream)
    assert ([fix.t_ns for fix in fixes], rejected) == ([NOON_NS, NOON_NS + 1_000_000_000], {})
    splitter = PieceSplitter()
    pieces = [piece for byte in b"".join(stream) for piece in splitter.feed(bytes([byte]))]
    assert [piece.body for piece in pieces if piece.kind is Kind.RTCM3] == [STATION] * 4


def test_corrections_cut_by_a_recordings_end_or_begun_before_it_are_not_broken_for_that() -> None:
    assert decoded([RMC, GGA, STATION[:11]])[1] == {}
    assert decoded([STATION[9:] + STATION, RMC])[1] == {}


@pytest.mark.parametrize(
    "head", [b"\xb5\x62\x01\x07\xff\x1f", b"\xd3\x03\xff", b"\xb5\x62\x01\x07\xff\x1f\xd3\x03\xff"]
)
def test_a_frame_whose_length_is_wrong_hides_nothing_to_a_recordings_end(head: bytes, tmp_path: Path) -> None:
    later = [pvt(NOON + dt.timedelta(seconds=second)) for second in range(1, 5)]
    stream = [RMC, GGA, head, *later, GGA[:30]]
    fixes, rejected = decoded(stream)
    assert [fix.t_ns for fix in fixes] == [NOON_NS + second * 1_000_000_000 for second in range(5)]
    assert rejected == {"bytes that are neither NMEA nor UBX nor RTCM3": 1}
    path = tmp_path / "drive.ubx"
    path.write_bytes(b"".join(stream))
    packets = played(path)
    assert b"".join(packet.data for packet in packets) == path.read_bytes()
    assert packets[-2].stamps.device_ns == fixes[-1].t_ns


def test_corrections_with_a_wrong_byte_are_told() -> None:
    broken = STATION[:10] + b"\0" + STATION[11:]
    fixes, rejected = decoded([RMC, broken, *[GGA] * 9])  # within it another frame seems to begin, of 520 bytes
    assert (len(fixes), rejected) == (1, {"bytes that are neither NMEA nor UBX nor RTCM3": 1})


GOOD = [RMC, GGA, GST, pvt(NOON), ubx(2, 0x15, bytes(range(200))), STATION]
NOISE = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"$", b"\xb5", b"\xb5\x62", b"\xb5\x62\x01\x07\xff\x1f", b"\xd3\x03\xff", b"# a remark\n", *(g[:9] for g in GOOD)])
)  # fmt: skip


@given(st.lists(st.one_of(NOISE, st.sampled_from(GOOD)), max_size=12), st.lists(st.integers(1, 90), max_size=40))
def test_no_byte_is_lost_and_no_cut_of_the_stream_matters(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)

    def cut() -> Iterator[bytes]:
        at = 0
        for size in cuts:
            yield stream[at : at + size]
            at += size
        yield stream[at:]

    pieces = PieceSplitter()
    once = PieceSplitter()
    whole = [*once.feed(stream), *once.rest()]
    found = [piece for data in cut() for piece in pieces.feed(data)] + [*pieces.rest()]
    assert b"".join(piece.data for piece in found) == stream
    assert [piece.body for piece in found if piece.body] == [piece.body for piece in whole if piece.body]
    assert all(piece.body == b"" for piece in found if piece.kind is Kind.JUNK)


@given(
    st.lists(st.sampled_from([b"", b"\n", b"# remark\n", b"\x10\x03V\0\0", b"\xd3\0\x02ab"]), min_size=7, max_size=7)
)
def test_foreign_bytes_between_them_cost_no_sentence_and_no_frame(noise: list[bytes]) -> None:
    stream = b"".join(part for pair in zip(noise, [*GOOD, b""], strict=True) for part in pair)
    bodies = [piece.body for piece in PieceSplitter().feed(stream) if piece.body]
    assert bodies == GOOD


def test_foreign_bytes_alone_are_not_held_without_bound() -> None:
    splitter = PieceSplitter()
    held = len(b"".join(piece.data for piece in splitter.feed(b"x" * 100_000)))
    assert held > 90_000


def test_earth_centred_positions_become_places_and_back() -> None:
    for lat, lon, height in ((0, 0, 0), (47.28, 8.56, 499.6), (-45.9, 170.5, 29.3), (89.9, -120, 8000), (-90, 0, -50)):
        a, f = 6_378_137.0, 1 / 298.257223563
        e2, phi, lam = f * (2 - f), np.radians(lat), np.radians(lon)
        n = a / np.sqrt(1 - e2 * np.sin(phi) ** 2)
        across = (n + height) * np.cos(phi)
        found = geodetic(across * np.cos(lam), across * np.sin(lam), (n * (1 - e2) + height) * np.sin(phi))
        assert found is not None
        assert found[0] == pytest.approx(lat, abs=1e-11)
        assert found[2] == pytest.approx(height, abs=1e-6)
        assert abs(lat) == 90 or found[1] == pytest.approx(lon, abs=1e-11)
    assert geodetic(0, 0, 0) is None
    assert enu_from_ecef(90, 0, (0, 0, 1)) == pytest.approx((0, 0, 1), abs=1e-12)
    assert enu_from_ecef(0, 90, (-1, 0, 0)) == pytest.approx((1, 0, 0), abs=1e-12)


def gathered(source: Source, count: int, timeout_s: float = 5.0) -> list[Packet]:
    packets, until = list[Packet](), time.monotonic() + timeout_s
    while len(packets) < count and time.monotonic() < until:
        packets += source.read(0.1)
    return packets


def test_a_serial_port_is_read_byte_for_byte_and_its_end_is_said() -> None:
    ours, theirs = pty.openpty()
    source = opened(port=os.ttyname(theirs))
    os.close(theirs)
    before_ns = HOST_CLOCK.now_ns()
    os.write(ours, b"\r\n" + RMC + GGA[:20])
    time.sleep(0.05)
    os.write(ours, GGA[20:] + pvt(NOON) + b"$GN")
    packets = gathered(source, 4)
    assert [packet.data for packet in packets] == [b"\r\n" + RMC, GGA, pvt(NOON), b"$GN"]
    assert [packet.stamps.device_ns for packet in packets] == [NOON_NS, NOON_NS, NOON_NS, None]
    assert all(before_ns <= packet.stamps.host_ns <= HOST_CLOCK.now_ns() for packet in packets)
    assert source.clock_source is ClockSource.GNSS
    os.write(ours, nmea("GNRMC,120001.00,V,,,,,,,060524,,,N"))
    gathered(source, 1)
    assert source.clock_source is ClockSource.FREE
    os.close(ours)
    with pytest.raises(DeviceError, match=r"gnss: /dev/\S+ is gone: .*; plug the receiver in again"):
        gathered(source, 1)
    source.close()
    with pytest.raises(EOFError):
        source.read(0.0)


def test_a_receiver_over_tcp_is_read_and_its_end_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        source = opened(address=address)
        peer, _ = server.accept()
        with peer:
            peer.sendall(RMC + pvt(NOON))
            assert [packet.data for packet in gathered(source, 2)] == [RMC, pvt(NOON)]
            assert source.read(0.01) == []
        with pytest.raises(DeviceError, match=f"{address} has closed the connection"):
            gathered(source, 1)
        source.close()
    with pytest.raises(DeviceError, match=f"gnss: {address} does not answer: .*check the address"):
        opened(address=address)


def test_a_broken_sentence_is_rejected_on_arrival_and_one_that_comes_in_two_halves_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = opened(address=f"127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        with peer:
            peer.sendall(RMC[20:] + RMC + GGA[:20])
            packets = gathered(source, 2)  # after a while the half is handed over
            peer.sendall(GGA[20:] + RMC.replace(b"4717", b"4817") + pvt(NOON)[:-1] + b"\0" + GST)
            packets += gathered(source, 2)
        assert isinstance(source, Attentive)
        told = dict(source.rejected)
        source.close()
    assert told == {"an NMEA sentence with a wrong checksum": 1, "bytes that are neither NMEA nor UBX nor RTCM3": 1}
    assert decoded(packet.data for packet in packets)[1] == told


class Line:
    """A link on which bytes come in portions, with a pause of 0.2 s and more where one is empty, until it breaks."""

    def __init__(self, portions: Iterable[bytes]) -> None:
        self._portions = iter(portions)

    def read(self, timeout_s: float) -> bytes:
        portion = next(self._portions, None)
        if portion is None:
            raise DeviceError("gone")
        return portion

    def close(self) -> None: ...


def heard(portions: Iterable[bytes]) -> tuple[list[Packet], dict[str, int]]:
    link, packets = GnssLink(Stream("gnss/stream", "gnss"), Line(portions)), list[Packet]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("devices.gnss.link._IDLE_S", -1.0)
        with suppress(DeviceError):
            while True:
                packets += link.read(0.0)
    return packets, dict(link.rejected)


def instants(packets: Iterable[Packet]) -> dict[int, int]:
    """Where in the stream a packet with a time ends, and that time."""
    ends = accumulate(len(packet.data) for packet in packets)
    told = [packet.stamps.device_ns for packet in packets]
    return {end: t_ns for end, t_ns in zip(ends, told, strict=True) if t_ns is not None}


@given(st.lists(st.one_of(NOISE, st.sampled_from(GOOD)), max_size=12), st.lists(st.integers(0, 90), max_size=40))
def test_a_receiver_that_pauses_anywhere_is_recorded_byte_for_byte_and_rejected_as_it_is_decoded(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    ends = [0, *accumulate(cuts), len(stream)]
    packets, rejected = heard([stream[begin:end] for begin, end in pairwise(ends)])
    assert b"".join(packet.data for packet in packets) == stream
    assert all(packet.data for packet in packets)
    decoder = GnssDecoder("gnss")
    for packet in packets:
        decoder.decode(packet)
    assert dict(decoder.rejected) == rejected


@given(st.lists(st.sampled_from(GOOD), max_size=12), st.lists(st.integers(0, 90), max_size=40))
def test_the_bytes_that_end_a_sentence_have_its_time_whatever_pause_was_in_it(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    ends = [0, *accumulate(cuts), len(stream)]
    assert instants(heard([stream[begin:end] for begin, end in pairwise(ends)])[0]) == instants(heard([stream])[0])


def test_a_log_s_broken_sentences_are_rejected_as_they_are_played(tmp_path: Path) -> None:
    path = tmp_path / "drive.nmea"
    path.write_bytes(RMC + (RMC.replace(b"4717", b"4817") + GGA) * 3)
    source = opened(file=path, pace=False)
    assert isinstance(source, Attentive)
    counts = []
    while source.read(0.0):
        counts.append(source.rejected.get("an NMEA sentence with a wrong checksum", 0))
        if len(counts) == 7:
            break
    assert counts == [0, 1, 1, 2, 2, 3, 3]


def test_a_receiver_over_tcp_whose_cable_is_pulled_is_gone_before_long() -> None:
    """Nothing tells of a dead peer that was only listened to, but the kernel's own questions."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = opened(address=f"127.0.0.1:{server.getsockname()[1]}")
        link = source._link._socket
        asked = [
            link.getsockopt(socket.IPPROTO_TCP, number)
            for number in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert asked[0] + asked[1] * asked[2] <= 15
        source.close()


def test_what_a_receiver_began_to_say_when_its_link_broke_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = opened(address=f"127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        with peer:
            peer.sendall(RMC + GGA[:20])
        time.sleep(0.05)
        assert [packet.data for packet in gathered(source, 2)] == [RMC, GGA[:20]]
        with pytest.raises(DeviceError, match="has closed the connection"):
            source.read(1.0)
        source.close()


def test_close_ends_a_read_that_waits() -> None:
    ours, theirs = pty.openpty()
    source = opened(port=os.ttyname(theirs))
    closer = threading.Timer(0.1, source.close)
    closer.start()
    began = time.monotonic()
    assert source.read(100.0) == []
    assert time.monotonic() - began < 50
    closer.join()
    os.close(ours)
    os.close(theirs)


def test_a_log_is_played_at_the_pace_of_its_own_times(tmp_path: Path) -> None:
    moments = [NOON + dt.timedelta(milliseconds=200 * number) for number in range(3)]
    path = tmp_path / "drive.ubx"
    path.write_bytes(
        b"# made by hand\n" + b"".join(pvt(m.replace(microsecond=0), m.microsecond * 1000) for m in moments)
    )
    source = opened(file=path)
    packets = gathered(source, 3)
    after_ms = [(packet.stamps.host_ns - packets[0].stamps.host_ns) / 1e6 for packet in packets]
    for number, each_ms in enumerate(after_ms):  # a busy machine may be late, the first packet as well as others
        assert 200 * number - 100 < each_ms < 200 * number + 1000
    with pytest.raises(EOFError):
        source.read(0.0)
    at_once = played(path)
    assert [packet.stamps.host_ns - NOON_NS for packet in at_once] == [0, 200_000_000, 400_000_000]


def is_open(path: Path) -> bool:
    return path.resolve() in {Path(os.path.realpath(each)) for each in Path("/proc/self/fd").iterdir()}


def test_a_log_that_is_closed_is_held_open_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "drive.ubx"
    path.write_bytes(pvt(NOON) + pvt(NOON + dt.timedelta(hours=1)))
    source = opened(file=path)
    assert len(source.read(1.0)) == 1
    assert is_open(path)
    waiting = threading.Thread(target=source.read, args=(300.0,))
    waiting.start()
    time.sleep(0.05)
    source.close()
    assert not is_open(path)
    waiting.join(60.0)
    assert not waiting.is_alive()
    with pytest.raises(EOFError):
        source.read(0.0)


def test_ports_and_files_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"^gnss: /dev/no-such-port cannot be opened: No such file or directory; plug the receiver in"
    ):
        opened(port="/dev/no-such-port")
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    source = opened(port=name)
    with pytest.raises(
        DeviceError, match=r"cannot be opened: Resource temporarily unavailable; .*close other programs"
    ) as taken:
        opened(port=name)
    assert str(taken.value).count(name) == 1
    source.close()
    for descriptor in (ours, theirs):
        os.close(descriptor)
    with pytest.raises(DeviceError, match=r"gnss: cannot read \S+no-such\.log"):
        opened(file=tmp_path / "no-such.log")
    for keys in ({}, {"port": "a", "file": "b"}, {"address": "host"}):
        with pytest.raises(ValidationError):
            GnssConfig(**keys)  # type: ignore[arg-type]


def test_serial_ports_are_found_by_their_name_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from serial.tools import list_ports

    class Port(SimpleNamespace):
        def __lt__(self, other: Any) -> bool:
            return bool(self.device < other.device)

    ports = [
        Port(device="/dev/ttyS0", vid=None, description="n/a", serial_number=None),
        Port(device="/dev/ttyACM0", vid=0x1546, description="u-blox GNSS receiver", serial_number="42"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    monkeypatch.setattr(
        "devices.gnss.driver._names_by_id", lambda: {"/dev/ttyACM0": "/dev/serial/by-id/usb-u-blox-if00"}
    )
    (found,) = DRIVER.find(0.0)
    assert (found.driver, found.label) == ("gnss", "u-blox GNSS receiver 42")
    assert GnssConfig(**found.config).port == "/dev/serial/by-id/usb-u-blox-if00"
