"""A real GoPro file: its counts are those that gpmf-parser's own walk of the file gives."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest

from capture.commands.recordings import info as print_recording
from capture.errors import CaptureError
from capture.importers.gopro import IMPORTER
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.cameras.access_unit import Codec, nal_units
from devices.logs.gpmf import measured, streams
from devices.samples import GnssFix, Image, ImuSample, NamedVector
from tests.devices.gpmf_bytes import gps9, imu, nested, numbers

UTC_2019_11_18_NS = 1_574_035_200_000_000_000


@pytest.fixture(scope="module")
def video(test_data: Path) -> Path:
    return test_data / "gopro_imu_gnss" / "max-heromode.mp4"


@pytest.fixture(scope="module")
def recording(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return open_recording(IMPORTER.import_into(video, Workspace(tmp_path_factory.mktemp("workspace"))))


def test_every_picture_and_every_measurement_of_a_real_file_is_there(recording: Recording) -> None:
    counts: Counter[str] = Counter()
    for recorded in recording.samples():
        sample = recorded.sample
        counts[sample.topic if isinstance(sample, NamedVector) else type(sample).__name__] += 1
    assert {
        "Image": 315,
        "ImuSample": 2082,
        "GnssFix": 191,
        "MAGN": 260,
        "CORI": 316,
        "SHUT": 316,
    }.items() <= counts.items()
    assert verify(recording.folder).damage == []


def test_the_pictures_are_the_files_own_units_and_the_telemetry_its_own_blocks(
    recording: Recording, video: Path
) -> None:
    with av.open(str(video)) as container:
        telemetry = next(each for each in container.streams if "GoPro MET" in each.metadata["handler_name"])
        pictures = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
        container.seek(0)
        payloads = b"".join(bytes(packet) for packet in container.demux(telemetry))
    recorded = [each.packet.data for each in recording.packets(["camera/image"])]
    assert len(recorded) == len(pictures)
    for ours, theirs in zip(recorded, pictures, strict=True):
        # Parameter sets, which an MP4 holds once, stand before each key frame.
        assert [nal for nal in nal_units(ours) if not Codec.H264.is_parameter_set(nal)] == length_prefixed(theirs)
    for stream in ("camera/imu", "camera/gnss", "camera/telemetry"):
        for each in recording.packets([stream]):
            at = 0
            for block in each.packet.data.split(b"STRM")[1:]:
                at = payloads.find(b"STRM" + block, at)
                assert at >= 0
    kept = recording.folder / "original" / video.name
    assert hashlib.sha256(kept.read_bytes()).digest() == hashlib.sha256(video.read_bytes()).digest()
    assert f"original/{video.name}" in (recording.folder / "SHA256SUMS").read_text()


def length_prefixed(data: bytes) -> list[bytes]:
    units = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        units.append(data[4:end])
        data = data[end:]
    return units


def test_gravity_points_along_one_axis_and_the_fixes_are_where_the_file_says(recording: Recording) -> None:
    imu = [each.sample for each in recording.samples(["camera/imu"]) if isinstance(each.sample, ImuSample)]
    mean = np.mean([sample.acceleration for sample in imu], axis=0)
    assert np.linalg.norm(mean) == pytest.approx(9.8, abs=0.1)
    assert abs(mean).max() > 9.5
    steps_ns = np.diff([sample.t_ns for sample in imu])
    assert 5_060_000 < steps_ns.min() <= steps_ns.max() < 5_070_000
    fixes = [each.sample for each in recording.samples(["camera/gnss"]) if isinstance(each.sample, GnssFix)]
    assert all(abs(fix.latitude_deg - 33.127) < 0.001 and abs(fix.longitude_deg + 117.327) < 0.001 for fix in fixes)


def test_times_are_utc_by_the_cameras_satellites(recording: Recording) -> None:
    of_day_s = (recording.start_ns - UTC_2019_11_18_NS) / 1e9
    assert 23 * 3600 + 45 * 60 + 14 < of_day_s < 23 * 3600 + 45 * 60 + 16
    image = next(each.sample for each in recording.samples(["camera/image"]) if isinstance(each.sample, Image))
    fit = recording.clocks["camera/image"][-1]
    assert fit.host_from_device(image.t_ns) == pytest.approx(recording.start_ns, abs=1_000_000)


def test_utc_is_as_sure_as_the_satellites_readings_agree_and_the_recording_says_so(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of the real file's readings lies 1.5 s from the ten others."""
    assert {round(fits[-1].sigma_ns / 1e6) for fits in recording.clocks.values()} == {446}
    assert recording.info.verdict == "doubtful"
    (reason,) = recording.info.reasons
    assert reason == (
        "UTC by the camera's GNSS receiver is known to 446 ms only (doubtful above 100 ms); all streams are off by the same, "
        "so against each other they are not"
    )
    assert any("the middle of 11 readings that lie 1536 ms apart" in note for note in recording.info.notes)
    print_recording(recording.folder, workspace=tmp_path)
    assert "clock against the log's time" in " ".join(capsys.readouterr().out.replace("┃", " ").split())


