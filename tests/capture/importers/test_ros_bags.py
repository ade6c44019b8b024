"""ROS bags in, a recording out: what the bag's own reader reads of either is the same."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores

from capture.errors import CaptureError
from capture.importers.ros1 import IMPORTER as ROS1
from capture.importers.ros2 import IMPORTER as ROS2
from capture.importers.ros_topics import RosTopic, streams_of
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.ros.schema import RosSchema
from devices.samples import Depth, FixQuality, GnssFix, Image, ImuSample, NamedVector, Sweep
from tests.capture.importers.bags import START_NS, STEP_NS, blob_bag, mcap_bag, ros1_bag, ros2_bag, typestore

TOPICS = 10
BAGS: dict[str, Callable[[Path], Path]] = {
    "sqlite": lambda path: ros2_bag(path / "bag", StoragePlugin.SQLITE3),
    "sqlite-file-zstd": lambda path: ros2_bag(path / "bag", StoragePlugin.SQLITE3, CompressionMode.FILE),
    "sqlite-message-zstd": lambda path: ros2_bag(path / "bag", StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "mcap": lambda path: ros2_bag(path / "bag", StoragePlugin.MCAP),
    "mcap-chunks-zstd": lambda path: ros2_bag(path / "bag", StoragePlugin.MCAP, CompressionMode.STORAGE),
    "mcap-file-zstd": lambda path: ros2_bag(path / "bag", StoragePlugin.MCAP, CompressionMode.FILE),
    "mcap-message-zstd": lambda path: ros2_bag(path / "bag", StoragePlugin.MCAP, CompressionMode.MESSAGE),
    "mcap-package-none": lambda path: mcap_bag(path / "drive.mcap", CompressionType.NONE),
    "mcap-package-lz4": lambda path: mcap_bag(path / "drive.mcap", CompressionType.LZ4),
    "mcap-package-zstd": lambda path: mcap_bag(path / "drive.mcap", CompressionType.ZSTD),
}


def imported(importer: Any, bag: Path, place: Path) -> Recording:
    return open_recording(importer.import_into(bag, Workspace(place)))


def read_by_rosbags(path: Path) -> list[tuple[str, str, int, bytes]]:
    with Reader2(path) as reader:
        return [(each.topic, each.msgtype, t_ns, bytes(data)) for each, t_ns, data in reader.messages()]


@pytest.mark.parametrize("kind", BAGS)
def test_a_ros2_bag_comes_out_with_the_same_bytes_and_stamps(kind: str, tmp_path: Path) -> None:
    bag = BAGS[kind](tmp_path)
    assert ROS2.recognises(bag)
    recording = imported(ROS2, bag, tmp_path)
    original = read_by_rosbags(bag)
    assert len(original) == 5 * TOPICS
    assert read_by_rosbags(recording.folder) == original
    assert [(f"/{each.packet.stream}", each.packet.stamps.host_ns, each.packet.data) for each in recording.packets()] == [
        (topic, t_ns, data) for topic, _, t_ns, data in original
    ]  # fmt: skip
    with AnyReader([recording.folder]) as reader:  # compares each type's hash with its definition
        assert {each.topic for each in reader.connections} == {topic for topic, *_ in original} | {
            "/fieldrig/health",
            "/fieldrig/clock",
        }
    checked = verify(recording.folder)
    assert (checked.verdict, checked.damage, checked.doubts) == ("good", [], [])


def test_log_and_publish_time_schema_and_qos_of_an_mcap_file_are_kept(tmp_path: Path) -> None:
    bag = mcap_bag(tmp_path / "drive.mcap", CompressionType.ZSTD)
    recording = imported(ROS2, bag, tmp_path)

    def told(path: Path) -> list[tuple[Any, ...]]:
        with path.open("rb") as file:
            return [
                (
                    channel.topic, message.log_time, message.publish_time, message.data,
                    schema.name, schema.encoding, schema.data, channel.metadata["offered_qos_profiles"],
                )
                for schema, channel, message in make_reader(file).iter_messages()
            ]  # fmt: skip

    (file,) = recording.files
    assert told(file) == told(bag)
    assert recording.folder.joinpath("original/attachments/drive.mcap/0_calibration.yaml").read_bytes() == b"fx: 500\n"
    assert '"sky": "clear"' in recording.folder.joinpath("original/drive.mcap.metadata.json").read_text()
    with Reader2(recording.folder) as reader:
        (profile,) = next(each.ext.offered_qos_profiles for each in reader.connections if each.topic == "/chatter")
    assert profile.durability.name == "TRANSIENT_LOCAL"


def test_the_source_files_are_named_with_their_hashes(tmp_path: Path) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    recording = imported(ROS2, bag, tmp_path)
    lines = dict(line.split("  ")[::-1] for line in recording.folder.joinpath("origin.sha256").read_text().splitlines())
    assert lines == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in bag.iterdir()}
    assert recording.folder.joinpath("original/metadata.yaml").read_bytes() == (bag / "metadata.yaml").read_bytes()


def test_a_folder_of_mcap_files_without_metadata_is_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    for number in (10, 2):
        mcap_bag(tmp_path / f"bag/drive_{number}.mcap", CompressionType.LZ4, rounds=1 if number == 2 else 2)
    recording = imported(ROS2, tmp_path / "bag", tmp_path)
    assert sum(recording.counts.values()) == 3 * TOPICS
    assert "origin.sha256" in [file.name for file in recording.folder.iterdir()]


@pytest.mark.parametrize("compression", [None, "bz2", "lz4"])
def test_a_ros1_bag_comes_out_equal_but_for_the_headers_sequence_number(
    compression: str | None, tmp_path: Path
) -> None:
    bag = ros1_bag(tmp_path / "drive.bag", compression)
    recording = imported(ROS1, bag, tmp_path)
    theirs, ours = typestore(Stores.ROS1_NOETIC), typestore()
    with Reader1(bag) as reader:
        original = [
            (each.topic, each.msgtype, t_ns, without_seq(theirs.deserialize_ros1(data, each.msgtype)))
            for each, t_ns, data in reader.messages()
        ]
    found = [
        (topic, kind, t_ns, without_seq(ours.deserialize_cdr(data, kind)))
        for topic, kind, t_ns, data in read_by_rosbags(recording.folder)
    ]
    assert len(found) == 5 * TOPICS
    assert found == original
    kept = recording.folder / "original" / "drive.bag"
    assert kept.read_bytes() == bag.read_bytes()
    assert (
        f"{hashlib.sha256(bag.read_bytes()).hexdigest()}  original/drive.bag\n"
        in recording.folder.joinpath("SHA256SUMS").read_text()
    )
    with AnyReader([recording.folder]) as opened:
        latched = next(each for each in opened.connections if each.topic == "/chatter")
    assert latched.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
    assert verify(recording.folder).verdict == "good"


def without_seq(message: Any) -> Any:
    """A message as nested lists, by its fields' names."""
    if isinstance(message, np.ndarray):
        return message.tolist()
    if isinstance(message, list):
        return [without_seq(each) for each in message]
    if not hasattr(message, "__msgtype__"):
        return message
    names = (name for name in message.__dataclass_fields__ if name not in ("seq", "__msgtype__"))
    return [(name, without_seq(getattr(message, name))) for name in names]


