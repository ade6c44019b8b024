"""Network cameras through the recorder: what ROS and Foxglove tools find in the file, and what later stages get of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from calibration.sync import camera_streams, on_one_clock, synced_frames
from capture.attend import record
from capture.bag.mcap_file import messages_in
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.cameras.access_unit import Codec, nal_units
from devices.rig import rig_from_dict
from devices.samples import Image
from tests.capture.record_while import record_while
from tests.capture.recordings import wait_for
from tests.capture.rigs import free_port
from tests.devices.rtsp_servers import Server, number_of, peer_python

__all__ = ["peer_python"]


@pytest.fixture(scope="module")
def recorded(peer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recording, Server, Server]]:
    """Four seconds of two cameras, one of H.264 over TCP, one of H.265 over UDP, whose key frames are 0.4 s apart."""
    root = tmp_path_factory.mktemp("video")
    left, right = (Server(peer_python, root / codec, codec, 0, []) for codec in ("h264", "h265"))
    sensors = {
        "left": {"driver": "rtsp", "url": left.url},
        "right": {"driver": "rtsp", "url": right.url, "transport": "udp"},
    }
    folder = record(rig_from_dict({"name": "gate", "sensors": sensors}), Workspace(root / "field"), duration_s=4)
    yield open_recording(folder), left, right
    left.kill()
    right.kill()


def test_a_recorded_video_is_what_foxglove_and_ros_expect_and_decodes_from_any_instant(
    recorded: tuple[Recording, Server, Server],
) -> None:
    recording, left, right = recorded
    assert verify(recording.folder).verdict == "good"
    assert recording.streams_of(Image) == camera_streams(recording) == ["left/image", "right/image"]

    with AnyReader([recording.folder]) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic != "/left/image":
                continue
            message = reader.deserialize(raw, connection.msgtype)
            assert (connection.msgtype, message.format, message.frame_id) == (
                "foxglove_msgs/msg/CompressedVideo",
                "h264",
                "left",
            )
            kinds = [Codec.H264.kind(nal) for nal in nal_units(message.data.tobytes())]
            assert 5 not in kinds or {7, 8} <= set(kinds), "each key frame brings its parameter sets"
    with recording.files[0].open("rb") as file:
        schemas = {schema.name for schema in make_reader(file).get_summary().schemas.values()}
    assert "foxglove_msgs/msg/CompressedVideo" in schemas

    for name, server in (("left/image", left), ("right/image", right)):
        whole = [each.sample.t_ns for each in recording.samples([name])]
        assert len(whole) == recording.counts[name] > 60
        numbers = [number_of(each.sample) for each in recording.samples([name])]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        for part in (0.3, 0.5, 0.52, 0.9):
            cut_ns = recording.start_ns + round(part * (recording.end_ns - recording.start_ns))
            halves = [
                each.sample.t_ns
                for ends in ((None, cut_ns), (cut_ns, None))
                for each in recording.samples([name], *ends)
            ]
            assert halves == whole
        taken_ns = {picture["number"]: picture["taken_ns"] for picture in server.pictures()}
        for each, stored in zip(on_one_clock(recording, None, [name]), recording.packets([name]), strict=True):
            stamps = stored.packet.stamps
            if stamps.device_ns is None:  # before the first sender report
                assert each.sample.t_ns == stamps.host_ns
            else:
                assert abs(each.sample.t_ns - taken_ns[number_of(each.sample)]) < 40_000_000


def test_pictures_of_videos_are_brought_together_by_their_instants(recorded: tuple[Recording, Server, Server]) -> None:
    frames = [frame for frame in synced_frames(recorded[0], None) if len(frame.images) == 2]
    assert len(frames) > 50
    assert all(np.asarray(each.sample.pixels).shape == (64, 256, 3) for each in frames[0].images.values())


def test_stored_bytes_are_the_messages_own(recorded: tuple[Recording, Server, Server]) -> None:
    recording = recorded[0]
    packets = [each.packet.data for each in recording.packets(["right/image"])]
    stored = [message.data for path in recording.files for message in messages_in(path, ["/right/image"], None, None)]
    assert len(stored) == len(packets)
    assert all(packet in message for packet, message in zip(packets, stored, strict=True))


def test_a_camera_that_is_away_for_a_while_is_recorded_on_with_its_gap_told(peer_python: Path, tmp_path: Path) -> None:
    server = Server(peer_python, tmp_path / "first", "h264", free_port(), [])
    rig = rig_from_dict({"name": "gate", "sensors": {"left": {"driver": "rtsp", "url": server.url}}})
    second: list[Server] = []

    def fall_out(received: Callable[[str], int]) -> None:
        wait_for(lambda: received("left/image") > 40)
        server.kill()
        before = received("left/image")
        second.append(Server(peer_python, tmp_path / "second", "h264", server.port, []))
        wait_for(lambda: received("left/image") > before + 60)

    recording = open_recording(record_while(rig, Workspace(tmp_path / "field"), fall_out))
    second[0].kill()
    numbers = [number_of(each.sample) for each in recording.samples(["left/image"])]
    begin = numbers.index(0, 1)
    assert numbers == [*range(begin), *range(len(numbers) - begin)]
    assert begin > 20
    assert len(numbers) - begin > 20
    (interruption,) = recording.info.interruptions
    assert "left" in str(interruption)
