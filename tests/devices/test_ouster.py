import json
import re
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import ClockSource, Decoder, Stream
from devices.errors import DeviceError
from devices.ouster import driver as ouster
from devices.ouster.crc64 import crc64, crc64_by_tables
from devices.ouster.driver import DRIVER, OusterConfig, OusterLidarDecoder
from devices.ouster.imu_packet import ImuPackets
from devices.ouster.metadata import fetch_metadata, read_metadata
from devices.ouster.packet import LidarPackets
from devices.ouster.profiles import PROFILES
from devices.samples import Sweep
from tests.devices.builders import Camera, decoded, ouster_metadata, ouster_packet, ouster_turn, packet, with_rows

META = ouster_metadata()
COLUMNS, ROWS = 32, 4


def lidar(metadata: str = META) -> OusterLidarDecoder:
    return OusterLidarDecoder("lidar", read_metadata(metadata))


def imu(metadata: str) -> Decoder:
    return DRIVER.decoder(Stream("lidar/imu", "ouster.imu", metadata))


def ranges(sweeps: list[Any]) -> list[int]:
    """The one range in mm that each sweep's points have."""
    found = [set(np.rint(np.linalg.norm(sweep.points_m, axis=1) * 1000).astype(int).tolist()) for sweep in sweeps]
    assert all(len(each) == 1 for each in found)
    return [each.pop() for each in found]


def test_a_turn_comes_as_soon_as_its_last_packet_and_not_before() -> None:
    decoder = lidar()
    turn = ouster_turn(META, 5)
    assert [len(list(decoder.decode(packet(data)))) for data in turn] == [0, 0, 0, 1]
    assert list(decoder.flush()) == []


def test_points_are_in_columns_then_rows_with_the_columns_times() -> None:
    (sweep,) = decoded(lidar(), ouster_turn(META, 5, start_ns=7000))
    assert sweep.ring.tolist() == [0, 1, 2, 3] * COLUMNS
    assert sweep.t_ns == 7000
    assert sweep.offset_ns.tolist() == [column * 1000 for column in range(COLUMNS) for _ in range(ROWS)]
    # an Ouster turns clockwise seen from above, starting at the lidar frame's x axis
    azimuth = np.unwrap(np.arctan2(sweep.points_m[::ROWS, 1], sweep.points_m[::ROWS, 0]))
    np.testing.assert_allclose(azimuth, -2 * np.pi * np.arange(COLUMNS) / COLUMNS, atol=1e-6)
    elevation_deg = np.degrees(np.arcsin(sweep.points_m[:ROWS, 2] / 2.0))
    np.testing.assert_allclose(elevation_deg, [15, 5, -5, -15], atol=1e-4)


def test_pixels_without_a_return_are_no_points() -> None:
    (sweep,) = decoded(lidar(), ouster_turn(META, 5, range_mm=0))
    assert len(sweep) == 0
    assert sweep.points_m.shape == (0, 3)


def test_a_packet_lost_costs_its_columns_only_and_the_turn_ends_with_the_next_ones_first() -> None:
    turn, after = ouster_turn(META, 5), ouster_turn(META, 6, range_mm=3000)
    sweeps = decoded(lidar(), [turn[0], turn[1], turn[3], *after])
    assert ranges(sweeps) == [2000, 3000]
    assert [len(sweep) for sweep in sweeps] == [3 * 8 * ROWS, COLUMNS * ROWS]


def test_duplicates_are_counted_and_change_nothing() -> None:
    turn = ouster_turn(META, 5)
    decoder = lidar()
    (sweep,) = decoded(decoder, [turn[0], turn[0], *turn[1:], turn[3], turn[0]])
    assert len(sweep) == COLUMNS * ROWS
    assert decoder.rejected == {"duplicate packet": 3}


