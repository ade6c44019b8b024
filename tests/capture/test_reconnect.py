"""Sensors that go away and come back: the gap is written down, and the rest of the rig does not notice."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from capture.attend import record
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.intake import Connection, Intake
from capture.interruptions import interruptions_in_words
from capture.limits import Limits
from capture.packet_queue import PacketQueue
from capture.recorder import Recorder
from capture.recorder_state import RecorderState
from capture.recording import open_recording
from capture.recording_info import Interruption
from capture.redescription import redescribed_in_words
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.rig import rig_from_dict
from devices.samples import Packet, Stamps
from devices.uvc.settings import SettingsTaken
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig
from tests.devices.builders import Camera
from tests.devices.test_mjpeg import jpeg, part

ROOT = Path(__file__).parent.parent.parent


def pictures(count: int, wait_s: float = 0.02) -> Callable[[Callable[[bytes], None]], None]:
    def answer(send: Callable[[bytes], None]) -> None:
        for number in range(count):
            send(part(jpeg(number % 255), f"X-Timestamp: {time.time():.6f}", f"X-Sequence: {number}"))
            time.sleep(wait_s)

    return answer


def test_an_unplugged_camera_comes_back_by_itself_and_its_gap_is_recorded(tmp_path: Path) -> None:
    (state,) = free_ports(1)
    with Camera(pictures(50)) as camera, Sender({"state": state}, 200):
        sensors = {
            "camera": {"driver": "mjpeg", "url": camera.url},
            "robot": {"driver": "named_vector", "ports": {"state": state}},
        }
        rig = rig_from_dict({"name": "bench", "sensors": sensors})
        with Recorder(rig, Workspace(tmp_path), Limits(silent_s=2)) as recorder:
            recorder.start()
            recorder.run()
            seen = threading.Event()
            until = time.monotonic() + 60
            while time.monotonic() < until:
                state_now = recorder.state()
                down = [stream for stream in state_now.streams if not stream.connected]
                if down:
                    seen.set()
                    assert [stream.name for stream in down] == ["camera/image"]
                    alarm = next(alarm for alarm in state_now.alarms if "camera/image" in alarm)
                    assert alarm.startswith("camera/image: the camera is gone: ")
                    assert (alarm.count("camera/image"), alarm.count("http://") <= 1) == (1, True), alarm
                elif seen.is_set() and state_now.streams[0].received > 60:
                    break
                time.sleep(0.05)
            folder = recorder.stop()
    assert seen.is_set()
    recording = open_recording(folder)
    gone = recording.info.interruptions[0]
    assert (gone.sensor, "is it still up" in gone.why) == ("camera", True)
    assert gone.to_ns is not None
    long_s = (gone.to_ns - gone.from_ns) / 1e9
    assert 0.9 < long_s < 6
    assert recording.counts["camera/image"] > 60
    assert recording.info.verdict == "doubtful"
    assert f"camera was gone for {long_s:.1f} s" in "; ".join(recording.info.reasons)
    numbers = [int(each.sample.values[0]) for each in recording.samples(["robot/state"])]  # type: ignore[union-attr]
    assert len(numbers) > 300
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "the robot's stream suffered with the camera's"
    assert recording.info.losses["camera/image"].total == 0, "a count that begins anew is no loss"
    assert verify(folder).damage == []


@contextlib.contextmanager
def plugged_in(port: int, picture: Path) -> Iterator[None]:
    """A camera's process, ready when this is entered; killed at the end."""
    words = [sys.executable, "-m", "tests.capture.camera_process", str(port), str(picture)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: can_connect(port))
            yield
        finally:
            process.kill()


