"""Recording over real UDP sockets: nothing lost, nothing silent, every account exact."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from capture.attend import record
from capture.bag.diagnostics import unpack_diagnostics
from capture.bag.rosbag import CLOCK_TOPIC, HEALTH_TOPIC
from capture.bag.writer import BagWriter
from capture.details import Details
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.intake import open_inlets
from capture.limits import Limits
from capture.packet_queue import PacketQueue
from capture.recorder_state import RecorderState
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource, Source, Stream
from devices.errors import DeviceError
from devices.rig import Rig, rig_from_dict
from devices.samples import NamedVector, Packet, Stamps
from tests.capture.rigs import Sender, free_ports, line, robot_rig


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def only_folder(workspace: Workspace) -> Path:
    (folder,) = workspace.recordings.iterdir()
    return folder


def recorded_run(workspace: Workspace, seconds: float, rate_hz: float = 200.0) -> tuple[Path, Sender]:
    """A recording of a robot that spoke after the sockets were open and stopped before they closed."""
    state, action = free_ports(2)
    sender, stop = Sender({"state": state, "action": action}, rate_hz), threading.Event()

    def send() -> None:
        with sender:
            time.sleep(seconds)
        time.sleep(0.2)
        stop.set()

    def begin(now: RecorderState) -> None:
        if not started.is_set():
            started.set()
            threading.Thread(target=send).start()

    started = threading.Event()
    folder = record(
        robot_rig(state, action),
        workspace,
        duration_s=None,
        stop=stop,
        progress=begin,
        details=Details(operator="o", site="hall", task="t"),
    )
    return folder, sender


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sender]:
    return recorded_run(Workspace(tmp_path_factory.mktemp("workspace")), 3.2)


def test_everything_sent_is_recorded_and_opens_in_rosbags_with_every_topic_and_count(
    finished: tuple[Path, Sender],
) -> None:
    folder, sender = finished
    sent = {f"/robot/{topic}": len(times) for topic, times in sender.sent.items()}
    assert min(sent.values()) > 500
    with AnyReader([folder]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        read = dict.fromkeys(counts, 0)
        for connection, _, _ in reader.messages():
            read[connection.topic] += 1
    assert read == counts
    assert counts.pop(HEALTH_TOPIC) >= 4
    assert counts.pop(CLOCK_TOPIC) >= 2
    assert counts.pop("/fieldrig/marks") == 0
    assert counts == sent


def test_metadata_yaml_says_what_the_file_holds(finished: tuple[Path, Sender]) -> None:
    folder, _ = finished
    with Reader(folder) as reader:
        assert reader.message_count == sum(1 for _ in reader.messages())
        assert {c.msgtype for c in reader.connections} == {
            "fieldrig_msgs/msg/RawPacket",
            "fieldrig_msgs/msg/ClockSample",
            "diagnostic_msgs/msg/DiagnosticArray",
        }
        assert all(connection.digest.startswith("RIHS01_") for connection in reader.connections)
        stamps = [stamp for _, stamp, _ in reader.messages()]
        assert (reader.start_time, reader.end_time) == (min(stamps), max(stamps) + 1)


def test_rosbags_reads_our_own_message_from_the_schema_in_the_file(finished: tuple[Path, Sender]) -> None:
    with AnyReader([finished[0]]) as reader:
        connection = next(c for c in reader.connections if c.topic == "/robot/state")
        _, log_ns, raw = next(reader.messages([connection]))
        message = reader.deserialize(raw, connection.msgtype)
    assert message.encoding == "vector.json"
    assert json.loads(bytes(message.data))["topic"] == "state"
    assert log_ns - message.device_ns >= 7_000_000_000


def test_recording_json_keeps_the_rig_the_people_the_clocks_and_a_verdict(finished: tuple[Path, Sender]) -> None:
    folder, sender = finished
    info = load_info(folder)
    assert (info.state, info.verdict, info.reasons) == ("finished", "good", ())
    assert (info.site, info.task, info.operator) == ("hall", "t", "o")
    assert info.rig.sensors["robot"].driver == "named_vector"
    sent = {f"robot/{topic}": len(times) for topic, times in sender.sent.items()}
    assert info.counts == sent | {"fieldrig/marks": 0}
    for (clock,) in info.clocks.values():
        assert abs(clock.host_minus_device_ns - 7_000_000_000) < 1_000_000
    assert {"python", "fieldrig", "mcap"} <= info.software.keys()


def test_packets_come_back_in_order_with_their_stamps_and_sequence(finished: tuple[Path, Sender]) -> None:
    recording = open_recording(finished[0])
    packets = list(recording.packets(["robot/state"]))
    assert [each.sequence for each in packets] == list(range(recording.counts["robot/state"]))
    arrivals = [each.packet.stamps.host_ns for each in recording.packets()]
    assert arrivals == sorted(arrivals)
    for each in packets[len(packets) // 2 :]:
        device_ns = each.packet.stamps.device_ns
        assert device_ns is not None
        # Captured 7 s before by the sensor's clock; the rig states a least latency of 2 ms.
        assert abs(each.stamp_ns - (device_ns + 7_000_000_000 - 2_000_000)) < 1_000_000


def test_adjoining_ranges_give_what_the_whole_gives(finished: tuple[Path, Sender]) -> None:
    recording = open_recording(finished[0])
    middle = (recording.start_ns + recording.end_ns) // 2
    whole = [each.span for each in recording.samples()]
    halves = [each.span for each in recording.samples(end_ns=middle)] + [
        each.span for each in recording.samples(start_ns=middle)
    ]
    assert 0 < len([span for span in whole if span.last_host_ns < middle]) < len(whole)
    assert halves == whole
    assert list(recording.packets(start_ns=middle, end_ns=middle)) == []


def test_samples_are_decoded_and_name_the_bytes_they_came_from(finished: tuple[Path, Sender]) -> None:
    recording = open_recording(finished[0])
    first = next(recording.samples(["robot/action"]))
    assert isinstance(first.sample, NamedVector)
    assert (first.sample.topic, first.sample.values.tolist()) == ("action", [0.0])
    packet = next(recording.packets(["robot/action"])).packet
    assert first.span.sha256 == hashlib.sha256(packet.data).hexdigest()
    assert (first.span.first_sequence, first.span.last_sequence) == (0, 0)
    with pytest.raises(CaptureError, match="no stream 'robot/pose'; it has: robot/state, robot/action"):
        list(recording.packets(["robot/pose"]))


def test_a_health_message_says_how_many_messages_stand_before_it(finished: tuple[Path, Sender]) -> None:
    seen: dict[str, int] = {}
    said = 0
    with open_recording(finished[0]).files[0].open("rb") as file:
        for _, channel, message in make_reader(file, validate_crcs=True).iter_messages(log_time_order=False):
            if channel.topic != HEALTH_TOPIC:
                seen[channel.topic[1:]] = seen.get(channel.topic[1:], 0) + 1
                continue
            for status in unpack_diagnostics(message.data):
                if status.name != "recorder":
                    assert int(status.values["recorded"]) == seen.get(status.name, 0)
                    said = max(said, int(status.values["recorded"]))
    assert said == seen["robot/state"]


def test_verify_finds_nothing_wrong_and_notices_a_changed_byte(finished: tuple[Path, Sender], tmp_path: Path) -> None:
    assert verify(finished[0]).verdict == "good"
    copy = tmp_path / finished[0].name
    shutil.copytree(finished[0], copy)
    bag = next(copy.glob("*.mcap"))
    data = bytearray(bag.read_bytes())
    data[data.index(b'"values": [100.0]') + 12] ^= 1
    bag.write_bytes(data)
    found = verify(copy)
    assert found.verdict == "bad"
    assert any("SHA-256 differs" in line for line in found.damage)
    assert any("CRC" in line for line in found.damage)


def test_packets_that_mean_nothing_are_kept_counted_and_told_by_verify(tmp_path: Path) -> None:
    state, action = free_ports(2)
    over = threading.Event()

    def meddle() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not over.wait(0.02):
                out.sendto(b"somebody else's words", ("127.0.0.1", state))

    meddler = threading.Thread(target=meddle)
    meddler.start()
    with Sender({"state": state, "action": action}, 50):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=1.0)
    over.set()
    meddler.join()
    found = verify(folder)
    assert (found.verdict, found.damage) == ("doubtful", [])
    (doubt,) = found.doubts
    assert re.match(r"robot/state: \d+ of \d+ packets do not decode \(\d+ x .*\); see whether something else", doubt)
    assert verify(folder, decode=False).verdict == "good"


def test_rerun_converts_every_message_of_every_topic(
    finished: tuple[Path, Sender], tmp_path: Path, environment: Callable[[str], Path]
) -> None:
    rerun = environment("checkers") / "rerun"
    recording, out = open_recording(finished[0]), tmp_path / "out.rrd"
    subprocess.run(
        [rerun, "mcap", "convert", recording.files[0], "-o", out], check=True, capture_output=True, timeout=120
    )
    shown = subprocess.run([rerun, "rrd", "print", "-v", out], check=True, capture_output=True, text=True, timeout=120)
    rows: dict[str, int] = {}
    for count, topic in re.findall(
        r"^Chunk\(.*\) with (\d+) rows .* - (\S+) - data columns: \[\S+:message\]", shown.stdout, re.MULTILINE
    ):
        rows[topic] = rows.get(topic, 0) + int(count)
    assert rows.pop(HEALTH_TOPIC) >= 4
    assert rows.pop(CLOCK_TOPIC) >= 2
    assert rows == {"/" + name: count for name, count in recording.counts.items() if count}


def test_what_had_arrived_when_the_recording_was_ended_is_in_it(workspace: Workspace) -> None:
    state, action = free_ports(2)
    stop = threading.Event()

    def burst(now: RecorderState) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for number in range(1500):
                out.sendto(line(number, "state", number), ("127.0.0.1", state))
        stop.set()

    folder = record(robot_rig(state, action), workspace, duration_s=5, stop=stop, progress=burst)
    assert open_recording(folder).counts["robot/state"] == 1500


def test_two_recordings_in_the_same_second_have_different_ids(workspace: Workspace) -> None:
    rigs = [robot_rig(*free_ports(2)) for _ in range(2)]
    folders = {record(rig, workspace, duration_s=0.05) for rig in rigs}
    assert len(folders) == 2


def test_a_recording_of_nothing_is_whole_and_says_so(workspace: Workspace) -> None:
    folder = record(robot_rig(*free_ports(3)), workspace, duration_s=0.3)
    info = load_info(folder)
    assert info.verdict == "bad"
    assert info.reasons[0] == "nothing was recorded"
    assert list(open_recording(folder).samples()) == []
    with AnyReader([folder]) as reader:
        assert {c.topic: c.msgcount for c in reader.connections if c.topic != HEALTH_TOPIC} == {
            "/robot/state": 0, "/robot/action": 0, "/operator/marks": 0, "/fieldrig/marks": 0, CLOCK_TOPIC: 0
        }  # fmt: skip


def test_a_silent_sensor_is_named_and_what_came_from_the_others_is_kept(workspace: Workspace) -> None:
    state, dead, marks = free_ports(3)
    rig = rig_from_dict(
        {
            "name": "bench",
            "sensors": {
                "robot": {"driver": "named_vector", "ports": {"state": state}},
                "arm": {"driver": "named_vector", "ports": {"state": dead}},
                "operator": {"driver": "marks", "port": marks},
            },
        }
    )
    with (
        Sender({"state": state}, 100) as sender,
        pytest.raises(CaptureError, match=r"nothing came from arm in \d\.\d s; check power") as error,
    ):
        record(rig, workspace, duration_s=10, limits=Limits(silent_s=0.5))
    folder = only_folder(workspace)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert 20 < open_recording(folder).counts["robot/state"] <= len(sender.sent["state"])
    assert load_info(folder).reasons == ("arm said nothing",)
    assert verify(folder).damage == []


def test_a_port_in_use_is_named_and_nothing_is_left_open_or_behind(workspace: Workspace) -> None:
    state, action = free_ports(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", action))
        with pytest.raises(DeviceError, match=f"UDP port {action} is in use") as alone:
            record(robot_rig(state, action), workspace, duration_s=1)
        assert "without it" not in str(alone.value)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("0.0.0.0", state))
    assert not workspace.recordings.exists()


def test_one_camera_that_cannot_be_reached_refuses_the_rig_and_says_how_to_go_without_it(workspace: Workspace) -> None:
    (state,) = free_ports(1)
    sensors = {
        "front": {"driver": "mjpeg", "url": "http://127.0.0.1:1/stream"},
        "robot": {"driver": "named_vector", "ports": {"state": state}},
    }
    with pytest.raises(
        DeviceError, match=r"^front/image: no camera at .*; to record without it, take its section out of rig\.toml$"
    ):
        record(rig_from_dict({"name": "van", "sensors": sensors}), workspace, duration_s=1)


def test_a_nearly_full_disk_is_refused_before_and_ends_a_recording_with_a_complete_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, action = free_ports(2)
    rig = robot_rig(state, action)
    with pytest.raises(CaptureError, match=r"MB are free at .* kept back"):
        record(rig, workspace, duration_s=1, limits=Limits(free_bytes=2**62))
    started = time.monotonic()
    monkeypatch.setattr(BagWriter, "free_bytes", lambda self: 10**9 if time.monotonic() < started + 1 else 10**6)
    with Sender({"state": state, "action": action}, 200), pytest.raises(CaptureError, match="nearly full: 1 MB free"):
        record(rig, workspace, duration_s=20)
    folder = only_folder(workspace)
    info = load_info(folder)
    assert info.verdict == "doubtful"
    assert all(loss.total == 0 for loss in info.losses.values())
    assert min(info.counts["robot/state"], info.counts["robot/action"]) > 100
    assert verify(folder).damage == []


class Flood:
    """A source that has many packets at once, and then no more."""

    def __init__(self, count: int, size: int) -> None:
        self.stream = Stream("flood/data", "raw")
        self.lost = 0
        self.clock_source = ClockSource.NONE
        self._packets = [Packet("flood/data", Stamps(10**18 + i), bytes(size)) for i in range(count)]

    def read(self, timeout_s: float) -> list[Packet]:
        if not self._packets:
            raise EOFError
        taken, self._packets = self._packets[:10], self._packets[10:]
        return taken

    def close(self) -> None:
        pass


def test_what_overflows_the_queue_is_counted_exactly(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood(3000, 1000)
    monkeypatch.setattr("capture.intake.open_inlets", lambda rig, own: [Inlet(0, flood), Inlet(1, own[0])])
    taken = BagWriter.add

    def slow(self: BagWriter, stream: int, sequence: int, packet: Packet, stamp_ns: int) -> None:
        time.sleep(0.001)
        taken(self, stream, sequence, packet, stamp_ns)

    monkeypatch.setattr(BagWriter, "add", slow)
    rig = rig_from_dict({"name": "bench", "sensors": {"flood": {"driver": "marks", "port": 1}}})
    folder = record(rig, workspace, duration_s=30, limits=Limits(queue_bytes=200_000))
    info = load_info(folder)
    lost = info.losses["flood/data"]
    assert lost.queue > 1000
    assert info.counts["flood/data"] + lost.queue == 3000
    assert (lost.before_read, lost.not_written) == (0, 0)
    assert info.verdict == "doubtful"
    numbers = [each.sequence for each in open_recording(folder).packets()]
    assert len(set(range(3000)) - set(numbers)) >= lost.queue
    assert verify(folder).damage == []


def test_the_queue_never_exceeds_its_bound() -> None:
    queue, inlet = PacketQueue(bound_bytes=10_000), Inlet(0, Flood(1, 1))
    packets = [Packet("flood/data", Stamps(i), bytes(800)) for i in range(20)]
    queue.put(inlet, packets)
    assert (queue.size_bytes, inlet.dropped) == (10_000, 10)
    taken = queue.take(0)
    assert taken is not None
    queue.put(inlet, packets[:1])
    assert inlet.dropped == 11  # taken, but not yet on the disk
    queue.release(taken[0])
    queue.put(inlet, packets[:1])
    assert inlet.dropped == 11
    queue.close()
    assert len(queue.take(0) or ()) == 1
    assert queue.take(0) is None


def test_a_driver_that_fails_is_opened_anew_its_gap_recorded_and_the_rest_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, arm = free_ports(2)
    robot = {"driver": "named_vector", "ports": {"state": state}}
    rig = rig_from_dict(
        {"name": "bench", "sensors": {"robot": robot, "arm": {"driver": "named_vector", "ports": {"action": arm}}}}
    )
    calls: list[float] = []

    def opened(rig: Rig, own: Sequence[Source]) -> list[Inlet]:
        inlets = open_inlets(rig, own)
        read = inlets[1].source.read

        def failing(timeout_s: float) -> object:
            calls.append(timeout_s)
            if len(calls) > 30:
                raise ZeroDivisionError("a defect")
            return read(timeout_s)

        monkeypatch.setattr(inlets[1].source, "read", failing)
        return inlets

    monkeypatch.setattr("capture.intake.open_inlets", opened)
    with Sender({"state": state, "action": arm}, 100) as sender:
        folder = record(rig, workspace, duration_s=4, limits=Limits(silent_s=1.5))
    info = load_info(folder)
    (gone,) = info.interruptions
    assert (gone.sensor, gone.changed) == ("arm", "")
    assert gone.to_ns is not None
    assert info.ended_ns is not None
    long_s = (gone.to_ns - gone.from_ns) / 1e9
    assert 0.9 < long_s < 4
    told = f"arm was gone for {long_s:.1f} s"
    assert any(told in reason and "ZeroDivisionError: a defect" in reason for reason in info.reasons)
    assert info.verdict == "doubtful"
    assert info.counts["robot/state"] >= len(sender.surely_between("state", info.started_ns, info.ended_ns)) > 200
    numbers = [int(each.sample.values[0]) for each in open_recording(folder).samples(["arm/action"])]  # type: ignore[union-attr]
    due = sender.surely_between("action", info.started_ns, info.ended_ns)
    assert numbers[-1] >= due[-1], "it did not come back"
    missing = set(due) - set(numbers)
    assert missing >= set(sender.surely_between("action", gone.from_ns, gone.to_ns))
    assert missing <= set(sender.maybe_between("action", gone.from_ns - 200_000_000, gone.to_ns))
    assert verify(folder).damage == []


def test_a_stray_device_time_costs_nothing_but_the_clock_s_good_name(workspace: Workspace) -> None:
    state, action = free_ports(2)
    stop, strays = threading.Event(), (1 << 62, (1 << 63) - 1, 0)

    def interfere(now: RecorderState) -> None:
        if not sent and now.elapsed_s > 0.3:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                sent.extend(out.sendto(line(stray, "state", -1), ("127.0.0.1", state)) for stray in strays)
        elif now.elapsed_s > 1:
            stop.set()

    sent: list[int] = []
    with Sender({"state": state, "action": action}, 200):
        recording = open_recording(
            record(robot_rig(state, action), workspace, duration_s=10, stop=stop, progress=interfere)
        )
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    kept = {each.packet.stamps.device_ns: each for each in recording.packets(["robot/state"])}
    for stray in strays[:2]:
        assert abs(kept[stray].stamp_ns - kept[stray].packet.stamps.host_ns) < 10**9
    assert recording.info.verdict == "good"
    assert any(note.startswith("robot/state: 3 packets bear a time") for note in recording.info.notes)
    assert len(recording.clocks["robot/state"]) == 1
    assert verify(recording.folder).damage == []


def test_a_writer_that_fails_ends_the_recording_and_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = BagWriter.add, []

    def failing(*words: object) -> None:
        calls.append(words)
        if len(calls) > 30:
            raise ZeroDivisionError("a defect")
        add(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(BagWriter, "add", failing)
    state, action = free_ports(2)
    with (
        Sender({"state": state, "action": action}, 200),
        pytest.raises(CaptureError, match="the writer failed: ZeroDivisionError: a defect"),
    ):
        record(robot_rig(state, action), workspace, duration_s=20)
    info = load_info(only_folder(workspace))
    assert sum(info.counts.values()) == 30
    assert sum(loss.not_written for loss in info.losses.values()) > 0


def test_lines_that_cannot_be_decoded_are_passed_over_and_counted(workspace: Workspace) -> None:
    state, action = free_ports(2)
    stop = threading.Event()

    def send(now: RecorderState) -> None:
        if sum(row.received for row in now.streams) >= 5:
            stop.set()
        elif not sent:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                for text in (line(1, "state", 1), b"{broken\n", b"\xff\xfe", line(2, "state", 2)):
                    out.sendto(text, ("127.0.0.1", state))
                out.sendto(line(1, "action", 1), ("127.0.0.1", action))
            sent.append(1)

    sent: list[int] = []
    recording = open_recording(record(robot_rig(state, action), workspace, duration_s=5, stop=stop, progress=send))
    assert recording.counts == {"robot/state": 4, "robot/action": 1, "fieldrig/marks": 0}
    assert len(list(recording.samples())) == 3
    assert sum(recording.rejected["robot/state"].values()) == 2