def test_a_straggler_of_the_turn_before_is_counted_and_passed_over() -> None:
    turn, after = ouster_turn(META, 5), ouster_turn(META, 6, range_mm=3000, start_ns=33_000)
    decoder = lidar()
    sweeps = decoded(decoder, [*turn[:3], after[0], turn[3], *after[1:]])
    assert ranges(sweeps) == [2000, 3000]
    assert decoder.rejected == {"late packet": 1}


def test_the_frame_id_wraps_after_16_bits() -> None:
    decoder = lidar()
    datas = [*ouster_turn(META, 0xFFFF)[:2], *ouster_turn(META, 0, range_mm=3000)]
    assert ranges(decoded(decoder, datas)) == [2000, 3000]
    assert decoder.rejected == {}


def test_one_broken_frame_id_costs_one_packet() -> None:
    turn = ouster_turn(META, 5, with_crc=False)
    broken = bytearray(turn[1])
    struct.pack_into("<H", broken, 2, 20_000)
    decoder = lidar()
    sweeps = decoded(decoder, [turn[0], bytes(broken), *turn[2:], *ouster_turn(META, 6, range_mm=3000)])
    assert ranges(sweeps) == [2000, 3000]
    assert len(sweeps[0]) == 3 * 8 * ROWS
    assert decoder.rejected == {"foreign frame id": 1}


@pytest.mark.parametrize(("frame_id", "start_ns"), [(0, 1000), (4000, 300_000_000_000)])
def test_after_an_outage_or_a_restart_no_packet_is_lost(frame_id: int, start_ns: int) -> None:
    decoder = lidar()
    before = [*ouster_turn(META, 1000, start_ns=10_000_000), *ouster_turn(META, 1001, start_ns=10_033_000)[:1]]
    datas = [*before, *ouster_turn(META, frame_id, range_mm=3000, start_ns=start_ns)]
    sweeps = decoded(decoder, datas)
    assert ranges(sweeps) == [2000, 2000, 3000]
    assert len(sweeps[2]) == COLUMNS * ROWS
    assert decoder.rejected == {}


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda data: data[:-1], "wrong size"),
        (lambda data: data + b"\0", "wrong size"),
        (lambda data: b"\x02\x00" + data[2:], "not a lidar packet"),
        (lambda data: data[:4] + b"\x57" + data[5:], "foreign initialization id"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "wrong CRC"),
    ],
)
def test_a_broken_packet_is_counted_by_its_reason_and_the_rest_goes_on(break_it: Any, reason: str) -> None:
    turn = ouster_turn(META, 5)
    decoder = lidar()
    (sweep,) = decoded(decoder, [turn[0], break_it(turn[1]), *turn[2:]])
    assert len(sweep) == 3 * 8 * ROWS
    assert decoder.rejected == {reason: 1}


def test_a_column_beyond_the_turn_is_refused_where_no_crc_tells() -> None:
    meta = read_metadata(META)
    decoder = lidar()
    decoded(decoder, [ouster_packet(meta, 5, 28, 2000, 1000, with_crc=False)])
    assert decoder.rejected == {"measurement id out of range": 1}


def a_turn_of_a_window(metadata: str, first: int) -> list[bytes]:
    """The packets that the sensor sends of a turn whose first column is ``first``, in the order of their measurement."""
    meta = read_metadata(metadata)
    packets = [ouster_packet(meta, 5, column, 2000, 1000 + (column - first) % COLUMNS * 1000) for column in range(0, COLUMNS, 8)]  # fmt: skip
    sent = [data for data in packets if LidarPackets(meta).newest_ns(data)]
    return sorted(sent, key=lambda data: LidarPackets(meta).newest_ns(data) or 0)


