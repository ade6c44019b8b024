"""Reading: in bounded memory, whole or not at all."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from capture.bag.writer import BagWriter
from capture.errors import CaptureError
from capture.importers.kitti import IMPORTER, import_kitti
from capture.recording import open_recording
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import load_info
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import Stream
from devices.errors import DeviceError
from devices.rig import rig_from_dict
from devices.samples import Image, Packet, Stamps, Sweep
from tests.capture.recordings import PERIOD_NS, START_NS, write_recording
from tests.capture.rigs import robot_rig
from tests.devices.test_kitti import a_drive


def test_a_recording_larger_than_the_memory_allowed_is_read_as_a_stream(tmp_path: Path) -> None:
    limit_bytes, size_bytes = 12 << 20, 120 << 20
    streams = [Stream("operator/marks", "mark.json"), Stream("camera/image", "jpeg")]
    rig = rig_from_dict({"name": "bench", "sensors": {"operator": {"driver": "marks", "port": 1}}})
    folder, info = begin_folder(Workspace(tmp_path), rig, streams)
    bag = BagWriter(folder / f"{folder.name}_0.mcap", streams)
    picture = bytes(200_000)
    for number in range(size_bytes // len(picture)):
        bag.add(1, number, Packet("camera/image", Stamps(10**18 + number * 10**6), picture), 0)
    summary, sha256 = bag.finish()
    close_folder(folder, info, {bag.path.name: summary}, {bag.path.name: sha256})
    assert bag.path.stat().st_size > 8 * limit_bytes
    recording = open_recording(folder)
    tracemalloc.start()
    try:
        count = sum(1 for _ in recording.packets())
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"\n{bag.path.stat().st_size / 1e6:.0f} MB read with at most {peak_bytes / 1e6:.1f} MB")  # noqa: T201
    assert count == size_bytes // len(picture)
    assert peak_bytes < limit_bytes
    assert hashlib.sha256(bag.path.read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "holds no recording.json; to see the recordings that there are, run: fieldrig list$"),
        ("{", "recording.json"),
        ('{"format": "other"}', "format"),
        ("\udcff", "recording.json"),
    ],
)
def test_a_folder_that_is_no_recording_is_refused_in_one_line(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "recording.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CaptureError, match=says) as error:
        open_recording(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_key_of_recording_json_is_refused(tmp_path: Path) -> None:
    folder, _ = begin_folder(Workspace(tmp_path), robot_rig(1, 2), [])
    text = (folder / "recording.json").read_text(encoding="utf-8")
    (folder / "recording.json").write_text(text.replace('"site"', '"sight"'), encoding="utf-8")
    with pytest.raises(CaptureError, match="sight"):
        load_info(folder)


def test_a_range_is_read_from_the_files_that_hold_it_alone(tmp_path: Path) -> None:
    """Shown by taking the others away: an export asks for each of a day's episodes in turn."""
    recording = open_recording(write_recording(Workspace(tmp_path), segments=5, packets=60))
    second_ns = 10**9
    start_ns, end_ns = START_NS + 13 * second_ns // 10, START_NS + 17 * second_ns // 10  # of the third file's 0.6 s
    for path in (*recording.files[:2], *recording.files[3:]):
        path.unlink()
    packets = recording.packets(start_ns=start_ns, end_ns=end_ns)
    assert [each.sequence for each in packets if each.packet.stream == "robot/state"] == list(range(130, 170))
    assert len(list(recording.samples(start_ns=start_ns, end_ns=end_ns))) == 80


def test_whether_a_stream_goes_on_is_asked_of_the_files_that_hold_it_alone(tmp_path: Path) -> None:
    """A stream that fell silent in the first of many files."""
    folder = write_recording(
        Workspace(tmp_path), segments=4, keep=lambda stream, sequence: stream == 1 or sequence < 50
    )
    recording = open_recording(folder)
    for path in recording.files[1:]:
        path.unlink()
    assert [each.sequence for each in recording.packets(["robot/state"], START_NS)] == list(range(50))


@pytest.mark.parametrize("border", [59, 60, 61])
def test_adjoining_ranges_hold_every_packet_once_across_the_borders_of_files(tmp_path: Path, border: int) -> None:
    recording = open_recording(write_recording(Workspace(tmp_path), segments=3, packets=60))
    for off_ns in (-1, 0, 1):
        border_ns = START_NS + border * PERIOD_NS + off_ns
        parts = [*recording.packets(end_ns=border_ns), *recording.packets(start_ns=border_ns)]
        assert parts == list(recording.packets())


