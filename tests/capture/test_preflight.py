"""A preflight of real sockets, a real camera server, this machine and its disk."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import devices.named_vector
from capture.errors import CaptureError
from capture.preflight.check import Context
from capture.preflight.disk import measure_disk
from capture.preflight.finding import Colour, Finding, green
from capture.preflight.machine import measure_machine
from capture.preflight.machine_clock import measure_machine_clock
from capture.preflight.permissions import measure_permissions
from capture.preflight.preflight import preflight
from capture.preflight.rates import rates
from capture.preflight.trial import StreamFacts, _decoded, _with_samples, run_trial
from capture.workspace import Workspace
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK
from devices.rig import Rig, rig_from_dict
from devices.samples import Packet, Stamps
from devices.udp.source import UdpSource
from tests.capture.rigs import Sender, free_ports, line, robot_rig, write_rig
from tests.devices.builders import Camera
from tests.devices.gnss_bytes import nmea

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURE = cv2.imencode(".jpg", np.full((48, 64, 3), 90, dtype=np.uint8))[1].tobytes()


def filming(rate_hz: float) -> Camera:
    """A camera that serves a stamped picture a period until its viewer goes."""

    def answer(send: Callable[[bytes], None]) -> None:
        with suppress(OSError):
            for number in itertools.count():
                head = f"--frame\r\nX-Timestamp: {time.time():.6f}\r\nX-Sequence: {number}\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
                send(head.encode() + PICTURE + b"\r\n")
                time.sleep(1 / rate_hz)

    return Camera(answer)


def found(findings: list[Finding], check: str, subject: str) -> Finding:
    matching = [each for each in findings if (each.check, each.subject) == (check, subject)]
    assert len(matching) == 1, findings
    return matching[0]


@contextmanager
def a_rig(robot_hz: float, **camera_keys: Any) -> Iterator[tuple[Rig, Mapping[str, int]]]:
    """A robot and a camera, and somebody who sends as the robot."""
    state, action = free_ports(2)
    with filming(25) as camera, Sender({"state": state, "action": action}, robot_hz):
        sensors = {
            "camera": {"driver": "mjpeg", "url": camera.url, **camera_keys},
            "robot": {"driver": "named_vector", "ports": {"state": state, "action": action}, "rate_hz": robot_hz},
        }
        yield rig_from_dict({"name": "bench", "sensors": sensors}), {"state": state, "action": action}


def test_a_rig_in_order_is_green_in_all_that_its_sensors_do(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    with a_rig(50) as (rig, _):
        findings = preflight(
            rig,
            Workspace(tmp_path),
            duration_s=1.5,
            hours=0.01,
            progress=lambda what, share: told.append((what, share)),
        )
    for check, subject in [
        ("speaks", "robot"), ("speaks", "camera"), ("decodes", "robot/state"),
        ("decodes", "camera/image"), ("losses", "all streams"), ("buffers", "robot/state"), ("sensor clock", "camera/image"),
        ("disk space", str(tmp_path)), ("permissions", "workspace"),
    ]:  # fmt: skip
        assert found(findings, check, subject).colour is Colour.GREEN, (check, subject, findings)
    robot_rate = found(findings, "rate", "robot/state")
    assert robot_rate.colour is not Colour.RED, "a busy machine sends unevenly, yet not by a tenth"
    assert "50 expected" in robot_rate.measured
    assert found(findings, "camera settings", "camera/image").colour is Colour.AMBER, (
        "an MJPEG camera does not tell them"
    )
    assert {"opening the sensors", "listening to 2 sensors", "writing to the disk"} <= {what for what, _ in told}
    assert all(0 <= share <= 1 for _, share in told)
    assert list(tmp_path.iterdir()) == [], "preflight leaves nothing behind"


def test_a_silent_an_unreachable_and_a_babbling_sensor_are_red_and_hide_no_other(tmp_path: Path) -> None:
    state, action, silent = free_ports(3)
    sensors = {
        "robot": {"driver": "named_vector", "ports": {"state": state, "action": action}},
        "arm": {"driver": "named_vector", "ports": {"state": silent}},
        "camera": {"driver": "mjpeg", "url": f"http://127.0.0.1:{free_ports(1)[0]}/stream"},
    }
    rig = rig_from_dict({"name": "bench", "sensors": sensors})
    with Sender({"state": state, "state ": action}, 50):  # 'state ' is not the topic of the second port
        findings = preflight(rig, Workspace(tmp_path), duration_s=1.2, hours=0.01)
    assert found(findings, "speaks", "robot").colour is Colour.GREEN
    assert found(findings, "rate", "robot/state").colour is not Colour.RED
    assert re.fullmatch(r"nothing came in \d\.\d s", found(findings, "speaks", "arm").measured)
    camera = found(findings, "speaks", "camera")
    assert (camera.colour, camera.measured) == (Colour.RED, "cannot be opened")
    assert "check the address" in camera.advice
    babble = found(findings, "decodes", "robot/action")
    assert babble.colour is Colour.RED
    assert re.search(r"(\d+) of \1 packets looked at are passed over \(\1 x another topic\)", babble.measured)
    assert found(findings, "rate", "robot/action").colour is Colour.RED


@contextmanager
def receiver(sentences: Callable[[int], bytes], rate_hz: float = 1.0) -> Iterator[Rig]:
    """A GNSS receiver over TCP that says its sentences once a second, all at once."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        over = threading.Event()

        def speak() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for second in itertools.count():
                    connection.sendall(sentences(second))
                    if over.wait(1 / rate_hz):
                        return

        threads.submit(speak)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        try:
            yield rig_from_dict({"name": "bench", "sensors": {"gnss": {"driver": "gnss", "address": address}}})
        finally:
            over.set()
            with suppress(OSError):
                socket.create_connection(server.getsockname()).close()