def with_telemetry(video: Path, path: Path, changed: Callable[[bytes], bytes], **said: str) -> Recording:
    """An import of the real telemetry, each payload changed, without its pictures. said: of the file's metadata."""
    with av.open(str(video)) as real, av.open(str(path), "w", format="mp4") as made:
        made.metadata.update(said)
        telemetry = next(each for each in real.streams if "GoPro MET" in each.metadata["handler_name"])
        copied = made.add_stream_from_template(telemetry)
        copied.metadata["handler_name"] = "GoPro MET"
        for packet in real.demux(telemetry):
            if packet.size:
                other = av.Packet(changed(bytes(packet)))
                other.pts, other.dts, other.duration, other.time_base = packet.pts, packet.dts, packet.duration, packet.time_base  # fmt: skip
                other.stream = copied
                made.mux(other)
    return open_recording(IMPORTER.import_into(path, Workspace(path.parent)))


def test_readings_that_agree_are_no_surer_than_the_second_that_one_stands_for(video: Path, tmp_path: Path) -> None:
    """GPSU stands once a payload, and the format does not say of which of its fixes it is."""

    def agreeing(payload: bytes) -> bytes:
        at = payload.index(b"GPSU") + 8
        block = next(each for each in streams(payload) if (found := measured(each)) is not None and found.key == "GPS5")
        found = measured(block)
        assert found is not None
        assert found.stamp_us is not None
        text = f"191118234515.{found.stamp_us // 1000:03d}" if found.stamp_us < 10**6 else f"1911182345{15 + found.stamp_us // 10**6:02d}.{found.stamp_us // 1000 % 1000:03d}"  # fmt: skip
        return payload[:at] + text.encode() + payload[at + 16 :]

    recording = with_telemetry(video, tmp_path / "GX010001.MP4", agreeing)
    assert any("readings that lie 1 ms apart" in note for note in recording.info.notes), recording.info.notes
    assert recording.clocks["camera/imu"][-1].sigma_ns == pytest.approx(1e9 / np.sqrt(12), rel=0.01)
    assert recording.info.verdict == "doubtful"


def test_readings_that_each_stand_for_a_fix_are_as_sure_as_they_agree(video: Path, tmp_path: Path) -> None:
    """GPS9: each fix has a time of its own. Here every other one is 20 ms late."""
    seconds = count()

    def later_camera(_: bytes) -> bytes:
        second = next(seconds)
        return nested("DEVC", gps9(second * 1_000_000, 8888, second * 1000 + second % 2 * 20), imu(second * 1_000_000))

    recording = with_telemetry(video, tmp_path / "GX010001.MP4", later_camera)
    assert recording.clocks["camera/imu"][-1].sigma_ns == pytest.approx(np.hypot(14e6, 1e6), rel=0.1)
    assert (recording.info.verdict, recording.info.reasons) == ("good", ())


def test_without_satellites_the_cameras_own_date_is_doubted(video: Path, tmp_path: Path) -> None:
    def blind(payload: bytes) -> bytes:
        at = payload.index(b"GPSF") + 8
        return payload[:at] + bytes(4) + payload[at + 4 :]

    recording = with_telemetry(video, tmp_path / "GX010001.MP4", blind, creation_time="2019-11-18T15:45:12Z")
    assert recording.info.verdict == "doubtful"
    (reason,) = recording.info.reasons
    assert reason == (
        "its times are no UTC: the camera's GNSS receiver saw no satellites; they count from 2019-11-18 15:45:12, "
        "by the camera's own date and time zone"
    )