def test_what_fieldrig_understands_of_a_bag_decodes_to_samples(tmp_path: Path) -> None:
    recording = imported(ROS2, BAGS["mcap"](tmp_path), tmp_path)
    samples = {each.span.stream: each.sample for each in recording.samples(end_ns=START_NS + TOPICS * STEP_NS)}
    t_ns = START_NS - 5_000_000
    raw = samples["camera/front/image_raw"]
    assert isinstance(raw, Image)
    assert (raw.sensor, raw.t_ns) == ("camera_front", t_ns)
    np.testing.assert_array_equal(raw.pixels, np.arange(72, dtype=np.uint8).reshape(4, 6, 3)[..., ::-1])
    jpeg = samples["camera/front/image_raw/compressed"]
    assert isinstance(jpeg, Image)
    assert (jpeg.pixels.shape, jpeg.t_ns) == ((8, 12, 3), t_ns)
    sweep = samples["velodyne_points"]
    assert isinstance(sweep, Sweep)
    assert sweep.t_ns == pytest.approx(t_ns - 50_000_000, abs=2)  # the driver's times are float32
    assert sweep.offset_ns.tolist() == pytest.approx([0, 25_000_000, 50_000_000], abs=2)
    assert sweep.ring is not None
    assert sweep.ring.tolist() == [15, 7, 0]
    assert sweep.intensity.tolist() == [10, 20, 30]
    imu = samples["imu/data"]
    assert isinstance(imu, ImuSample)
    assert (imu.angular_rate.tolist(), imu.acceleration.tolist()) == ([0.1, 0.2, 0.3], [0.0, 0.5, 9.81])
    fix = samples["gnss/fix"]
    assert isinstance(fix, GnssFix)
    assert (fix.latitude_deg, fix.longitude_deg, fix.altitude_m, fix.quality) == (
        47.285233, 8.565265, 499.6, FixQuality.DIFFERENTIAL,
    )  # fmt: skip
    assert fix.sigma_m is not None
    np.testing.assert_allclose(fix.sigma_m, [0.2, 0.3, 0.5])
    odometry = samples["odom"]
    assert isinstance(odometry, NamedVector)
    assert dict(zip(odometry.names, odometry.values, strict=True)) == {
        "pose.x_m": 1, "pose.y_m": 2, "pose.z_m": 3, "pose.qw": 0.8, "pose.qx": 0, "pose.qy": 0, "pose.qz": 0.6,
        "twist.x_m_s": 0.5, "twist.y_m_s": 0, "twist.z_m_s": 0, "twist.roll_rad_s": 0, "twist.pitch_rad_s": 0, "twist.yaw_rad_s": 0.25,
    }  # fmt: skip
    joints = samples["arm/joint_states"]
    assert isinstance(joints, NamedVector)
    assert dict(zip(joints.names, joints.values, strict=True)) == {
        "hip.position": 0.5, "knee.position": -1.25, "hip.effort": 3, "knee.effort": 4,
    }  # fmt: skip
    depth = samples["camera/depth/image_raw"]
    assert isinstance(depth, Depth)
    assert (depth.units.shape, depth.metres().max()) == ((4, 6), pytest.approx(1.5))
    assert samples.keys() == recording.streams.keys() - {"arm/grasp", "chatter"}
    (undecoded,) = [note for note in recording.info.notes if "nothing here decodes them" in note]
    assert "/arm/grasp (lab_msgs/msg/Grasp)" in undecoded
    assert "/chatter (std_msgs/msg/String)" in undecoded