@pytest.mark.parametrize(
    ("window", "first", "columns"),
    [
        ([8, 23], 0, [*range(8, 24)]),
        ([24, 7], 24, [*range(24, 32), *range(8)]),
        ([24, 7], 0, [*range(8), *range(24, 32)]),
    ],
)
@pytest.mark.parametrize("arrive", [list, reversed])
def test_a_window_is_whole_without_the_columns_outside_and_as_measured_wherever_its_turn_begins(
    arrive: Any, window: list[int], first: int, columns: list[int]
) -> None:
    metadata = ouster_metadata(column_window=window)
    decoder = lidar(metadata)
    sent = arrive(a_turn_of_a_window(metadata, first))
    (sweep,) = [sweep for data in sent for sweep in decoder.decode(packet(data))]  # whole without flush()
    passed = [(column - first) % COLUMNS * 1000 for column in columns]
    assert sweep.t_ns == 1000 + passed[0]
    assert sweep.offset_ns[::ROWS].tolist() == [each - passed[0] for each in passed]
    azimuth = np.arctan2(-sweep.points_m[::ROWS, 1], sweep.points_m[::ROWS, 0]) / (2 * np.pi) * COLUMNS
    assert (np.rint(azimuth) % COLUMNS).tolist() == columns


def test_a_column_whose_time_is_broken_makes_no_turn_begin_elsewhere_where_no_crc_tells() -> None:
    metadata = ouster_metadata(udp_profile_lidar="LEGACY")
    turn, layout = ouster_turn(metadata, 5), LidarPackets(read_metadata(metadata))
    broken = bytearray(turn[1])
    columns = np.frombuffer(broken, dtype=layout.column_dtype)
    columns["t_ns"][3] = 7
    decoder = lidar(metadata)
    (sweep,) = decoded(decoder, [turn[0], bytes(broken), *turn[2:]])
    assert (sweep.t_ns, len(sweep)) == (1000, 3 * 8 * ROWS)
    assert decoder.rejected == {"a time out of step": 1}


STATED_BYTES = {
    "LEGACY": (3392, 6464, 12608, 24896),
    "RNG19_RFL8_SIG16_NIR16": (3328, 6400, 12544, 24832),
    "RNG19_RFL8_SIG16_NIR16_DUAL": (4352, 8448, 16640, 33024),
    "RNG15_RFL8_NIR8": (1280, 2304, 4352, 8448),
    "RNG15_RFL8_NIR8_DUAL": (2304, 4352, 8448, 16640),
}


@pytest.mark.parametrize("profile", STATED_BYTES)
def test_a_profiles_packets_have_the_size_that_the_manual_states(profile: str) -> None:
    sizes = [LidarPackets(read_metadata(with_rows(rows, profile))).size_bytes for rows in (16, 32, 64, 128)]
    assert sizes == list(STATED_BYTES[profile])


def test_second_returns_follow_their_first_and_are_numbered() -> None:
    metadata = ouster_metadata(udp_profile_lidar="RNG19_RFL8_SIG16_NIR16_DUAL")
    meta = read_metadata(metadata)
    layout = LidarPackets(meta)
    data = bytearray(ouster_packet(meta, 5, 0, 2000 | 7 << 24, 1000, with_crc=False))
    columns = np.frombuffer(data, dtype=layout.column_dtype, count=8, offset=32)
    columns["pixels"][:, 1, 1] = 4000 | 9 << 24  # the second beam sees something behind
    columns["pixels"][:, 2, 0] = 0  # the third sees only ...
    columns["pixels"][:, 2, 1] = 5000 | 9 << 24  # ... a second return
    (sweep,) = decoded(lidar(metadata), [bytes(data)])
    assert sweep.ring[:5].tolist() == [0, 1, 1, 2, 3]
    assert sweep.return_number[:5].tolist() == [0, 0, 1, 1, 0]
    assert sweep.intensity[:5].tolist() == [7, 7, 9, 9, 7]
    np.testing.assert_allclose(np.linalg.norm(sweep.points_m[:5], axis=1), [2, 2, 4, 5, 2], atol=1e-5)


@pytest.mark.parametrize(("name", "check"), [(b"123456789", 0x995DC9BBDF1939FA), (b"", 0)])
def test_the_crc_is_crc_64_xz(name: bytes, check: int) -> None:
    assert crc64(name) == crc64_by_tables(name) == check


