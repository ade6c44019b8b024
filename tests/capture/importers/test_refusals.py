"""What is empty, cut, of another kind, or meets a full disk: refused in one line with nothing left, or whole with its doubts said."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2

from capture.bag.segments import Split
from capture.errors import CaptureError
from capture.importers import importer
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.errors import FieldrigError
from devices.rig import Rig
from tests.capture.importers.bags import START_NS, blob_bag, ros1_bag, ros2_bag
from tests.capture.importers.test_euroc import START_NS as EUROC_NS
from tests.capture.importers.test_euroc import a_folder
from tests.capture.importers.test_pcap import VELODYNE, a_rig, an_ouster, capture, turn
from tests.devices.builders import pcap
from tests.devices.test_kitti import a_drive

ROOT = Path(__file__).parents[3]
JPEG = cv2.imencode(".jpg", np.full((40, 60, 3), 90, dtype=np.uint8))[1].tobytes()


def refused(kind: str, path: Path, place: Path, rig: Rig | None = None) -> str:
    """What an import is refused with: one line, and nothing of it is left."""
    with pytest.raises(FieldrigError) as caught:
        importer(kind).import_into(path, Workspace(place), rig=rig)
    assert "\n" not in str(caught.value)
    assert not place.exists() or list(place.iterdir()) == []
    return str(caught.value)


def imported(kind: str, path: Path, place: Path, rig: Rig | None = None) -> Recording:
    recording = open_recording(importer(kind).import_into(path, Workspace(place), rig=rig))
    assert verify(recording.folder).damage == []
    return recording


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


# EuRoC


@pytest.mark.parametrize(
    "content", [b"", b"#timestamp [ns],filename\r\n", b"\n\n", b"not a line,of numbers\n", bytes(range(256)) * 20, JPEG]
)
def test_a_euroc_folder_whose_data_says_nothing_is_refused(content: bytes, tmp_path: Path, place: Path) -> None:
    for sensor in ("cam0", "imu0"):
        folder = tmp_path / sensor / "mav0" / sensor
        folder.mkdir(parents=True)
        (folder / "data.csv").write_bytes(content)
        assert "holds no message" in refused("euroc", tmp_path / sensor, place)


def test_a_euroc_folder_of_which_nothing_can_be_decoded_is_refused(tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "odd" / "mav0" / "imu0"
    folder.mkdir(parents=True)
    (folder / "data.csv").write_text("".join(f"{EUROC_NS + number},hello\n" for number in range(5)))
    said = refused("euroc", tmp_path / "odd", place)
    assert "5 of 5 messages cannot be decoded: no line of an IMU's six values" in said


def test_a_euroc_sensor_without_lines_or_with_more_pictures_than_lines_is_doubted(tmp_path: Path, place: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    (folder / "mav0/imu0/data.csv").write_text("#timestamp [ns],w_x,w_y,w_z,a_x,a_y,a_z\n")
    shutil.copy(folder / f"mav0/cam0/data/{EUROC_NS}.png", folder / "mav0/cam0/data/17.png")
    recording = imported("euroc", folder, place)
    assert recording.info.verdict == "doubtful"
    assert set(recording.info.reasons) == {
        "imu0/imu: data.csv holds no line",
        "cam0/image: 1 pictures that no line of data.csv names were left out",
    }


# KITTI


def test_a_kitti_drive_that_is_empty_is_refused(tmp_path: Path, place: Path) -> None:
    (tmp_path / "drive/image_02/data").mkdir(parents=True)
    assert "no files named by their number, like 0000000000.png, in" in refused("kitti", tmp_path / "drive", place)


def test_a_kitti_drive_of_other_bytes_is_refused(tmp_path: Path, place: Path) -> None:
    drive = a_drive(tmp_path / "drive")
    for file in drive.glob("*/data/*"):
        file.write_bytes(b"no such thing")
    assert "3 of 3 messages cannot be decoded" in refused("kitti", drive, place)


def test_a_kitti_drive_whose_stamps_are_missing_or_cut_is_refused(tmp_path: Path, place: Path) -> None:
    drive = a_drive(tmp_path / "drive", timestamps=True)
    stamps = drive / "image_02/timestamps.txt"
    whole = stamps.read_bytes()
    stamps.write_bytes(whole[:40])
    assert "no time for each of 3 files" in refused("kitti", drive, place)
    stamps.unlink()
    assert "image_02 has none" in refused("kitti", drive, place)


def test_a_kitti_drive_whose_sensors_have_unequal_counts_is_doubted(tmp_path: Path, place: Path) -> None:
    """Also where the last ones are missing, and where only the stamps tell that there were more."""
    drive = a_drive(tmp_path / "drive")
    (drive / "velodyne_points/data/0000000002.bin").unlink()
    assert imported("kitti", drive, place).info.reasons == ("lidar/points: 1 frames are missing in the drive",)
    recording = imported("kitti", a_drive(tmp_path / "stamped", timestamps=True), place)
    assert recording.info.reasons == (
        "camera_02/image: 7 frames are missing in the drive",
        "lidar/points: 7 frames are missing in the drive",
    )
    assert {each.before_read for each in recording.info.losses.values()} == {7}


# packet captures


def test_a_capture_of_other_things_is_refused(tmp_path: Path, place: Path) -> None:
    rig = a_rig(lidar=an_ouster(tmp_path))
    for name, content in (("jpeg", JPEG), ("empty", b""), ("cut", b"\xd4\xc3\xb2\xa1\2\0")):
        (tmp_path / f"{name}.pcap").write_bytes(content)
        assert name in refused("pcap", tmp_path / f"{name}.pcap", place, rig)
    assert "holds nothing for the sensors" in refused("pcap", pcap(tmp_path / "none.pcap", []), place, rig)
    noise = capture(tmp_path / "noise.pcap", [(7502, bytes([number]) * 700) for number in range(20)])
    assert "20 of 20 messages cannot be decoded" in refused("pcap", noise, place, rig)
    other = capture(tmp_path / "other.pcap", [(2368, data) for data in turn()])
    assert "cannot be decoded" in refused("pcap", other, place, a_rig(lidar=VELODYNE))
    assert "is a folder" in refused("pcap", tmp_path, place, rig)


# bags


def empty_ros1(path: Path) -> Path:
    with Writer1(path):
        pass
    return path


def empty_ros2(path: Path, plugin: StoragePlugin) -> Path:
    with Writer2(path, version=9, storage_plugin=plugin):
        pass
    return path


def an_mcap(path: Path, fill: Callable[[Any], None] = lambda _: None, **options: Any) -> Path:
    with path.open("wb") as file:
        writer = McapWriter(file, **({"compression": CompressionType.NONE} | options))
        writer.start(profile="ros2", library="peer")
        fill(writer)
        writer.finish()
    return path


def without_messages(writer: Any) -> None:
    writer.register_channel("/a", "cdr", writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n"))


def test_a_bag_without_messages_is_refused(tmp_path: Path, place: Path) -> None:
    for kind, bag in (
        ("ros1", empty_ros1(tmp_path / "empty.bag")),
        ("ros2", empty_ros2(tmp_path / "sqlite", StoragePlugin.SQLITE3)),
        ("ros2", empty_ros2(tmp_path / "mcap", StoragePlugin.MCAP)),
        ("ros2", an_mcap(tmp_path / "nothing.mcap")),
        ("ros2", an_mcap(tmp_path / "channel.mcap", without_messages)),
    ):
        assert f"{bag} holds no message" in refused(kind, bag, place)


def only_json(writer: Any) -> None:
    channel = writer.register_channel("/b", "json", writer.register_schema("State", "jsonschema", b"{}"))
    writer.add_message(channel, START_NS, b"{}", START_NS)


def test_a_bag_of_other_messages_only_is_refused_with_their_names(tmp_path: Path, place: Path) -> None:
    said = refused("ros2", an_mcap(tmp_path / "json.mcap", only_json), place)
    assert "/b (json, State): 1 messages are no ROS 2 messages" in said


@pytest.mark.parametrize("name", ["picture.mcap", "picture.db3", "picture.bag", "picture.mp4"])
def test_a_picture_under_a_logs_name_is_refused(name: str, tmp_path: Path, place: Path) -> None:
    kind = {".bag": "ros1", ".mp4": "gopro"}.get(Path(name).suffix, "ros2")
    for content in (JPEG, b""):
        (tmp_path / name).write_bytes(content)
        assert name in refused(kind, tmp_path / name, place)


def test_a_compression_that_nobody_knows_is_named(tmp_path: Path, place: Path) -> None:
    sqlite = ros2_bag(tmp_path / "sqlite", StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    (sqlite / "metadata.yaml").write_text((sqlite / "metadata.yaml").read_text().replace("zstd", "snappy"))
    assert "snappy" in refused("ros2", sqlite, place)
    mcap = an_mcap(tmp_path / "a.mcap", without_schema_text, compression=CompressionType.LZ4, enable_crcs=False)
    mcap.write_bytes(mcap.read_bytes().replace(b"\3\0\0\0lz4", b"\3\0\0\0xyz"))
    assert "xyz" in refused("ros2", mcap, place)
    ros1 = ros1_bag(tmp_path / "drive.bag", "bz2")
    ros1.write_bytes(ros1.read_bytes().replace(b"compression=bz2", b"compression=xyz"))
    assert "xyz" in refused("ros1", ros1, place)


def test_a_ros1_bag_without_its_index_is_refused_with_what_mends_it(tmp_path: Path, place: Path) -> None:
    """As `rosbag record` leaves it when it is killed: index_pos is 0, and nothing stands behind the chunks."""
    bag = ros1_bag(tmp_path / "drive.bag", None)
    whole = bytearray(bag.read_bytes())
    at = whole.index(b"index_pos=") + len(b"index_pos=")
    index = int.from_bytes(whole[at : at + 8], "little")
    whole[at : at + 8] = bytes(8)
    bag.write_bytes(whole[:index])
    assert "`rosbag reindex` may mend it" in refused("ros1", bag, place)


def split_in_two(bag: Path, plugin: str) -> Path:
    """The second file holds the messages again, an hour later; metadata.yaml names both."""
    (first,) = bag.glob(f"*.{plugin}")
    second = bag / f"bag_1.{plugin}"
    shutil.copy(first, second)
    with sqlite3.connect(second) as database:
        database.execute("UPDATE messages SET timestamp = timestamp + 3600000000000")
    database.close()
    yaml = (bag / "metadata.yaml").read_text().replace("message_count: 50\n", "message_count: 100\n")
    (bag / "metadata.yaml").write_text(re.sub(rf"( *- ){first.name}\n", rf"\1{first.name}\n\1{second.name}\n", yaml))
    return bag


@pytest.mark.parametrize("with_metadata", [True, False])
def test_a_bag_of_several_sqlite_files_comes_in_whole(with_metadata: bool, tmp_path: Path, place: Path) -> None:
    bag = split_in_two(ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3), "db3")
    (bag / "README.txt").write_text("the gate sticks")
    if not with_metadata:
        (bag / "metadata.yaml").unlink()
    recording = imported("ros2", bag, place)
    assert (sum(recording.counts.values()), recording.info.verdict) == (100, "good"), recording.info.reasons
    assert (recording.folder / "original/README.txt").read_text() == "the gate sticks"
    assert recording.end_ns - recording.start_ns > 3600 * 10**9


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_compressed_files_that_a_killed_recorder_left_without_metadata_come_in(
    plugin: StoragePlugin, tmp_path: Path, place: Path
) -> None:
    bag = ros2_bag(tmp_path / "bag", plugin, CompressionMode.FILE)
    (bag / "metadata.yaml").unlink()
    (file,) = bag.iterdir()
    for path in (bag, file):
        recording = imported("ros2", path, place)
        assert (sum(recording.counts.values()), recording.info.verdict) == (50, "good")
    file.write_bytes(file.read_bytes()[:-100])
    assert file.stem.partition(".")[0] in refused("ros2", bag, tmp_path / "other")


@pytest.mark.parametrize("name", ["a#1", "50%20", "what?"])
def test_a_name_by_which_sqlite_would_open_another_file_is_refused(name: str, tmp_path: Path, place: Path) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    (tmp_path / name).mkdir()
    for path in (bag, file):
        odd = tmp_path / name / path.name
        shutil.copytree(path, odd) if path.is_dir() else shutil.copy(path, odd)
        assert "rename it" in refused("ros2", odd, place)


def test_what_metadata_states_and_the_files_lack_is_said(tmp_path: Path, place: Path) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM messages WHERE id > 40")
    database.close()
    recording = imported("ros2", bag, place)
    assert recording.info.reasons == ("metadata.yaml states 50 messages, the bag's files hold 40",)


def test_messages_that_a_killed_recorder_left_in_sqlites_journal_are_not_passed_over(
    tmp_path: Path, place: Path
) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA journal_mode=WAL")
    kept_open = sqlite3.connect(file)
    kept_open.execute("UPDATE messages SET timestamp = timestamp + 1")
    kept_open.commit()
    killed = shutil.copytree(bag, tmp_path / "killed")
    kept_open.close()
    (killed / "metadata.yaml").unlink()
    for path in (killed, killed / file.name):
        assert "PRAGMA wal_checkpoint" in refused("ros2", path, place)
    database = sqlite3.connect(killed / file.name)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    recording = imported("ros2", killed, place)
    assert (sum(recording.counts.values()), recording.start_ns) == (50, START_NS + 1)


def test_a_file_that_the_bags_metadata_does_not_name_is_left_out_and_said_to_be(tmp_path: Path, place: Path) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    shutil.copy(file, bag / "other_7.db3")
    recording = imported("ros2", bag, place)
    assert sum(recording.counts.values()) == 50
    assert recording.info.reasons == ("1 files of bag were left out, since nothing here reads them",)
    assert "left out: other_7.db3" in recording.info.notes


def without_schema_text(writer: Any) -> None:
    channel = writer.register_channel("/secret", "cdr", writer.register_schema("lab_msgs/msg/Secret", "", b""))
    for number in range(3):
        writer.add_message(channel, START_NS + number, bytes([0, 1, 0, 0, number]), START_NS)


def test_a_topic_whose_schema_has_no_text_keeps_its_bytes(tmp_path: Path, place: Path) -> None:
    recording = imported("ros2", an_mcap(tmp_path / "secret.mcap", without_schema_text), place)
    assert [each.packet.data for each in recording.packets()] == [bytes([0, 1, 0, 0, number]) for number in range(3)]
    assert any("/secret (lab_msgs/msg/Secret)" in note for note in recording.info.notes)


# GoPro


def test_a_gopro_file_whose_end_is_cut_is_refused_wherever_it_is_cut(
    test_data: Path, tmp_path: Path, place: Path
) -> None:
    """Also where its index stands in front, so that what is left can be read, and between two pictures."""
    path, plain = tmp_path / "GX010001.MP4", test_data / "gopro_imu_gnss" / "max-heromode.mp4"
    with (
        av.open(str(plain)) as real,
        av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as made,
    ):
        tracks = {}
        for track in real.streams:
            if track.type == "video" or "GoPro MET" in track.metadata["handler_name"]:
                tracks[track.index] = made.add_stream_from_template(track)
                tracks[track.index].metadata["handler_name"] = track.metadata["handler_name"]
        for packet in real.demux([real.streams[index] for index in tracks]):
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                made.mux(packet)
    assert all(reason.startswith("UTC by") for reason in imported("gopro", path, place).info.reasons)
    whole = path.read_bytes()
    with av.open(str(path)) as made:
        ends = sorted(packet.pos + packet.size for packet in made.demux() if packet.size)
    for size in (len(whole) * 2 // 3, ends[len(ends) // 2], ends[-2], len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "copy it from the camera again" in refused("gopro", path, tmp_path / f"cut{size}")


# the workspace's disk, and the import's own end


def test_a_disk_that_fills_on_the_way_is_left_as_it_was(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    bag, disk = blob_bag(tmp_path / "long.mcap", 40), small_disk(24)
    assert "free some space there, or give another --workspace" in refused("ros2", bag, disk)
    ros1 = ros1_bag(tmp_path / "drive.bag", None)
    with ros1.open("ab") as file:
        file.write(bytes(30 << 20))  # a bag may end with anything; it is kept whole
    assert "No space left on device" in refused("ros1", ros1, disk)
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    assert imported("ros2", bag, disk).counts == {"blob": 200}


KILLED = """
import sys
from pathlib import Path
from capture.importers import importer
from capture.workspace import Workspace
importer("ros2").import_into(Path(sys.argv[1]), Workspace(Path(sys.argv[2])), lambda done, *_: print(done, flush=True))
"""


def test_an_import_that_is_killed_leaves_no_recording_and_can_be_run_again(tmp_path: Path, place: Path) -> None:
    bag = blob_bag(tmp_path / "long.mcap", 80)
    process = subprocess.Popen([sys.executable, "-c", KILLED, bag, place], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (place / "recordings").exists()
    assert imported("ros2", bag, place).counts == {"blob": 400}
    assert [path.name for path in place.iterdir()] == ["recordings"]


def test_an_import_that_is_under_way_is_not_swept_away_by_another_and_a_dead_one_is_whatever_its_name(
    tmp_path: Path, place: Path
) -> None:
    bag, other = blob_bag(tmp_path / "long.mcap", 80), blob_bag(tmp_path / "short.mcap", 1)
    left = place / ".importing" / str(os.getppid())
    left.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", KILLED, bag, place], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    assert not left.exists()
    assert imported("ros2", other, place).counts == {"blob": 5}
    process.send_signal(signal.SIGCONT)
    process.communicate()
    assert process.returncode == 0
    assert sorted(sum(open_recording(each).counts.values()) for each in (place / "recordings").iterdir()) == [5, 400]
    assert [path.name for path in place.iterdir()] == ["recordings"]


def test_a_workspace_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match=r"cannot import \S+short.mcap into \S+/file/recordings: .*Not a directory"):
        importer("ros2").import_into(blob_bag(tmp_path / "short.mcap", 1), Workspace(tmp_path / "file"))


def test_a_long_import_is_split_into_files_like_a_recording(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.importers.import_session._SPLIT", Split(bytes_max=3_000_000))
    bag = blob_bag(tmp_path / "long.mcap", 10)
    recording = imported("ros2", bag, place)
    assert len(recording.files) == len(recording.info.segments) == 3
    assert max(file.stat().st_size for file in recording.files) < 4_500_000
    with bag.open("rb") as file:
        theirs = [(message.log_time, message.data) for _, _, message in make_reader(file).iter_messages()]
    assert [(each.packet.stamps.host_ns, each.packet.data) for each in recording.packets()] == theirs
    assert [each.sequence for each in recording.packets()] == list(range(50))
    assert verify(recording.folder).verdict == "good"
    assert recording.end_ns > recording.start_ns == START_NS


def test_a_split_import_that_the_disk_refuses_leaves_nothing(
    tmp_path: Path, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.importers.import_session._SPLIT", Split(bytes_max=3_000_000))
    assert "No space left on device" in refused("ros2", blob_bag(tmp_path / "long.mcap", 40), small_disk(24))


def test_no_importer_raises_anything_else(tmp_path: Path, place: Path) -> None:
    assert issubclass(CaptureError, FieldrigError)
    (tmp_path / "empty").mkdir()
    for kind in ("euroc", "gopro", "kitti", "ros1", "ros2"):
        assert "empty" in refused(kind, tmp_path / "empty", place)