def test_a_workspace_is_found_upwards_by_its_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert Workspace.at().root == inner
    (tmp_path / "fieldrig.toml").write_text("", encoding="utf-8")
    assert Workspace.at().root == tmp_path
    (tmp_path / "recordings" / "id").mkdir(parents=True)
    assert Workspace.at().recording(Path("id")) == tmp_path / "recordings" / "id"
    with pytest.raises(CaptureError, match=f"no recording other, neither as a folder nor by this ID in {tmp_path}"):
        Workspace.at().recording(Path("other"))
    assert Workspace.at(inner).root == inner


def test_a_kitti_drive_is_imported_byte_for_byte_on_a_clock_that_says_it_was_assigned(
    test_data: Path, tmp_path: Path
) -> None:
    drive = test_data / "kitti_drive"
    assert IMPORTER.recognises(drive)
    steps: list[tuple[int, int]] = []
    folder = import_kitti(
        drive,
        Workspace(tmp_path),
        lambda done, total, unit="messages": steps.append((done, total)) if unit == "messages" else None,
    )
    recording = open_recording(folder)
    assert recording.counts == {"camera_02/image": 24, "lidar/points": 24}
    assert steps[-1] == (48, 48)
    assert any("no timestamps: a clock of 10 Hz was assigned" in note for note in recording.info.notes)
    for stream, pattern in (("camera_02/image", "image_02/data/*.png"), ("lidar/points", "velodyne_points/data/*.bin")):
        packets = list(recording.packets([stream]))
        assert [each.packet.data for each in packets] == [path.read_bytes() for path in sorted(drive.glob(pattern))]
        assert {b.packet.stamps.host_ns - a.packet.stamps.host_ns for a, b in pairwise(packets)} == {100_000_000}
    kinds = [type(each.sample) for each in recording.samples(end_ns=recording.start_ns + 1)]
    assert sorted(kind.__name__ for kind in kinds) == [Image.__name__, Sweep.__name__]
    assert verify(folder).verdict == "good"
    with AnyReader([folder]) as reader:
        assert {c.topic: (c.msgtype, c.msgcount) for c in reader.connections if c.msgcount} == {
            "/camera_02/image": ("sensor_msgs/msg/CompressedImage", 24),
            "/lidar/points": ("sensor_msgs/msg/PointCloud2", 24),
        }
        connection = next(c for c in reader.connections if c.topic == "/lidar/points")
        cloud = reader.deserialize(next(reader.messages([connection]))[2], connection.msgtype)
    assert (
        cloud.width * cloud.point_step
        == len(cloud.data)
        == (drive / "velodyne_points/data/0000000000.bin").stat().st_size
    )


def test_what_is_no_drive_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such folder"):
        import_kitti(tmp_path / "nowhere", Workspace(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeviceError, match="is no KITTI drive"):
        import_kitti(tmp_path / "empty", Workspace(tmp_path))
    assert not (tmp_path / "recordings").exists()


def spoil_nothing(drive: Path) -> None:
    """A whole drive."""


@pytest.mark.parametrize(
    ("spoil", "verdict", "says"),
    [
        (spoil_nothing, "good", ()),
        (
            lambda drive: (drive / "image_02/data/0000000001.png").unlink(),
            "doubtful",
            ("camera_02/image: 1 frames are missing in the drive",),
        ),
        (
            lambda drive: (drive / "image_02/data/0000000001.png").write_text("no picture"),
            "doubtful",
            ("camera_02/image: 1 of 3 messages cannot be decoded: not a whole JPEG or PNG",),
        ),
        (
            lambda drive: (drive / "velodyne_points/data/0000000001.bin").write_bytes(bytes(27)),
            "doubtful",
            ("lidar/points: 1 of 3 messages cannot be decoded: not a whole number of points",),
        ),
        (
            lambda drive: cv2.imwrite(str(drive / "image_02/data/0000000001.png"), np.zeros((5, 6, 3), np.uint8)),
            "doubtful",
            ("camera_02/image: its pictures are of several sizes (6 x 4, 6 x 5); a calibration fits one",),
        ),
    ],
)
def test_what_is_wrong_with_a_drive_stands_in_the_verdict_of_its_recording(
    tmp_path: Path, spoil: Callable[[Path], object], verdict: str, says: tuple[str, ...]
) -> None:
    drive = a_drive(tmp_path / "drive")
    spoil(drive)
    folder = import_kitti(drive, Workspace(tmp_path))
    info = load_info(folder)
    assert (info.verdict, info.reasons) == (verdict, says)
    assert verify(folder).verdict == verdict


def test_an_import_that_the_disk_refuses_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BagWriter, "add", full)
    with pytest.raises(CaptureError, match=r"cannot import .*No space left on device; nothing of it was kept"):
        import_kitti(a_drive(tmp_path / "drive"), Workspace(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]