@given(st.binary(max_size=300))
def test_the_crc_by_tables_is_the_crc_bit_by_bit(data: bytes) -> None:
    register = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xC96C5795D7870F42 if register & 1 else 0)
    assert crc64(data) == crc64_by_tables(data) == register ^ 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize("stated", [0, 0xDEADBEEF0000C0DE])
def test_a_packet_that_says_it_has_no_crc_is_taken(stated: int) -> None:
    data = ouster_packet(read_metadata(META), 5, 0, 2000, 1000)[:-8] + struct.pack("<Q", stated)
    decoder = lidar()
    assert len(decoded(decoder, [data])) == 1
    assert decoder.rejected == {}


def test_a_lidar_packets_device_stamp_is_its_last_valid_columns_time() -> None:
    meta = read_metadata(ouster_metadata(column_window=[0, 5]))
    assert LidarPackets(meta).newest_ns(ouster_packet(meta, 5, 0, 2000, 10_000)) == 15_000
    assert LidarPackets(meta).newest_ns(ouster_packet(meta, 5, 8, 2000, 10_000)) is None


def test_another_sensors_packet_on_our_port_gives_no_device_stamp_that_could_bend_the_clock() -> None:
    foreign = ouster_packet(read_metadata(META.replace(str(0x123456), "77")), 5, 0, 2000, 10_000)
    assert LidarPackets(read_metadata(META)).newest_ns(foreign) is None
    nonsense = ouster_packet(read_metadata(META), 5, 0, 2000, 0)
    with pytest.raises(ValueError, match="beyond the year 2262"):
        LidarPackets(read_metadata(META)).newest_ns(nonsense[:32] + b"\xff" * (len(nonsense) - 32))


def imu_packet(meta: Any, t_ns: list[int], valid: list[int]) -> bytes:
    record = np.dtype([("t", "<u8"), ("id", "<u2"), ("status", "<u2"), ("a", "<f4", 3), ("g", "<f4", 3)])
    records = np.zeros(len(t_ns), dtype=record)
    records["t"], records["status"], records["a"], records["g"] = t_ns, valid, (0, 0, 9.8), (0.1, 0.2, 0.3)
    head = struct.pack("<HHI", 2, 5, meta.initialization_id).ljust(32, b"\0")
    body = head + bytes(100) + records.tobytes() + bytes(24)
    return body + struct.pack("<Q", crc64(body))


