"""A KITTI drive with all that the raw data development kit puts into its folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from capture.errors import CaptureError
from capture.importers.imported_before import imported_before
from capture.importers.kitti import IMPORTER
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.samples import FixQuality, GnssFix, ImuSample
from tests.devices.oxts_files import add_oxts, oxts_line
from tests.devices.test_kitti import a_drive

TEN = tuple(range(10))


def imported(drive: Path, place: Path) -> Recording:
    return open_recording(IMPORTER.import_into(drive, Workspace(place)))


def test_gnss_and_imu_come_in_with_their_files_bytes_at_their_own_stamps(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    recording = imported(drive, tmp_path)
    files = [file.read_bytes() for file in sorted((drive / "oxts/data").iterdir())]
    for stream in ("oxts/gnss", "oxts/imu"):
        packets = [each.packet for each in recording.packets([stream])]
        assert [each.data for each in packets] == files
        assert [each.stamps.host_ns for each in packets] == [
            1_317_042_145_000_000_000 + number * 100_000_000 for number in range(10)
        ]
    assert (recording.info.reasons, recording.info.verdict) == ((), "good")
    assert verify(recording.folder).verdict == "good"


def test_they_decode_to_what_dataformat_txt_says_of_them(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    (drive / "oxts/data/0000000003.txt").write_bytes(oxts_line({"posmode": 0}))
    recording = imported(drive, tmp_path)
    imu = [each.sample for each in recording.samples(["oxts/imu"]) if isinstance(each.sample, ImuSample)]
    assert imu[5].acceleration.tolist() == [0.44, 0.28, 10.16]
    assert imu[5].angular_rate == pytest.approx([0.01, -0.02, 0.005])
    assert np.diff([each.t_ns for each in imu]).tolist() == [100_000_000] * 9
    fixes = [each.sample for each in recording.samples(["oxts/gnss"]) if isinstance(each.sample, GnssFix)]
    assert (fixes[0].latitude_deg, fixes[0].longitude_deg) == (49.015003823272, 8.4342971002335)
    assert fixes[0].velocity_m_s is not None
    assert fixes[0].velocity_m_s.tolist() == [-11.3, -6.8, -0.03]  # east, north, up
    assert [each.quality for each in fixes[2:5]] == [FixQuality.RTK_FIXED, FixQuality.DEAD_RECKONING, FixQuality.RTK_FIXED]  # fmt: skip
    assert fixes[0].altitude_m is None, "the format does not say above what"


def test_oxts_that_measures_ten_times_as_often_as_the_cameras_makes_no_frame_of_theirs_missing(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive_extract", TEN, timestamps=True), 100, rate_hz=100)
    recording = imported(drive, tmp_path)
    assert (recording.counts["oxts/imu"], recording.info.reasons) == (100, ())


def test_stamps_of_oxts_that_go_back_are_kept_as_they_are_and_said(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive_extract", TEN, timestamps=True), 100, rate_hz=100)
    stamps = drive / "oxts/timestamps.txt"
    lines = stamps.read_text().split("\n")
    lines[40], lines[41] = lines[41], lines[40]
    stamps.write_text("\n".join(lines))
    recording = imported(drive, tmp_path)
    assert recording.info.reasons == tuple(
        f"oxts/{what}: 1 of the drive's stamps lie before the one before" for what in ("gnss", "imu")
    )
    # Read by time; each file's angular rate is its number.
    found = [(each.sample.t_ns, each.sample.angular_rate[2]) for each in recording.samples(["oxts/imu"]) if isinstance(each.sample, ImuSample)]  # fmt: skip
    assert len(found) == 100
    assert {40: 41, 41: 40}.items() <= {round(rate * 1000): (t_ns - 1_317_042_145_000_000_000) // 10_000_000 for t_ns, rate in found}.items()  # fmt: skip
    assert verify(recording.folder).damage == []


def test_files_of_oxts_that_are_missing_or_no_such_files_are_said(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    (drive / "oxts/data/0000000009.txt").unlink()
    (drive / "oxts/data/0000000002.txt").write_bytes(b"49.0 8.4 116.4\n")
    reasons = imported(drive, tmp_path).info.reasons
    assert set(reasons) == {
        f"oxts/{what}: {says}"
        for what in ("gnss", "imu")
        for says in ("1 frames are missing in the drive", "1 of 9 messages cannot be decoded: not the thirty numbers of an OXTS file")
    }  # fmt: skip


def test_what_no_stream_holds_is_kept_where_it_is_small_text_and_named_as_left_out_where_not(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    (drive / "velodyne_points/timestamps_start.txt").write_text("2011-09-26 13:02:25.9\n")
    (drive / "image_02/data/0000000001.jpg").write_bytes(b"\xff\xd8\0\1")
    (drive / "tracklets").mkdir()
    for number in range(3):
        (drive / f"tracklets/{number}.bin").write_bytes(bytes(8))
    (drive / "long.txt").write_text("no calibration is as long as this\n" * 40_000)
    recording = imported(drive, tmp_path)
    assert recording.info.verdict == "doubtful"
    assert recording.info.reasons == ("5 files of drive were left out, since nothing here reads them",)
    assert "left out: tracklets (3 .bin), image_02/data/0000000001.jpg, long.txt" in recording.info.notes
    kept = {file.relative_to(recording.folder).as_posix() for file in (recording.folder / "original").rglob("*.txt")}
    assert kept == {"original/oxts/dataformat.txt", "original/velodyne_points/timestamps_start.txt"}
    assert (recording.folder / "original/oxts/dataformat.txt").read_bytes() == (drive / "oxts/dataformat.txt").read_bytes()  # fmt: skip
    lines = (recording.folder / "origin.sha256").read_text().splitlines()
    assert sorted(lines, key=lambda line: line[66:]) == [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(drive).as_posix()}"
        for file in sorted((file for file in drive.rglob("*") if file.is_file()), key=lambda file: file.relative_to(drive).as_posix())
    ]  # fmt: skip
    assert verify(recording.folder).damage == []


def test_files_among_the_frames_that_bear_no_frames_number_are_no_frames(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    (drive / "oxts/data/notes.txt").write_text("the antenna was loose\n")
    (drive / "image_02/data/overview.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    recording = imported(drive, tmp_path)
    assert (recording.counts["oxts/imu"], recording.counts["camera_02/image"]) == (10, 10)
    assert (recording.folder / "original/oxts/data/notes.txt").read_text() == "the antenna was loose\n"
    assert recording.info.reasons == ("1 files of drive were left out, since nothing here reads them",)
    assert "left out: image_02/data/overview.png" in recording.info.notes


def test_a_file_beside_the_log_that_cannot_be_read_is_left_out_with_its_reason_and_stops_nothing(
    tmp_path: Path,
) -> None:
    drive = a_drive(tmp_path / "drive", TEN, timestamps=True)
    (drive / "stuck.bin").symlink_to("/proc/self/mem")  # there, a file, and every read fails
    recording = imported(drive, tmp_path)
    assert recording.counts["camera_02/image"] == 10
    assert recording.info.reasons == ("1 files of drive were left out, since they could not be read",)
    assert "could not be read (Input/output error): stuck.bin" in recording.info.notes
    assert "stuck.bin" not in (recording.folder / "origin.sha256").read_text()
    assert verify(recording.folder).damage == []


def test_hashing_large_files_beside_the_log_is_shown(tmp_path: Path) -> None:
    drive = a_drive(tmp_path / "drive", TEN, timestamps=True)
    (drive / "survey.bin").write_bytes(bytes(5_000_000))
    told: list[tuple[int, int, str]] = []
    IMPORTER.import_into(
        drive, Workspace(tmp_path), lambda done, total, unit="messages": told.append((done, total, unit))
    )
    hashed = [(done, total) for done, total, unit in told if unit == "MB hashed"]
    assert len({done for done, _ in hashed}) > 3
    assert hashed[-1][0] == hashed[-1][1] == 5
    assert sorted(hashed) == hashed


def test_names_in_no_known_letters_are_hashed_and_one_with_a_line_break_is_refused(tmp_path: Path) -> None:
    drive = a_drive(tmp_path / "drive")
    for name in (b"Stra\xdfe.bin", "größe [x].bin".encode()):
        with open(os.path.join(os.fsencode(drive), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"\0")
    folder = IMPORTER.import_into(drive, Workspace(tmp_path))
    assert "left out: 2 .bin" in open_recording(folder).info.notes
    assert b"  Stra\xdfe.bin\n" in (folder / "origin.sha256").read_bytes()
    assert imported_before(drive, Workspace(tmp_path)) == folder
    (drive / "two\nlines.bin").write_bytes(b"\0")
    with pytest.raises(CaptureError, match=r"two\\nlines\.bin' has a line break in its name"):
        IMPORTER.import_into(drive, Workspace(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_real_drive_keeps_its_calibration_and_leaves_nothing_out(test_data: Path, tmp_path: Path) -> None:
    """24 frames of one camera and the lidar, without stamps, without OXTS."""
    recording = imported(test_data / "kitti_drive", tmp_path)
    assert recording.counts == {"camera_02/image": 24, "lidar/points": 24}
    assert (recording.info.verdict, recording.info.reasons) == ("good", ())
    assert any("no timestamps: a clock of 10 Hz was assigned" in note for note in recording.info.notes)
    assert {path.name for path in (recording.folder / "original").iterdir()} >= {"calib_2011_09_26.txt"}


def test_a_recording_made_in_the_drives_own_folder_is_none_of_its_files(tmp_path: Path) -> None:
    drive = add_oxts(a_drive(tmp_path / "drive", TEN, timestamps=True), 10)
    for _ in range(2):
        assert imported(drive, drive).info.verdict == "good"