def without_fix(second: int) -> bytes:
    texts = (
        f"GNRMC,1200{second:02}.00,V,,,,,,,060524,,,N,V",
        f"GNGGA,1200{second:02}.00,,,,,0,03,9.9,,M,,M,,",
        "GPGSV,1,1,00",
    )
    return b"".join(map(nmea, texts))


def test_a_gnss_receiver_that_has_no_fix_yet_is_amber_with_what_to_do(tmp_path: Path) -> None:
    with receiver(without_fix) as rig:
        findings = preflight(rig, Workspace(tmp_path), duration_s=4, hours=0.01)
    rate = found(findings, "rate", "gnss/stream")
    assert (rate.colour, rate.measured) == (Colour.AMBER, "no fix yet, while it speaks")
    assert "wait under open sky" in rate.advice
    assert found(findings, "decodes", "gnss/stream").colour is Colour.GREEN
    assert not [each for each in findings if "gnss" in each.subject and each.colour is Colour.RED]


@pytest.mark.parametrize(
    ("sentences", "measured"),
    [
        (lambda _: b"$GNRMC,120000.00,A,47" + nmea("GNRMC,1,V")[:-4] + b"00\r\n", "0 samples in"),
        (lambda second: without_fix(second) if second == 0 else b"", "fell silent"),
    ],
    ids=["broken", "stopped"],
)
def test_a_gnss_receiver_whose_sentences_are_broken_or_that_stopped_is_red(
    sentences: Callable[[int], bytes], measured: str
) -> None:
    with receiver(sentences) as rig:
        (rate,) = rates(rig, run_trial(rig, 6))
    assert rate.colour is Colour.RED
    assert measured in rate.measured


def test_a_sensor_at_half_its_rate_is_red(tmp_path: Path) -> None:
    with a_rig(40, rate_hz=50) as (rig, _):
        camera = found(preflight(rig, Workspace(tmp_path), duration_s=1.5, hours=0.01), "rate", "camera/image")
    assert camera.colour is Colour.RED
    assert "50 expected" in camera.measured


def test_every_packet_is_counted_heard_or_lost_when_the_kernels_buffer_is_too_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices.named_vector, "UdpSource", partial(UdpSource, receive_buffer_bytes=4096))
    state, action = free_ports(2)
    sent = 3000

    def flood(what: str, _: float) -> None:
        if what.startswith("listening") and not flooded:
            flooded.append(True)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                for number in range(sent):
                    out.sendto(line(HOST_CLOCK.now_ns(), "state", number, padding=20), ("127.0.0.1", state))

    flooded: list[bool] = []
    trial = run_trial(robot_rig(state, action), 0.5, flood)
    heard = next(each for each in trial.streams if each.stream.name == "robot/state")
    assert heard.lost > 0, "4 kB hold a handful of these"
    assert heard.packets + heard.lost == sent
    assert heard.receive_buffer_bytes is not None
    assert heard.receive_buffer_bytes <= 8192


