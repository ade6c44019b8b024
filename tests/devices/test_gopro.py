"""GPMF telemetry: values, axes and times of payloads made by hand. The real file is in tests/capture/importers/test_gopro.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Stream
from devices.logs.gopro import DRIVER, GNSS, IMU, VECTORS
from devices.logs.gpmf import blocks, device_name, measured, streams, utc_ns
from devices.samples import FixQuality, GnssFix, ImuSample, NamedVector, Packet, Sample, Stamps
from tests.devices.gpmf_bytes import PLACE, block, gps5, gps9, imu, nested, numbers, stmp, text

SECOND_NS = 1_000_000_000


def decoded(encoding: str, payloads: Sequence[bytes], description: str = "") -> tuple[list[Sample], dict[str, int]]:
    decoder = DRIVER.decoder(Stream("camera/what", encoding, description))
    samples = [
        sample
        for number, data in enumerate(payloads, start=1)
        for sample in decoder.decode(Packet("camera/what", Stamps(number * SECOND_NS, number * SECOND_NS), data))
    ]
    return [*samples, *decoder.flush()], dict(decoder.rejected)


def imus(payloads: Sequence[bytes], description: str = "") -> list[ImuSample]:
    samples, rejected = decoded(IMU, payloads, description)
    assert rejected == {}
    return [sample for sample in samples if isinstance(sample, ImuSample)]


def test_samples_lie_evenly_between_the_stamps_of_payloads_and_the_last_ones_as_far_apart() -> None:
    rows = [(981, 0, 0)] * 4
    found = imus([imu(100_000, rows, rates=rows), imu(1_100_000, rows, rates=rows), imu(2_140_000, rows, rates=rows)])
    assert [sample.t_ns for sample in found] == [
        *(100_000_000 + 250_000_000 * number for number in range(4)),
        *(1_100_000_000 + 260_000_000 * number for number in range(4)),
        *(2_140_000_000 + 260_000_000 * number for number in range(4)),
    ]


def test_without_stamps_samples_lie_in_the_second_before_their_payload_was_written() -> None:
    rows = [(981, 0, 0)] * 4
    found = imus([imu(None, rows, rates=rows), imu(None, rows, rates=rows)])
    assert [sample.t_ns for sample in found] == [250_000_000 * number for number in range(8)]


@pytest.mark.parametrize(
    ("orin", "firmware", "expected"),
    [
        ("ZXY", "", (20, 30, 10)),
        ("YxZ", "", (-20, 10, 30)),
        ("XzY", "", (10, 30, -20)),
        ("", "HD5.02.02.60.00", (20, 30, 10)),
        ("", "HD7.01.01.90.00", (-20, 10, 30)),
        ("", "", (-20, 10, 30)),
    ],
)
def test_channels_lie_along_the_axes_that_the_camera_names(
    orin: str, firmware: str, expected: tuple[int, int, int]
) -> None:
    (sample,) = imus([imu(0, orin=orin)], f'{{"firmware": "{firmware}"}}')
    np.testing.assert_allclose(sample.angular_rate, np.array(expected) / 100)


def test_accelerations_are_brought_to_the_gyroscopes_times() -> None:
    half = nested(
        "STRM", stmp(0), text("ORIN", "XYZ"), numbers("SCAL", "s", [[1]]), numbers("ACCL", "s", [(0, 0, 0), (10, 0, 0)])
    )
    full = nested(
        "STRM", stmp(0), text("ORIN", "XYZ"), numbers("SCAL", "s", [[1]]), numbers("GYRO", "s", [(1, 2, 3)] * 4)
    )
    found = imus([half + full, imu(1_000_000, orin="XYZ")])[:4]
    assert [sample.acceleration[0] for sample in found] == [0, 5, 10, 10]


def fixes(payloads: Sequence[bytes]) -> list[GnssFix]:
    samples, rejected = decoded(GNSS, payloads)
    assert rejected == {}
    return [sample for sample in samples if isinstance(sample, GnssFix)]


def test_fixes_are_scaled_and_say_above_what_their_height_is() -> None:
    first, second = fixes([gps5(500_000, [PLACE]), gps5(1_500_000, [PLACE], lock=2, msl=True)])
    assert (first.latitude_deg, first.longitude_deg, first.altitude_m) == pytest.approx((47.1, 8.5, 450.0))
    assert (first.t_ns, first.quality) == (500_000_000, FixQuality.THREE_D)
    assert (second.quality, second.altitude_m) == (FixQuality.TWO_D, None)
    assert fixes([gps5(500_000, [PLACE], lock=0)]) == []


def test_a_camera_that_writes_both_kinds_of_fixes_is_read_once() -> None:
    (fix,) = fixes([gps5(0, [PLACE]) + gps9(0, 8892, 43_200_000)])
    assert (fix.latitude_deg, fix.longitude_deg, fix.altitude_m, fix.quality) == (47.1, 8.5, 450.0, FixQuality.THREE_D)


def test_other_measurements_are_vectors_named_by_their_key() -> None:
    payload = nested(
        "STRM", stmp(0), numbers("SCAL", "s", [[32767]]), numbers("CORI", "s", [(32767, 0, 0, 0)])
    ) + nested("STRM", stmp(0), text("TYPE", "Ff"), block("SCEN", "?", 8, 1, b"SNOW\x3e\x2e\x14\x7b"))
    samples, rejected = decoded(VECTORS, [payload])
    (vector,) = samples
    assert isinstance(vector, NamedVector)
    assert (vector.topic, vector.names, vector.values.tolist()) == (
        "CORI", ("CORI.w", "CORI.x", "CORI.y", "CORI.z"), [1, 0, 0, 0],
    )  # fmt: skip
    assert rejected == {}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"rubbish", "a payload that is no GPMF"),
        (imu(0)[:-3], "a payload that is no GPMF"),
        (b"", "a payload without measurements"),
        (bytes(16), "a payload without measurements"),
        (imu(0)[: len(imu(0)) // 2], "a payload without gyroscope or without accelerometer"),
        (imu(0, orin="XXY"), "an IMU whose axes make no sense"),
        (imu(0, ((1, 2),)), "an IMU whose axes make no sense"),
    ],
)
def test_broken_payloads_are_counted_and_cost_no_good_one(payload: bytes, reason: str) -> None:
    samples, rejected = decoded(IMU, [imu(0), payload, imu(2_000_000)])
    assert [sample.t_ns for sample in samples] == [0, 2 * SECOND_NS]
    assert rejected == {reason: 1}


def test_the_tree_is_walked_to_every_device_and_every_byte_is_in_a_block() -> None:
    payload = nested("DEVC", text("DVNM", "HERO11"), imu(0)) + nested("DEVC", text("DVNM", "Remote"), gps5(0, [PLACE]))
    keys = [found.key for block_ in streams(payload) if (found := measured(block_)) is not None]
    assert keys == ["ACCL", "GYRO", "GPS5"]
    assert device_name(payload) == "HERO11"
    assert b"".join(each.whole for each in blocks(payload)) == payload


def test_times_of_day_are_read_to_the_millisecond() -> None:
    noon = int(dt.datetime(2024, 5, 6, 12, tzinfo=dt.UTC).timestamp()) * SECOND_NS
    assert utc_ns("240506120000.125") == noon + 125_000_000
    for wrong in ("", "240506", "241306120000.000", "2405061200.0"):
        assert utc_ns(wrong) is None


@given(st.binary(max_size=400))
def test_bytes_that_nobody_wrote_cost_no_payload_that_somebody_did(data: bytes) -> None:
    good = imu(1_000_000)
    expected, _ = decoded(IMU, [good])
    for payload in (data, imu(0)[:24] + data, nested("STRM", data)):
        samples, rejected = decoded(IMU, [payload, good])
        assert len(samples) >= len(expected) > 0
        assert sum(rejected.values()) <= 1
        for encoding in (GNSS, VECTORS):
            assert sum(decoded(encoding, [payload])[1].values()) <= 1