def can_connect(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_plug_that_is_touched_when_the_first_seconds_end_does_not_end_the_recording(tmp_path: Path) -> None:
    """Whether all sensors speak is asked once, 5 s after the start."""
    (state, port), picture = free_ports(2), tmp_path / "picture.jpg"
    picture.write_bytes(jpeg(100))
    sensors = {
        "camera": {"driver": "mjpeg", "url": f"http://127.0.0.1:{port}/stream"},
        "robot": {"driver": "named_vector", "ports": {"state": state}},
    }
    rig = rig_from_dict({"name": "bench", "sensors": sensors})
    stop, states = threading.Event(), deque[RecorderState](maxlen=1)
    with contextlib.ExitStack() as plug, Sender({"state": state}, 100), ThreadPoolExecutor() as crew:
        plug.enter_context(plugged_in(port, picture))
        recording = crew.submit(record, rig, Workspace(tmp_path), duration_s=None, stop=stop, progress=states.append)
        wait_for(lambda: bool(states) and states[0].elapsed_s > 3.5)
        plug.close()
        wait_for(lambda: states[0].elapsed_s > 6)
        plug.enter_context(plugged_in(port, picture))
        (before,) = (row.received for row in states[0].streams if row.name == "camera/image")
        wait_for(lambda: any(row.received > before + 20 for row in states[0].streams if row.name == "camera/image"))
        stop.set()
        done = open_recording(recording.result())
    (gone,) = done.info.interruptions
    assert gone.to_ns is not None
    assert done.info.ended_ns is not None
    assert gone.from_ns - done.info.started_ns < 5e9 < gone.to_ns - done.info.started_ns
    assert len(list(done.packets(["camera/image"], gone.to_ns))) > 10
    assert (gone.sensor, done.info.verdict) == ("camera", "doubtful")


def test_a_camera_that_closes_the_line_and_was_never_heard_ends_the_recording_at_its_start(tmp_path: Path) -> None:
    (state,) = free_ports(1)
    with Camera(lambda _send: None) as camera, Sender({"state": state}, 100):
        sensors = {
            "camera": {"driver": "mjpeg", "url": camera.url},
            "robot": {"driver": "named_vector", "ports": {"state": state}},
        }
        rig = rig_from_dict({"name": "bench", "sensors": sensors})
        with pytest.raises(CaptureError, match=r"camera/image.*; what was recorded until then is complete in"):
            record(rig, Workspace(tmp_path), duration_s=20, limits=Limits(silent_s=1.5))


def test_a_sensor_that_comes_back_as_another_is_refused_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state,) = free_ports(1)
    rig = rig_from_dict({"name": "bench", "sensors": {"robot": {"driver": "named_vector", "ports": {"state": state}}}})
    intake = Intake(rig, 1 << 20)
    (inlet,) = intake.inlets
    reopened: list[Other] = []

    class Other:
        """What stands at the robot's port now."""

        stream = Stream("robot/state", "ouster.lidar")
        closed = False

        def close(self) -> None:
            self.closed = True

    def open_other(self: object, name: str, config: object) -> list[Other]:
        reopened.append(Other())
        return reopened[-1:]

    monkeypatch.setattr(type(rig.sensors["robot"].loaded_driver()), "open", open_other)
    monkeypatch.setattr("capture.intake.REOPEN_S", 0.05)
    monkeypatch.setattr(inlet.source, "read", lambda timeout_s: (_ for _ in ()).throw(DeviceError("robot: gone")))
    intake.start()
    wait_for(lambda: "came back" in inlet.failure)
    intake.close()
    assert inlet.failure == (
        "robot came back with other streams (robot/state as ouster.lidar); end this recorder and start it anew"
    )
    assert all(other.closed for other in reopened)
    assert intake.interruptions(0)[0].to_ns is None


class Half:
    """One of two streams of an SDK's process. died: it ended between being opened and being read."""

    lost = 0
    clock_source = ClockSource.NONE

    def __init__(self, name: str, died: bool) -> None:
        self.stream = Stream(name, "vector.json")
        self.asked, self.closed = threading.Event(), threading.Event()
        self.died = died

    def read(self, timeout_s: float) -> list[Packet]:
        self.asked.set()
        if self.closed.is_set():
            raise EOFError(f"{self.stream.name} was closed")
        if self.died:
            raise DeviceError("robot: its process has ended")
        time.sleep(0.01)
        return [Packet(self.stream.name, Stamps(HOST_CLOCK.now_ns()), b"x")]

    def close(self) -> None:
        self.closed.set()


class Waiting(threading.Event):
    """What a reading thread waits on while its sensor is gone. is_set() tells the thread to end."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.set()
        return super().wait(timeout)


@pytest.mark.parametrize("comes", ["behind the close", "before the close"])
def test_a_stream_that_is_first_read_while_its_sensor_is_opened_anew_comes_back_with_it(
    comes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading threads start one by one: the first may have found the sensor gone before the second begins."""
    halt, waiting, queue = threading.Event(), Waiting(), PacketQueue(1 << 20)
    halves = [Half("robot/state", True), Half("robot/action", True)]
    opened: list[list[Half]] = []

    def has_come() -> bool:
        return waiting.waited.is_set() or halves[1].asked.is_set()

    def open_anew(self: object, name: str, config: object) -> list[Half]:
        wait_for(has_come)
        opened.append([Half(half.stream.name, False) for half in halves])
        return opened[-1]

    def close_late() -> None:
        began.set()
        wait_for(has_come)
        halves[0].closed.set()

    rig = robot_rig(*free_ports(2))
    robot = rig.sensors["robot"]
    monkeypatch.setattr(type(robot.loaded_driver()), "open", open_anew)
    monkeypatch.setattr("capture.intake.REOPEN_S", 0.05)
    began = halves[1].closed
    if comes == "before the close":
        began = threading.Event()
        monkeypatch.setattr(halves[0], "close", close_late)
    inlets = [Inlet(index, half) for index, half in enumerate(halves)]
    connection = Connection(robot, inlets, halt)
    first = threading.Thread(target=connection.read, args=(inlets[0], queue, halt))
    second = threading.Thread(target=connection.read, args=(inlets[1], queue, waiting))
    first.start()
    assert began.wait(60)
    second.start()
    try:
        wait_for(lambda: all(inlet.received > 3 for inlet in inlets))
    finally:
        for each in (halt, waiting):
            each.set()
        for thread in (first, second):
            thread.join()
    assert [inlet.finished for inlet in inlets] == [False, False]
    assert (len(opened), len(connection.interruptions)) == (1, 1), "it was opened anew more than once"