def test_topics_of_one_namespace_are_one_sensor_unless_it_has_several_of_a_kind(tmp_path: Path) -> None:
    recording = imported(ROS2, BAGS["mcap"](tmp_path), tmp_path)
    sensors = {name: stream.sensor for name, stream in recording.streams.items()}
    assert sensors == {
        "camera/front/image_raw": "camera_front", "camera/front/image_raw/compressed": "camera_front",
        "camera/depth/image_raw": "camera_depth", "velodyne_points": "velodyne_points", "imu/data": "imu",
        "gnss/fix": "gnss", "odom": "odom", "arm/joint_states": "arm", "arm/grasp": "arm", "chatter": "chatter",
    }  # fmt: skip
    assert recording.rig.sensors.keys() == set(sensors.values())
    image = "sensor_msgs/msg/Image"
    found = streams_of(
        [RosTopic(name, image, RosSchema()) for name in ("/stereo/left", "/stereo/right", "/stereo/left/compressed")]
    )
    assert [each.sensor for each in found] == ["stereo_left", "stereo_right", "stereo_left"]


def test_odd_topics_keep_their_messages_and_what_changed_of_their_names_is_said(tmp_path: Path) -> None:
    """A name without its slash, one name for two types, a definition in IDL."""
    path = tmp_path / "odd.mcap"
    idl = "module lab_msgs { module msg { struct Level { float litres; }; }; };"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="ros2", library="peer")
        text = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
        number = writer.register_schema("std_msgs/msg/Int8", "ros2msg", b"int8 data\n")
        level = writer.register_schema("lab_msgs/msg/Level", "ros2idl", idl.encode())
        for name, schema, data in (
            ("tf", text, b"\0\1\0\0\2\0\0\0a\0"), ("/both", text, b"\0\1\0\0\2\0\0\0b\0"),
            ("/both", number, b"\0\1\0\0\7"), ("/~level", level, b"\0\1\0\0\0\0\x80?"),
        ):  # fmt: skip
            writer.add_message(writer.register_channel(name, "cdr", schema), START_NS, data, START_NS)
        writer.finish()
    recording = imported(ROS2, path, tmp_path)
    assert recording.counts == {"tf": 1, "both": 1, "both/std_msgs_msg_String": 1, "~level": 1}
    assert "topic 'tf' of std_msgs/msg/String is /tf here" in recording.info.notes
    assert "topic '/both' of std_msgs/msg/String is /both/std_msgs_msg_String here" in recording.info.notes
    with recording.files[0].open("rb") as file:
        schemas = {schema.name: (schema.encoding, schema.data) for schema, _, _ in make_reader(file).iter_messages()}
    assert schemas["lab_msgs/msg/Level"] == ("ros2idl", idl.encode())
    with AnyReader([recording.folder]) as reader:
        levels = [each for each in reader.connections if each.topic == "/~level"]
        ((connection, _, data),) = reader.messages(levels)
        assert reader.deserialize(data, connection.msgtype).litres == 1.0