def test_a_camera_that_goes_away_is_told_in_its_drivers_words(tmp_path: Path) -> None:
    with Camera(lambda send: send(b"--frame\r\nContent-Length: 3\r\n\r\nabc\r\n--frame--\r\n")) as camera:
        rig = rig_from_dict({"name": "bench", "sensors": {"camera": {"driver": "mjpeg", "url": camera.url}}})
        gone = found(preflight(rig, Workspace(tmp_path), duration_s=0.5, hours=0.01), "speaks", "camera/image")
    assert gone.colour is Colour.RED
    assert "is it still up?" in gone.advice


class Turns:
    """Decodes like a lidar: nothing until a turn has begun (byte 1), then a sample a packet; byte 0 is never one."""

    carries_over = True

    def __init__(self) -> None:
        self.rejected: dict[str, int] = {}
        self._begun = False

    def decode(self, packet: Packet) -> list[object]:
        if packet.data == b"X":
            raise IndexError("defect")
        self._begun |= packet.data == b"1"
        if self._begun and packet.data != b"0":
            return [packet]
        self.rejected["odd"] = self.rejected.get("odd", 0) + 1
        return []


@pytest.mark.parametrize(
    ("data", "rejected", "samples"),
    [(b"0012202", {"odd": 1}, 4), (b"000", {"odd": 3}, 0), (b"12", {}, 2), (b"", {}, 0)],
)
def test_what_was_under_way_when_we_came_is_not_held_against_a_sensor(
    data: bytes, rejected: dict[str, int], samples: int
) -> None:
    kept = [Packet("lidar/points", Stamps(number), bytes([byte])) for number, byte in enumerate(data)]
    heard = _decoded(StreamFacts(Stream("lidar/points", "turns"), "lidar", None), Turns(), kept)  # type: ignore[arg-type]
    assert (heard.decoded, heard.rejected, len(heard.sample_arrivals_ns)) == (len(data), rejected, samples)


def test_a_decoder_with_a_defect_is_told_and_hides_nothing() -> None:
    sensor = robot_rig(0, 0).sensors["robot"]
    heard = StreamFacts(Stream("robot/state", "vector.json"), "named_vector", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices.named_vector.NamedVectorDriver, "decoder", lambda *_: Turns())
        told = _with_samples(heard, sensor, [Packet("robot/state", Stamps(1), b"X")])
    assert told.failure == "robot/state: its decoder failed: IndexError: defect; report this"


class Drift:
    """A check as another stage would bring it."""

    name = "drift"

    def __init__(self, says: Finding | CaptureError) -> None:
        self.says = says
        self.seen: list[Context] = []

    def run(self, context: Context) -> list[Finding]:
        self.seen.append(context)
        if isinstance(self.says, CaptureError):
            raise self.says
        return [self.says]


def test_checks_of_other_stages_see_the_trial_and_a_failing_one_is_red_and_stops_nothing(tmp_path: Path) -> None:
    fine, broken = Drift(green("drift", "bench", "0.1 deg")), Drift(CaptureError("the file is damaged"))
    with a_rig(50) as (rig, _):
        findings = preflight(rig, Workspace(tmp_path), duration_s=0.5, hours=0.01, checks=[broken, fine])
    assert fine.says in findings
    assert fine.seen[0].trial.streams
    assert fine.seen[0].workspace == Workspace(tmp_path)
    assert [each.advice for each in findings if each.check == "drift" and each.colour is Colour.RED] == [
        "the file is damaged"
    ]


def test_a_disk_is_measured_without_leaving_a_file(tmp_path: Path) -> None:
    disk = measure_disk(Workspace(tmp_path / "new" / "workspace"), most_bytes=4 << 20)
    assert (disk.folder, disk.trouble) == (tmp_path, "")
    assert disk.bytes_s > 1e5
    assert 0 < disk.worst_stall_s < 60
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_not_written_to() -> None:
    disk = measure_disk(Workspace(Path("/proc")))
    assert (disk.free_bytes, disk.bytes_s, disk.trouble) == (0, 0.0, "")


