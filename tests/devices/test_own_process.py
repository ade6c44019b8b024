"""A vendor's SDK in a process of its own, played by small feeds that crash on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devices.device import ClockSource, Source
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet
from devices.sdk import fed_process, own_process
from devices.sdk.own_process import ProcessSource, connected, open_in_own_process

HELLO = """
def feed(config, out):
    import ctypes, os, sys, time
    out.hello([{"what": "image", "encoding": "jpeg", "description": "D"}, {"what": "depth", "encoding": "z16", "description": ""}])
"""
BEGINNING = HELLO + "    out.packet(0, b'first', 5)\n"


@pytest.fixture
def feed(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "feed.py").write_text(text)
        return tmp_path / "feed.py"

    return write


def read(source: Source, count: int, timeout_s: float = 10.0) -> list[Packet]:
    packets: list[Packet] = []
    until = time.monotonic() + timeout_s
    while len(packets) < count:
        assert time.monotonic() < until
        packets += source.read(0.1)
    return packets


def close(sources: list[Source]) -> None:
    for source in sources:
        source.close()


def pid_of(source: Source) -> int:
    assert isinstance(source, ProcessSource)
    return source._process._process.pid


def test_packets_come_through_with_their_stamps_and_what_the_sdk_prints_does_not(feed: Callable[[str], Path]) -> None:
    text = HELLO + (
        "    print('the SDK says hello on stdout', flush=True)\n"
        "    os.write(1, b'and so does its C++ part')\n"
        "    out.packet(0, bytes(range(256)) * config['times'], 7_000_000_000_000_000_001)\n"
        "    out.packet(1, b'', None)\n"
        "    out.lost(1, 2); out.lost(1, 0); out.lost(1, 3)\n"
        "    time.sleep(60)\n"
    )
    before_ns = HOST_CLOCK.now_ns()
    image, depth = sources = open_in_own_process("camera", feed(text), {"times": 20_000})
    assert [source.stream.name for source in sources] == ["camera/image", "camera/depth"]
    assert (image.stream.encoding, image.stream.description) == ("jpeg", "D")
    (big,) = read(image, 1)
    assert big.data == bytes(range(256)) * 20_000
    assert big.stamps.device_ns == 7_000_000_000_000_000_001
    assert before_ns <= big.stamps.host_ns <= HOST_CLOCK.now_ns()
    (small,) = read(depth, 1)
    assert (small.data, small.stamps.device_ns) == (b"", None)
    until = time.monotonic() + 60
    while depth.lost != 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert (image.lost, depth.lost) == (0, 5)
    assert (image.clock_source, depth.clock_source) == (ClockSource.FREE, ClockSource.NONE)
    close(sources)
    with pytest.raises(EOFError):
        image.read(0.0)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("time.sleep(60)", "the process of its SDK was ended by SIGKILL"),  # killed from here
        ("sys.stderr.write('usb stack overrun\\n'); ctypes.string_at(0)", r"was ended by SIGSEGV: usb stack overrun"),
        ("os._exit(3)", "the process of its SDK ended with code 3"),
        ("raise RuntimeError('the camera is gone; check its plug')", "^camera: the camera is gone; check its plug$"),
        ("raise KeyError('firmware')", "^camera: KeyError: 'firmware'$"),
        ("return", "the process of its SDK ended with code 0"),
    ],
)
def test_however_the_sdk_ends_every_stream_says_so_after_its_last_packet(
    end: str, says: str, feed: Callable[[str], Path]
) -> None:
    sources = open_in_own_process("camera", feed(f"{BEGINNING}    {end}\n"), {})
    assert [packet.data for packet in read(sources[0], 1)] == [b"first"]
    if "sleep" in end:
        os.kill(pid_of(sources[0]), signal.SIGKILL)
    for source in sources:
        started = time.monotonic()
        with pytest.raises(DeviceError, match=says):
            source.read(100.0)
        assert time.monotonic() - started < 50
    close(sources)
    again = open_in_own_process("camera", feed(f"{BEGINNING}    time.sleep(60)\n"), {})
    assert [packet.data for packet in read(again[0], 1)] == [b"first"]
    close(again)


@pytest.mark.parametrize("sent_bytes", [0, 1, 25, 26, 27, 125])
def test_a_packet_in_whose_sending_the_sdk_dies_is_not_there(sent_bytes: int, feed: Callable[[str], Path]) -> None:
    """Its head of 26 bytes and its 100 bytes are sent one after the other."""
    whole = "fed_process.FRAME.pack(fed_process.MARK, fed_process.PACKET, 1, 9, 9, 100) + bytes(100)"
    text = f"{BEGINNING}    from devices.sdk import fed_process\n    out._file.write(({whole})[:{sent_bytes}])\n    os._exit(3)\n"
    sources = open_in_own_process("camera", feed(text), {})
    with pytest.raises(DeviceError, match="the process of its SDK ended with code 3"):
        pytest.fail(f"a packet of {len(sources[1].read(10.0)[0].data)} bytes")
    assert [packet.data for packet in read(sources[0], 1)] == [b"first"]
    close(sources)


def test_a_sensor_that_cannot_be_opened_says_why(feed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def feed(config, out):\n    raise RuntimeError('no camera; plug it in')\n"
    with pytest.raises(DeviceError, match=r"^camera: no camera; plug it in$"):
        open_in_own_process("camera", feed(text), {})
    with pytest.raises(DeviceError, match=r"camera: cannot start /no/python: .*correct 'python' in rig.toml"):
        open_in_own_process("camera", feed(text), {}, "/no/python")
    monkeypatch.setattr(own_process, "_START_S", 0.3)
    monkeypatch.setattr(own_process, "_END_S", 0.3)
    with pytest.raises(DeviceError, match="has not opened it within 0 s; unplug it"):
        open_in_own_process("camera", feed("def feed(config, out):\n    import time\n    time.sleep(60)\n"), {})


def test_the_process_ends_with_the_last_of_its_streams_even_when_it_hangs(
    feed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_process, "_END_S", 0.5)
    deaf = BEGINNING + "    import signal\n    os.close(0); out.packet(1, b'deaf', 1)\n    time.sleep(60)\n"
    sources = open_in_own_process("camera", feed(deaf), {})
    read(sources[1], 1)
    pid = pid_of(sources[0])
    sources[0].close()
    assert psutil.pid_exists(pid)
    sources[1].close()
    assert not psutil.pid_exists(pid)


def test_the_process_does_not_outlive_a_killed_recorder(feed: Callable[[str], Path]) -> None:
    script = (
        "import sys, time; from pathlib import Path; from devices.sdk.own_process import open_in_own_process\n"
        f"sources = open_in_own_process('camera', Path({str(feed(BEGINNING + '    time.sleep(60)'))!r}), {{}})\n"
        "print(sources[0]._process._process.pid, flush=True); time.sleep(60)\n"
    )
    recorder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert recorder.stdout is not None
    pid = int(recorder.stdout.readline())
    recorder.kill()
    recorder.wait()
    recorder.stdout.close()
    until = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_nobody_takes_is_counted_not_hoarded(feed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_WAITING_BYTES_MAX", 1000)
    text = (
        HELLO
        + "    for n in range(20):\n        out.packet(0, bytes(100), n)\n    out.packet(1, b'', 1)\n    time.sleep(60)\n"
    )
    sources = open_in_own_process("camera", feed(text), {})
    read(sources[1], 1)
    assert sources[0].lost == 10
    assert len(read(sources[0], 10)) == 10
    close(sources)


NOT_FRAMES = [
    ("out._file.write(b'[usb] stack overrun at 0x7f, retrying\\n')", r"b'\[usb\] stack overrun at 0x7' is no frame"),
    ("out._file.write(b'hm\\n'); out.packet(0, b'lost among them', 6)", "is no frame"),
    ("out._send(9, 0, 0, -1, b'')", "a frame of kind 9"),
    ("out._send(1, 7, 0, -1, b'of a stream that nobody named')", "list index out of range"),
    ("out._send(2, 0, 0, -1, b'many')", "invalid literal .*"),
    ("out._file.write(b'fdrg' + bytes(18) + bytes([255]) * 4)", "is no frame"),
]


@pytest.mark.parametrize(("sent", "says"), NOT_FRAMES)
def test_what_cannot_be_understood_ends_the_feed_with_the_reason_and_the_sensor_comes_back(
    sent: str, says: str, feed: Callable[[str], Path]
) -> None:
    sources = open_in_own_process("camera", feed(f"{BEGINNING}    {sent}\n    time.sleep(60)\n"), {})
    pid = pid_of(sources[0])
    assert [packet.data for packet in read(sources[0], 1)] == [b"first"]
    for source in sources:
        started = time.monotonic()
        with pytest.raises(
            DeviceError, match=rf"^camera: the process of its SDK sends what makes no sense: .*{says}; see"
        ):
            source.read(100.0)
        assert time.monotonic() - started < 50
    close(sources)
    assert not psutil.pid_exists(pid)
    again = open_in_own_process("camera", feed(f"{BEGINNING}    time.sleep(60)\n"), {})
    assert [packet.data for packet in read(again[0], 1)] == [b"first"]
    close(again)


def shell(tmp_path: Path, script: str) -> str:
    """A Python that is none."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