def test_telemetry_whose_stamps_or_kinds_are_damaged_is_counted_and_costs_no_other(video: Path, tmp_path: Path) -> None:
    payloads = count()

    def damaged(payload: bytes) -> bytes:
        number = next(payloads)
        if number == 1:
            at = payload.index(b"STMP") + 8
            return payload[:at] + b"\xf0" + payload[at + 1 :]
        if number in {2, 3}:  # GPS9 of one column, and of values beyond any
            fix = [1.0] if number == 2 else [np.inf] * 9
            return nested("DEVC", nested("STRM", numbers("STMP", "J", [[0]]), numbers("GPS9", "f", [fix])))
        return payload

    recording = with_telemetry(video, tmp_path / "GX010001.MP4", damaged)
    assert recording.counts["camera/imu"] == next(payloads) - 3
    assert recording.info.verdict == "doubtful"
    assert any(reason.startswith("3 telemetry payloads are no GPMF") for reason in recording.info.reasons), (
        recording.info.reasons
    )


def test_adjoining_ranges_of_the_telemetry_give_what_one_range_gives(recording: Recording) -> None:
    middle_ns = (recording.start_ns + recording.end_ns) // 2

    def times(start_ns: int | None, end_ns: int | None) -> list[int]:
        return [each.sample.t_ns for each in recording.samples(["camera/imu"], start_ns, end_ns)]

    assert times(None, middle_ns) + times(middle_ns, None) == times(None, None)


def test_an_h265_video_whose_pictures_are_written_in_another_order_than_shown_decodes_whole(
    video: Path, tmp_path: Path
) -> None:
    """The real telemetry beside pictures that libx265 made."""
    path = tmp_path / "GX010001.MP4"
    with av.open(str(video)) as real, av.open(str(path), "w", format="mp4") as made:
        telemetry = next(each for each in real.streams if "GoPro MET" in each.metadata["handler_name"])
        pictures = made.add_stream("libx265", rate=30, options={"x265-params": "log-level=none:bframes=3:b-adapt=0"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        copied = made.add_stream_from_template(telemetry)
        copied.metadata["handler_name"] = "GoPro MET"
        for number in range(20):
            pixels = np.full((64, 64, 3), number * 10, dtype=np.uint8)
            made.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        made.mux(pictures.encode(None))
        for packet in real.demux(telemetry):
            if packet.size:
                packet.stream = copied
                made.mux(packet)
    recording = open_recording(IMPORTER.import_into(path, Workspace(tmp_path)))
    assert recording.streams["camera/image"].encoding == "h265"
    images = [each.sample for each in recording.samples(["camera/image"]) if isinstance(each.sample, Image)]
    assert [round(float(image.pixels.mean()), -1) for image in images] == [10 * number for number in range(20)]
    assert np.diff([image.t_ns for image in images]) == pytest.approx(1e9 / 30, abs=1)
    fit = recording.clocks["camera/image"][-1]
    imu = recording.clocks["camera/imu"][-1]
    assert fit.host_from_device(500_000_000) == pytest.approx(imu.host_from_device(500_000_000), abs=1_000)
    assert [reason for reason in recording.info.reasons if not reason.startswith("UTC by")] == []


def test_a_video_of_another_camera_and_a_broken_one_are_refused_in_a_line(video: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.mp4"
    with av.open(str(plain), "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 32, 32, "yuv420p"
        container.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(track.encode(None))
    with pytest.raises(CaptureError, match=r"plain\.mp4 holds no telemetry of a GoPro"):
        IMPORTER.import_into(plain, Workspace(tmp_path / "workspace"))
    (tmp_path / "half.mp4").write_bytes(video.read_bytes()[:1_000_000])
    with pytest.raises(CaptureError, match=r"cannot read \S+half\.mp4"):
        IMPORTER.import_into(tmp_path / "half.mp4", Workspace(tmp_path / "workspace"))
    assert not (tmp_path / "workspace").exists()