def test_a_disk_that_refuses_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fdatasync", refuse)
    assert measure_disk(Workspace(tmp_path), most_bytes=4 << 20).trouble == os.strerror(5)


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    machine = measure_machine()
    assert machine.cores >= 1
    assert machine.available_bytes > 0
    clock = measure_machine_clock(time.time_ns())
    if sys.platform == "linux":
        assert clock.synchronised is not None, "the kernel always says"


def test_device_files_that_the_rig_names_are_looked_at(tmp_path: Path) -> None:
    sensors = {
        "drive": {"driver": "kitti", "folder": "/dev/no-such-port"},
        "other": {"driver": "kitti", "folder": "/dev/null"},
    }
    facts = measure_permissions(rig_from_dict({"name": "bench", "sensors": sensors}), Workspace(tmp_path))
    assert [(node.sensor, node.path, node.exists) for node in facts.nodes] == [
        ("drive", "/dev/no-such-port", False),
        ("other", "/dev/null", True),
    ]
    assert facts.workspace_trouble == ""


GRAVITY = ["green", "amber", "red"]


def run(*words: str, columns: int = 200) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", "preflight", *words], capture_output=True, text=True, cwd=ROOT, timeout=60,
        env={**os.environ, "COLUMNS": f"{columns}"},
    )  # fmt: skip


def test_a_terminal_of_80_columns_shows_each_finding_with_what_to_do_and_addresses_in_one_piece(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/a-camera-with-a-name-of/its-own"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        state, action = taken.getsockname()[1], *free_ports(1)
        rig = write_rig(tmp_path / "rig.toml", state, action)
        rig.write_text(rig.read_text() + f'[sensors.camera]\ndriver = "mjpeg"\nurl = "{url}"\n')
        ended = run(str(rig), "--for", "0.5s", "--workspace", str(tmp_path), columns=80)
    lines = [line.rstrip() for line in ended.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(url in line for line in lines)
    told = re.split(r"^(?=(?:green|amber|red)  )", "\n".join(lines), flags=re.MULTILINE)[1:]
    assert [each.split()[0] for each in told] == sorted((each.split()[0] for each in told), key=GRAVITY.index)
    assert all(("-> " in each) == (not each.startswith("green")) for each in told)
    assert any(f"UDP port {state} is in use by another program" in " ".join(each.split()) for each in told)


def test_on_the_command_line_red_means_exit_code_1_and_json_says_all(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig, with_camera = write_rig(tmp_path / "rig.toml", state, action), tmp_path / "camera.toml"
    with_camera.write_text(rig.read_text() + '[sensors.camera]\ndriver = "mjpeg"\nurl = "http://127.0.0.1:1/"\n')
    ended = run(str(with_camera), "--for", "0.5s", "--hours", "0.01", "--json", "--workspace", str(tmp_path))
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["rig"], told["verdict"]) == ("bench", "red")
    assert {"check", "colour", "subject", "measured", "advice"} == set(told["findings"][0])
    assert any(each["check"] == "speaks" and each["colour"] == "red" for each in told["findings"])
    assert any(each["measured"] == "this rig has never been calibrated" for each in told["findings"])

    with Sender({"state": state, "action": action}, 50):
        ended = run(str(rig), "--for", "1s", "--hours", "0.01", "--workspace", str(tmp_path))
    assert ended.returncode == ("red  " in ended.stdout), "a machine that is busy with other things may be red for that"
    assert "green  speaks" in ended.stdout
    assert re.search(r"bench: (green|amber|red) \(\d+ green, \d+ amber, \d+ red\)", ended.stdout)
    assert not ended.stderr


def test_clock_sources_come_from_the_sensors(tmp_path: Path) -> None:
    with a_rig(50) as (rig, _):
        trial = run_trial(rig, 0.5)
    assert {each.stream.name: each.clock_source for each in trial.streams} == {
        "camera/image": ClockSource.FREE, "robot/state": ClockSource.FREE, "robot/action": ClockSource.FREE,
    }  # fmt: skip