def test_a_real_bag_of_ouster_packets_decodes_to_a_sweep_on_a_clock_that_is_known(
    test_data: Path, tmp_path: Path
) -> None:
    recording = imported(ROS1, test_data / "ouster_pcap" / "512x10_raw.bag", tmp_path)
    assert recording.counts == {"os_node0/imu_packets": 10, "os_node0/lidar_packets": 32, "os_node0/metadata": 1}
    samples = [each.sample for each in recording.samples()]
    (sweep,) = [each for each in samples if isinstance(each, Sweep)]
    assert len(sweep) > 20_000
    assert sum(isinstance(each, ImuSample) for each in samples) == 10
    fit = recording.clocks["os_node0/lidar_packets"][-1]
    newest_ns = fit.host_from_device(sweep.t_ns + int(sweep.offset_ns.max()))
    assert abs(newest_ns - recording.end_ns) < 20_000_000
    assert verify(recording.folder).verdict == "good"


@pytest.mark.parametrize("kind", ["sqlite", "mcap", "sqlite-file-zstd", "mcap-package-lz4", "ros1"])
def test_a_damaged_bag_is_one_line_or_whole_messages_but_never_half_a_recording(kind: str, tmp_path: Path) -> None:
    bag = ros1_bag(tmp_path / "drive.bag", "lz4") if kind == "ros1" else BAGS[kind](tmp_path)
    importer = ROS1 if kind == "ros1" else ROS2
    file = bag if bag.is_file() else max(bag.iterdir(), key=lambda each: each.stat().st_size)
    whole, rng = file.read_bytes(), np.random.default_rng(7)
    refused, made_whole = 0, 0
    for number in range(16):
        broken = bytearray(whole)
        if number % 2:
            del broken[int(rng.integers(len(whole))) :]
        else:
            at = int(rng.integers(len(whole)))
            broken[at : at + 8] = rng.bytes(8)
        file.write_bytes(broken)
        place = tmp_path / f"workspace{number}"
        try:
            made = importer.import_into(bag, Workspace(place))
        except CaptureError as error:
            refused += "\n" not in str(error)
            assert not place.exists() or not any(place.rglob("*.mcap"))
        else:
            made_whole += verify(made).damage == []
    assert refused >= 5
    assert refused + made_whole == 16