class Webcam:
    """A USB camera that is unplugged after some pictures; each plugging in, its exposure is another."""

    encoding = "jpeg"

    def __init__(self, exposure_us: int, pictures: int) -> None:
        self.taken = SettingsTaken({"exposure_us": exposure_us, "gain": 2.0}, {})
        self._left = pictures

    def next_picture(self) -> tuple[bytes, int | None]:
        time.sleep(0.02)
        self._left -= 1
        if self._left < 0:
            raise DeviceError("camera: the camera is gone; check its plug")
        return jpeg(self._left % 255), None

    def close(self) -> None: ...


def test_a_camera_that_comes_back_set_otherwise_leaves_both_settings_in_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = iter([Webcam(4000, 40), Webcam(8000, 1000)])
    monkeypatch.setattr("devices.uvc.driver._opened", lambda *_: next(plugged))
    camera = {"driver": "uvc", "device": "/dev/v4l/by-id/usb-it"}
    rig = rig_from_dict({"name": "bench", "sensors": {"camera": camera}})
    done = open_recording(record(rig, Workspace(tmp_path), duration_s=3.5))
    (gone,) = done.info.interruptions
    said = "camera/image came back with settings.exposure_us 4000 -> 8000; what followed is decoded as described before"
    assert gone.changed == said
    assert any(reason.endswith(said) for reason in done.info.reasons)
    assert list(gone.described) == ["camera/image"]
    assert '"exposure_us": 8000' in gone.described["camera/image"]
    assert '"exposure_us": 4000' in done.info.streams["camera/image"].description


def test_a_description_whose_change_cannot_be_told_costs_no_stream_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> str:
        raise TypeError("no table")

    plugged = iter([Webcam(4000, 40), Webcam(8000, 1000)])
    monkeypatch.setattr("devices.uvc.driver._opened", lambda *_: next(plugged))
    monkeypatch.setattr("capture.intake.redescribed_in_words", defect)
    camera = {"driver": "uvc", "device": "/dev/v4l/by-id/usb-it"}
    rig = rig_from_dict({"name": "bench", "sensors": {"camera": camera}})
    done = open_recording(record(rig, Workspace(tmp_path), duration_s=3.5))
    (gone,) = done.info.interruptions
    said = "what differs in what camera says of itself since could not be told: TypeError: no table"
    assert (gone.to_ns is not None, gone.changed) == (True, said)
    assert '"exposure_us": 8000' in gone.described["camera/image"]
    assert len(list(done.packets(["camera/image"], gone.to_ns))) > 10
    assert any(reason.endswith(said) for reason in done.info.reasons)


def test_many_gaps_are_told_together_and_each_change_in_them_once() -> None:
    gaps = [
        Interruption(
            sensor="cam", from_ns=n * 10, to_ns=n * 10 + 5, why="cam is gone", changed=f"change {n // 3}" if n else ""
        )
        for n in range(6)
    ]
    (line,) = interruptions_in_words(gaps, 0, 100)
    assert line.endswith("cam is gone; change 0; change 1")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{}", '{"sensor": {"serial": 7}}', "sensor.serial none -> 7"),
        ('{"a": [1, 2], "b": 3}', '{"b": 3}', "a [1, 2] -> none"),
        ('{"a": 1, "b": "x"}', '{"a": 2, "b": null}', 'a 1 -> 2, b "x" -> null'),
        ('{"a": 1}', '{ "a": 1 }', "the same, in other words"),
        ("plain", '{"a": 1}', 'a description "plain" -> "{\\"a\\": 1}"'),
        ('{"a": ""}', '{"a": "' + "y" * 99 + '"}', 'a "" -> "' + "y" * 56 + "..."),
        ("[" * 100_000, "1", 'a description "' + "[" * 56 + '... -> "1"'),
    ],
)
def test_what_differs_in_a_description_is_told_by_its_keys_and_values(before: str, after: str, said: str) -> None:
    told = redescribed_in_words({"s/a": before, "s/b": "same"}, {"s/a": after, "s/b": "same"})
    assert told == f"s/a came back with {said}; what followed is decoded as described before"
    assert redescribed_in_words({"s/a": after}, {"s/a": after}) == ""
