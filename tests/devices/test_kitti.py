from pathlib import Path

import cv2
import numpy as np
import pytest

from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.logs.kitti import ASSIGNED_START_NS, DRIVER, KittiConfig, drive_sensors, has_timestamps
from devices.rig import rig_from_dict
from devices.samples import Packet


def a_drive(folder: Path, frames: tuple[int, ...] = (0, 1, 2), *, timestamps: bool = False) -> Path:
    for part in ("image_02", "velodyne_points"):
        (folder / part / "data").mkdir(parents=True)
        if timestamps:
            lines = [f"2011-09-26 13:02:{25 + number:02d}.{number}64389445" for number in range(10)]
            (folder / part / "timestamps.txt").write_text("\n".join(lines) + "\n")
    for number in frames:
        cv2.imwrite(str(folder / f"image_02/data/{number:010d}.png"), np.full((4, 6, 3), number, dtype=np.uint8))
        points = np.array([[number, 1, 2, 0.5], [3, 4, 5, 0.25]], dtype="<f4")
        (folder / f"velodyne_points/data/{number:010d}.bin").write_bytes(points.tobytes())
    return folder


def played(folder: Path, sensor: str, **options: object) -> list[Packet]:
    (source,) = DRIVER.open(sensor, KittiConfig(folder=folder, **options))
    packets: list[Packet] = []
    try:
        while True:
            packets.extend(source.read(1.0))
    except EOFError:
        return packets


def test_without_timestamps_a_clock_is_assigned_and_no_device_stamp_invented(tmp_path: Path) -> None:
    drive = a_drive(tmp_path, (0, 1, 3))
    assert not has_timestamps(drive)
    for sensor in ("camera_02", "lidar"):
        stamps = [each.stamps for each in played(drive, sensor, pace=False, rate_hz=20)]
        assert [each.host_ns - ASSIGNED_START_NS for each in stamps] == [0, 50_000_000, 150_000_000]
        assert [each.device_ns for each in stamps] == [None] * 3


def test_recorded_timestamps_are_the_device_stamps_to_the_nanosecond(tmp_path: Path) -> None:
    drive = a_drive(tmp_path, (0, 2), timestamps=True)
    assert has_timestamps(drive)
    stamps = [each.stamps for each in played(drive, "lidar", pace=False)]
    assert [each.device_ns for each in stamps] == [1_317_042_145_064_389_445, 1_317_042_147_264_389_445]
    assert [each.host_ns for each in stamps] == [each.device_ns for each in stamps]


def test_paced_frames_come_at_their_rate_stamped_with_the_present(tmp_path: Path) -> None:
    before_ns = HOST_CLOCK.now_ns()
    stamps = [each.stamps for each in played(a_drive(tmp_path), "lidar", rate_hz=20)]
    after_ns = [each.host_ns - stamps[0].host_ns for each in stamps]
    assert before_ns <= stamps[0].host_ns <= HOST_CLOCK.now_ns()
    for number, each_ns in enumerate(after_ns):  # never early; a busy machine may be late
        assert number * 50_000_000 - 1_000_000 <= each_ns < number * 50_000_000 + 1_000_000_000


def test_a_frame_missing_among_the_files_is_lost(tmp_path: Path) -> None:
    (source,) = DRIVER.open("lidar", KittiConfig(folder=a_drive(tmp_path, (0, 1, 4)), pace=False))
    counts = []
    for _ in range(3):
        source.read(0.1)
        counts.append(source.lost)
    assert counts == [0, 0, 2]


def test_the_table_of_sensors_is_a_rig_that_opens(tmp_path: Path) -> None:
    rig = rig_from_dict({"name": "kitti", "sensors": drive_sensors(a_drive(tmp_path), pace=False)})
    assert list(rig.sensors) == ["camera_02", "lidar"]
    for name, sensor in rig.sensors.items():
        (source,) = sensor.loaded_driver().open(name, sensor.config())
        assert source.stream.sensor == name


def test_points_and_reflectance_are_those_of_the_file(tmp_path: Path) -> None:
    packet = played(a_drive(tmp_path), "lidar", pace=False)[1]
    (source,) = DRIVER.open("lidar", KittiConfig(folder=tmp_path))
    (sweep,) = DRIVER.decoder(source.stream).decode(packet)
    assert sweep.points_m.tolist() == [[1, 1, 2], [3, 4, 5]]
    assert sweep.intensity.tolist() == [0.5, 0.25]
    assert sweep.t_ns == packet.stamps.host_ns
    assert sweep.ring is None


@pytest.mark.parametrize(
    ("sensor", "break_it", "says"),
    [
        (
            "lidar",
            lambda drive: None,
            r"no files named by their number, like 0+\.bin, in .*give the folder of a KITTI raw drive",
        ),
        ("camera_07", a_drive, r"no files named by their number, like 0+\.png, in .*image_07"),
        ("radar", a_drive, "no sensor 'radar'; call it camera_00 to camera_03, lidar or oxts"),
        (
            "lidar",
            lambda drive: [path.rename(path.with_stem(f"x{path.stem}")) for path in a_drive(drive).rglob("*.bin")],
            "named by their number",
        ),
        (
            "lidar",
            lambda drive: (a_drive(drive) / "velodyne_points/timestamps.txt").write_text("x\n"),
            "no time for each",
        ),
        (
            "lidar",
            lambda drive: (a_drive(drive) / "velodyne_points/timestamps.txt").write_text(
                "2011-09-26 13:02:25.9\n2011-09-26 13:02:24.9\n2011-09-26 13:02:26.9\n"
            ),
            r"timestamps\.txt: line 2 goes back by 1\.000 s",
        ),
    ],
)
def test_a_folder_that_is_no_whole_drive_says_what_is_missing(
    tmp_path: Path, sensor: str, break_it: object, says: str
) -> None:
    break_it(tmp_path)
    with pytest.raises(DeviceError, match=says):
        DRIVER.open(sensor, KittiConfig(folder=tmp_path))


def test_sensors_of_which_only_some_have_timestamps_share_no_clock(tmp_path: Path) -> None:
    drive = a_drive(tmp_path, timestamps=True)
    (drive / "velodyne_points/timestamps.txt").unlink()
    with pytest.raises(DeviceError, match=r"image_02 has a timestamps\.txt, velodyne_points has none"):
        has_timestamps(drive)


def test_a_folder_without_any_sensor_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="is no KITTI drive: it has neither image_NN/data nor velodyne_points/data"):
        drive_sensors(tmp_path)


def test_a_real_drive_gives_all_its_frames_with_the_points_that_kitti_states(test_data: Path) -> None:
    drive = test_data / "kitti_drive"
    clouds, pictures = played(drive, "lidar", pace=False), played(drive, "camera_02", pace=False)
    assert len(clouds) == len(pictures) == 24
    decoder = DRIVER.decoder(DRIVER.open("lidar", KittiConfig(folder=drive))[0].stream)
    sizes = [len(sweep) for cloud in clouds for sweep in decoder.decode(cloud)]
    assert sizes[0] == 1_828_448 // 16
    assert min(sizes) >= 69_719
    assert max(sizes) <= 114_278
    picture_decoder = DRIVER.decoder(DRIVER.open("camera_02", KittiConfig(folder=drive))[0].stream)
    assert {image.pixels.shape for each in pictures for image in picture_decoder.decode(each)} == {(375, 1242, 3)}