def test_an_import_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3, rounds=20)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ROS2.import_into(bag, Workspace(tmp_path / "workspace"), interrupt)
    assert list((tmp_path / "workspace").iterdir()) == []


def test_what_a_killed_import_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "workspace" / ".importing" / "999999999" / "recordings"
    left.mkdir(parents=True)
    imported(ROS2, ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3), tmp_path / "workspace")
    assert not left.exists()
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["recordings"]


def test_what_is_no_bag_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mcap").write_text("no bag")
    for importer, path in ((ROS2, tmp_path / "nowhere"), (ROS2, tmp_path / "empty"), (ROS2, tmp_path / "text.mcap")):
        with pytest.raises(CaptureError, match=path.name):
            importer.import_into(path, Workspace(tmp_path))
    (tmp_path / "cut.bag").write_bytes(ros1_bag(tmp_path / "whole.bag", None).read_bytes()[:-200])
    with pytest.raises(CaptureError, match=r"cannot read the bag \S+cut\.bag: .*; `rosbag reindex` may mend it"):
        ROS1.import_into(tmp_path / "cut.bag", Workspace(tmp_path))
    with pytest.raises(CaptureError, match="nowhere"):
        ROS1.import_into(tmp_path / "nowhere.bag", Workspace(tmp_path))
    recording = imported(ROS2, BAGS["mcap"](tmp_path), tmp_path)
    with pytest.raises(CaptureError, match="is a recording of fieldrig already"):
        ROS2.import_into(recording.folder, Workspace(tmp_path))


def test_messages_that_are_not_ros2_are_counted_and_the_rest_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "mixed.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="", library="peer")
        text = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
        plain = writer.register_schema("State", "jsonschema", b"{}")
        for channel in (writer.register_channel("/a", "cdr", text), writer.register_channel("/b", "json", plain)):
            for number in range(3):
                writer.add_message(channel, number, b"\0\1\0\0\2\0\0\0a\0", number)
        writer.finish()
    recording = imported(ROS2, path, tmp_path)
    assert recording.counts == {"a": 3}
    assert recording.info.verdict == "doubtful"
    assert "/b (json, State): 3 messages are no ROS 2 messages and were left out" in recording.info.reasons


def test_messages_that_a_bag_states_and_that_cannot_be_found_make_it_doubtful(tmp_path: Path) -> None:
    """rosbags, and ROS 2 when it writes fast, give a chunk no CRC: what is no message any more in it is passed over."""
    bag = ros2_bag(tmp_path / "bag", StoragePlugin.MCAP, rounds=10)
    (file,) = bag.glob("*.mcap")
    content = bytearray(file.read_bytes())
    text = "Grüße".encode()
    said = 0
    for _ in range(3):
        said = content.index(text + b"\0", said + 1)
        head = (
            1 + 8 + 2 + 4 + 8 + 8
        )  # opcode, length, channel, sequence, log time, publish time; then CDR's head and the length
        content[said - 8 - head] = 0x85
    file.write_bytes(content)
    recording = imported(ROS2, bag, tmp_path)
    assert recording.counts["chatter"] == 7
    assert f"/chatter: {file.name} states 10 messages, 7 could be read" in recording.info.reasons
    assert recording.info.verdict == "doubtful"