def test_a_python_that_prints_before_the_feed_begins_is_named_as_the_trouble(
    feed: Callable[[str], Path], tmp_path: Path
) -> None:
    """As a script does that activates an environment."""
    python = shell(tmp_path, f'echo "Activating the environment of the camera"\nexec {sys.executable} "$@"')
    started = time.monotonic()
    with pytest.raises(
        DeviceError, match=r"b'Activating the environment' is no frame; see that 'python' in rig.toml prints nothing"
    ):
        open_in_own_process("camera", feed(BEGINNING + "    time.sleep(60)\n"), {}, python)
    assert time.monotonic() - started < 10


def test_a_process_that_ends_before_all_listen_to_it_is_named_as_the_trouble(
    feed: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is busy: a thread runs long before the next one is started."""
    start = threading.Thread.start

    def start_and_be_held_up(thread: threading.Thread) -> None:
        start(thread)
        time.sleep(0.5)

    monkeypatch.setattr(threading.Thread, "start", start_and_be_held_up)
    with pytest.raises(DeviceError, match=r"the process of its SDK ended with code 2: .*no-such-option"):
        open_in_own_process("camera", feed(BEGINNING), {}, shell(tmp_path, "echo no-such-option >&2; exit 2"))


def test_gaps_in_a_sensors_own_count_are_losses_and_one_that_begins_anew_is_none(feed: Callable[[str], Path]) -> None:
    text = HELLO + (
        "    for number in (7, 8, 11, 0, 1, 3): out.packet(0, b'', None, number)\n"
        "    for series, number in ((1, 5), (2, 50), (1, 6), (2, 52)): out.packet(1, b'', None, number, series)\n"
        "    time.sleep(60)\n"
    )
    sources = open_in_own_process("camera", feed(text), {})
    read(sources[0], 6)
    read(sources[1], 4)
    assert [source.lost for source in sources] == [2 + 1, 1]
    close(sources)


@pytest.mark.parametrize("driver", ["oak", "realsense"])
def test_a_vendors_sdk_is_asked_what_cameras_it_sees(driver: str, environment: Callable[[str], Path]) -> None:
    asked = [
        environment("depth-cameras") / "python",
        "-I",
        fed_process.__file__,
        Path(own_process.__file__).with_name(f"{driver}_feed.py"),
    ]
    ran = subprocess.run([*asked, "--cameras"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "[]"), ran.stderr  # behind what the SDK prints itself


def test_cameras_that_a_feed_sees_are_listed_and_one_without_an_sdk_sees_none(feed: Callable[[str], Path]) -> None:
    found = connected(feed("def connected():\n    print('usb')\n    return {'77': ('Depth Camera', object())}\n"), 20.0)
    assert found == [{"name": "Depth Camera", "serial_number": "77"}]
    assert (
        connected(
            feed("from devices.sdk.fed_process import sdk\ndef connected():\n    sdk('no_such_sdk', 'x')\n"), 20.0
        )
        == []
    )


def test_one_camera_needs_no_serial_number_and_of_several_one_is_named() -> None:
    two = {"77": ("Left", "a"), "78": ("Right", "b")}
    assert fed_process.the_one("OAK", two, "78") == "b"
    assert fed_process.the_one("OAK", {"77": ("Left", "a")}, "") == "a"
    with pytest.raises(
        RuntimeError, match=r"2 OAK cameras are connected \(Left 77, Right 78\); give the serial number of one"
    ):
        fed_process.the_one("OAK", two, "")
    with pytest.raises(
        RuntimeError, match="no OAK camera with serial number 79; connected: Left 77, Right 78; check its plug"
    ):
        fed_process.the_one("OAK", two, "79")