def test_an_imu_packet_of_several_readings_gives_each_valid_one() -> None:
    metadata = ouster_metadata(udp_profile_imu="ACCEL32_GYRO32_NMEA", imu_measurements_per_packet=8)
    meta = read_metadata(metadata)
    data = imu_packet(meta, list(range(100, 900, 100)), [1] * 7 + [0])
    assert len(data) == 452  # as the manual states for 8
    samples = decoded(imu(metadata), [data])
    assert [sample.t_ns for sample in samples] == [100, 200, 300, 400, 500, 600, 700]
    np.testing.assert_allclose(samples[0].angular_rate, [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(samples[0].acceleration, [0, 0, 9.8], rtol=1e-6)
    assert ImuPackets(meta).newest_ns(data) == 700
    decoder = imu(metadata)
    decoded(decoder, [data[:140] + b"\x55" + data[141:], data[:-1], b"\x01" + data[1:], data[:4] + b"\0" + data[5:]])
    assert decoder.rejected == {
        "wrong CRC": 1, "wrong size": 1, "not an IMU packet": 1, "foreign initialization id": 1,
    }  # fmt: skip


def test_a_legacy_imu_packet_is_turned_into_si_units() -> None:
    data = struct.pack("<QQQ6f", 1, 2, 3_000, 0, 0, 1, 180, 0, -90)
    (sample,) = decoded(imu(META), [data])
    assert sample.t_ns == 3_000
    np.testing.assert_allclose(sample.acceleration, [0, 0, 9.80665])
    np.testing.assert_allclose(sample.angular_rate, [np.pi, 0, -np.pi / 2])


def test_an_imu_packet_that_the_network_has_doubled_is_one_reading() -> None:
    datas = [struct.pack("<QQQ6f", 1, 2, 3_000 + number, 0, 0, 1, 180, 0, -90) for number in range(3)]
    decoder = imu(META)
    assert len(decoded(decoder, [datas[0], datas[0], datas[1], datas[2], datas[0]])) == 3
    assert decoder.rejected == {"duplicate packet": 2}


def test_a_sensor_that_was_told_to_send_no_imu_packets_has_no_such_stream(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(ouster_metadata(udp_profile_imu="OFF"))
    config = OusterConfig(metadata=str(tmp_path / "metadata.json"), host="127.0.0.1", lidar_port=0, imu_port=0)
    (points,) = DRIVER.open("lidar", config)
    assert points.stream.name == "lidar/points"
    points.close()


# --- metadata --------------------------------------------------------------------------------------------------------------


def test_flat_and_nested_metadata_say_the_same() -> None:
    flat = json.loads(META)
    nested = {
        "sensor_info": {"prod_line": flat["prod_line"], "initialization_id": flat["initialization_id"]},
        "beam_intrinsics": {
            "beam_altitude_angles": flat["beam_altitude_angles"],
            "beam_azimuth_angles": flat["beam_azimuth_angles"],
            "beam_to_lidar_transform": [1, 0, 0, 0.0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
        },
        "lidar_intrinsics": {"lidar_to_sensor_transform": flat["lidar_to_sensor_transform"]},
        "imu_intrinsics": {"imu_to_sensor_transform": flat["lidar_to_sensor_transform"]},
        "config_params": {"lidar_mode": "32x10", "udp_profile_lidar": "RNG19_RFL8_SIG16_NIR16"},
        "lidar_data_format": {
            key: value for key, value in flat["data_format"].items() if not key.startswith("udp_profile")
        },
    }
    a, b = (decoded(lidar(text), ouster_turn(META, 5))[0] for text in (META, json.dumps(nested)))
    assert isinstance(a, Sweep)
    np.testing.assert_array_equal(a.points_m, b.points_m)


def test_metadata_of_before_firmware_1_14_has_64_rows_and_legacy_packets() -> None:
    said = json.loads(META)
    del said["data_format"]
    said |= {"lidar_mode": "1024x10", "beam_altitude_angles": [0.0] * 64, "beam_azimuth_angles": [0.0] * 64}
    meta = read_metadata(json.dumps(said))
    assert (meta.rows, meta.columns, meta.columns_per_packet, meta.lidar_profile) == (64, 1024, 16, "LEGACY")
    assert meta.column_window == (0, 1023)


def test_a_lidar_is_not_refused_for_how_its_metadata_would_have_pictures_shifted() -> None:
    for shifts in ([], ["a"], [0] * 5):
        metadata = ouster_metadata(pixel_shift_by_row=shifts)
        assert len(decoded(lidar(metadata), ouster_turn(metadata, 5))) == 1


@pytest.mark.parametrize(
    ("line", "origin_mm"), [("OS-0-128", 27.67), ("OS-1-64", 15.806), ("OS-2-32", 13.762), ("", 12.163)]
)
def test_where_beams_start_is_known_from_the_product_where_the_metadata_is_silent(line: str, origin_mm: float) -> None:
    said = json.loads(META) | {"prod_line": line}
    del said["lidar_origin_to_beam_origin_mm"]
    assert read_metadata(json.dumps(said)).beam_origin_mm == (origin_mm, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "not JSON"),
        ("[]", "not a JSON object; fetch it from"),
        ("{}", "lacks 'lidar_mode'"),
        (META.replace("beam_altitude_angles", "other"), "lacks 'beam_altitude_angles'"),
        (META.replace("[15.0, 5.0, -5.0, -15.0]", "[15.0]"), "number of beam_altitude_angles is 1 at 4 rows"),
        (META.replace("[15.0, 5.0, -5.0, -15.0]", '["a", 1, 2, 3]'), "does not make sense"),
        (META.replace('"column_window": [0, 31]', '"column_window": [0, 32]'), r"column_window\[1\] is 32"),
        (META.replace('"columns_per_frame": 32', '"columns_per_frame": 0'), "columns_per_frame is 0"),
        (META.replace("5.0,", "NaN,", 1).replace("1NaN", "NaN"), "not a finite number"),
    ],
)
def test_metadata_that_cannot_be_right_says_where(text: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        read_metadata(text)


def test_the_readme_names_the_profiles_that_are_decoded() -> None:
    (row,) = [line for line in Path("README.md").read_text().splitlines() if line.startswith("| `ouster` |")]
    assert set(re.findall(r"\b(?:LEGACY|[A-Z]+\d*_[A-Z0-9_]+)\b", row)) == set(PROFILES)


def test_a_profile_that_nobody_knows_is_answered_with_those_that_are() -> None:
    with pytest.raises(DeviceError, match=r"the profile RNG99 is recorded, but not decodable .* one of: LEGACY, RNG19"):
        DRIVER.decoder(Stream("lidar/points", "ouster.lidar", ouster_metadata(udp_profile_lidar="RNG99")))


def test_metadata_comes_from_a_file_or_from_the_sensor(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(META)
    assert fetch_metadata(str(path)) == META
    with Camera(lambda send: send(META.encode()), content_type="application/json") as sensor:
        assert fetch_metadata(sensor.url) == META
        assert fetch_metadata(sensor.url.removesuffix("/stream")) == META


def test_a_sensor_or_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot read the Ouster metadata .*gone.json"):
        fetch_metadata(str(tmp_path / "gone.json"))
    with pytest.raises(
        DeviceError, match=r"no Ouster metadata at http://127.0.0.1:1/api/v1/sensor/metadata: .* powered"
    ):
        fetch_metadata("http://127.0.0.1:1")
    with (
        Camera(lambda send: None, status=404) as sensor,
        pytest.raises(DeviceError, match=r"no Ouster metadata at .*404"),
    ):
        fetch_metadata(sensor.url)


@pytest.mark.parametrize(
    ("mode", "clock"),
    [
        ("TIME_FROM_PTP_1588", ClockSource.PTP),
        ("TIME_FROM_SYNC_PULSE_IN", ClockSource.PPS),
        ("TIME_FROM_INTERNAL_OSC", ClockSource.FREE),
        (None, ClockSource.FREE),
    ],
)
def test_the_timestamp_mode_says_what_both_streams_follow(mode: str | None, clock: ClockSource, tmp_path: Path) -> None:
    said = json.loads(META)
    said["config_params"] = {} if mode is None else {"timestamp_mode": mode}
    (tmp_path / "metadata.json").write_text(json.dumps(said))
    config = OusterConfig(metadata=str(tmp_path / "metadata.json"), host="127.0.0.1", lidar_port=0, imu_port=0)
    sources = DRIVER.open("lidar", config)
    assert [source.clock_source for source in sources] == [clock, clock]
    for source in sources:
        source.close()


def test_a_sensor_that_sends_here_is_found_where_it_serves_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        monkeypatch.setattr("devices.ouster.driver._LIDAR_PORT", probe.getsockname()[1])

    def served(where: str) -> str:
        if where != "http://127.0.0.1":
            raise DeviceError(where)
        return META

    found = []
    for fetch in (served, lambda _: served("nothing there")):
        monkeypatch.setattr("devices.ouster.driver.fetch_metadata", fetch)
        thread = threading.Thread(target=lambda: found.append(DRIVER.find(1.5)))
        thread.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sensor:
            while thread.is_alive():
                sensor.sendto(ouster_turn(META, 5)[0], ("127.0.0.1", ouster._LIDAR_PORT))
                thread.join(0.02)
    (sensor_found,) = found[0]
    assert sensor_found.label == "Ouster OS-1-4 at 127.0.0.1"
    assert sensor_found.config == {"metadata": "http://127.0.0.1"}
    assert list(found[1]) == []