def test_messages_of_a_topic_that_a_bag_does_not_name_make_it_doubtful(tmp_path: Path) -> None:
    import sqlite3

    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET topic_id = 99 WHERE id IN (3, 7)")
    database.close()
    recording = imported(ROS2, file, tmp_path)
    assert sum(recording.counts.values()) == 5 * TOPICS - 2
    assert f"{file.name} states {5 * TOPICS} messages in all, {5 * TOPICS - 2} could be read" in recording.info.reasons
    assert recording.info.verdict == "doubtful"


def test_a_ros1_bag_whose_index_contradicts_its_messages_is_refused_in_words(tmp_path: Path) -> None:
    bag = ros1_bag(tmp_path / "drive.bag", None)
    content = bytearray(bag.read_bytes())
    index = content.index(
        b"ver=\x01\0\0\0", content.index(b"count=")
    )  # of the first chunk: behind it 12 bytes a message
    entry = content.index((START_NS // 10**9).to_bytes(4, "little"), index)
    content[entry + 4] ^= 1
    bag.write_bytes(content)
    with pytest.raises(
        CaptureError, match=r"cannot read the bag \S+drive\.bag: its parts contradict each other; `rosbag reindex`"
    ):
        ROS1.import_into(bag, Workspace(tmp_path))


def test_a_ros1_bag_whose_chunks_state_more_messages_than_can_be_found_is_doubtful(tmp_path: Path) -> None:
    bag = ros1_bag(tmp_path / "drive.bag", None)
    with Reader1(bag) as reader:
        chatter = next(each for each in reader.connections if each.topic == "/chatter")
    content = bytearray(bag.read_bytes())
    pair = chatter.id.to_bytes(4, "little") + (5).to_bytes(4, "little")
    content[content.rindex(pair) + 4] = 6
    bag.write_bytes(content)
    recording = imported(ROS1, bag, tmp_path)
    assert recording.counts["chatter"] == 5
    assert "/chatter: the bag's chunks state 6 messages, 5 could be read" in recording.info.reasons
    assert recording.info.verdict == "doubtful"


def test_a_bag_without_definitions_keeps_its_messages_and_says_that_custom_ones_have_none(tmp_path: Path) -> None:
    """As every SQLite bag before ROS 2 Jazzy is."""
    import sqlite3

    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    database.close()
    recording = imported(ROS2, bag, tmp_path)
    original = [(topic, t_ns, data) for topic, _, t_ns, data in read_by_rosbags(bag)]
    assert [(topic, t_ns, data) for topic, _, t_ns, data in read_by_rosbags(recording.folder)] == original
    assert any(isinstance(each.sample, Sweep) for each in recording.samples())


def test_a_message_with_an_impossible_time_is_counted_and_costs_no_other(tmp_path: Path) -> None:
    import sqlite3

    bag = ros2_bag(tmp_path / "bag", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET timestamp = -5 WHERE id = 3")
    database.close()
    recording = imported(ROS2, bag, tmp_path)
    assert sum(recording.counts.values()) == 5 * TOPICS - 1
    assert any("1 messages bear no possible time and were left out" in reason for reason in recording.info.reasons)


def test_a_file_of_a_recording_of_fieldrigs_own_comes_in_like_any_other(tmp_path: Path) -> None:
    own = imported(ROS1, ros1_bag(tmp_path / "drive.bag", None), tmp_path)
    (file,) = own.files
    recording = imported(ROS2, file, tmp_path / "second")
    assert read_by_rosbags(recording.folder) == read_by_rosbags(own.folder)
    assert verify(recording.folder).verdict == "good"


def test_a_long_bag_is_imported_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.bag.file_hash._WAITING_BYTES_MAX", 4 << 20)  # what may wait on a busy machine
    path = blob_bag(tmp_path / "long.mcap", 80)
    tracemalloc.start()
    try:
        recording = imported(ROS2, path, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert recording.counts == {"blob": 400}
    assert peak < 24e6  # of an 80 MB bag
