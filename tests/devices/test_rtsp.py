"""Against Debian's gst-rtsp-server, whose pictures carry their number and whose NAL units are hashed as they leave the encoder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.access_unit import Codec, nal_units
from devices.device import ClockSource
from devices.errors import DeviceError
from devices.rtsp import DRIVER, RtspConfig, RtspSource
from devices.samples import Image, Packet
from tests.conftest import MISSING_PACKAGE

WIDTH, BLOCK = 256, 16  # as the peer draws them
PEER = Path(__file__).with_name("rtsp_server_peer.py")
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad,ugly}"


class Server:
    """A running peer, and what it says that it sent."""

    def __init__(self, python: Path, folder: Path, codec: str, port: int, options: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        words = [python, "-I", PEER, str(port), codec, folder, *options]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def pictures(self) -> list[dict]:
        lines = (self.folder / "frames.jsonl").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def dropped(self) -> int:
        return int((self.folder / "dropped").read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def peer_python() -> Path:
    """The system's Python with its GStreamer, complete enough for the peer."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    check = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
    check += "; from gi.repository import Gst; Gst.init(None)"
    check += "; assert all(map(Gst.ElementFactory.find, 'appsrc x264enc x265enc h265parse rtph264pay rtpbin'.split()))"
    if python is None or subprocess.run([python, "-I", "-c", check], capture_output=True).returncode:
        pytest.skip(f"{MISSING_PACKAGE} {PACKAGES}")
    return Path(python)


@pytest.fixture
def serve(peer_python: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(codec: str = "h264", *options: str, port: int = 0) -> Server:
        started.append(Server(peer_python, tmp_path / f"server{len(started)}", codec, port, list(options)))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def opened(url: str, transport: str = "tcp") -> RtspSource:
    (source,) = DRIVER.open("camera", RtspConfig(url=url, transport=transport))
    return source


def read(source: RtspSource, enough: Callable[[list[Packet]], bool], timeout_s: float = 15.0) -> list[Packet]:
    packets: list[Packet] = []
    until = time.monotonic() + timeout_s
    while not enough(packets):
        assert time.monotonic() < until, f"{len(packets)} pictures came"
        packets += source.read(0.1)
    return packets


def until_gone(source: RtspSource) -> list[Packet]:
    packets: list[Packet] = []
    said = ""
    while not said:
        try:
            packets += source.read(0.1)
        except DeviceError as error:
            said = str(error)
    assert re.fullmatch(r"camera/image: rtsp://127\.0\.0\.1:\d+/camera is gone: .* still up\?", said)
    return packets


def decoded(source: RtspSource, packets: list[Packet]) -> list[Image]:
    decoder = DRIVER.decoder(source.stream)
    return [*[image for packet in packets for image in decoder.decode(packet)], *decoder.flush()]


def number_of(image: Image) -> int:
    """The number that the peer drew, read off its blocks; raises when a block is neither black nor white."""
    blocks = image.pixels.reshape(image.pixels.shape[0], WIDTH // BLOCK, BLOCK, 3).mean(axis=(0, 2, 3))
    assert np.all((blocks < 30) | (blocks > 225)), blocks
    return sum(1 << bit for bit, level in enumerate(blocks) if level > 128)


def hashes(source: RtspSource, packet: Packet) -> list[str]:
    """Of the picture's own NAL units; delimiters and parameter sets may be sent anew or left out by whoever streams."""
    codec = Codec(source.stream.encoding)
    return [hashlib.sha256(nal).hexdigest() for nal in nal_units(packet.data) if codec.is_picture(nal)]


@pytest.mark.parametrize(
    ("codec", "transport"), [("h264", "tcp"), ("h264", "udp"), ("h265", "tcp"), ("h265", "udp")]
)  # fmt: skip
def test_every_picture_is_recorded_as_sent_and_stamped_with_the_cameras_time(
    codec: str, transport: str, serve: Callable[..., Server]
) -> None:
    server = serve(codec)
    source = opened(server.url, transport)
    assert source.stream.encoding == codec
    assert source.clock_source is ClockSource.NONE
    packets = read(source, lambda found: len(found) >= 30 and sum(p.stamps.device_ns is not None for p in found) >= 15)
    assert source.lost == 0
    assert source.clock_source is ClockSource.RTCP
    source.close()

    sent = server.pictures()
    kinds = [set(picture["nals"]) for picture in sent]
    for number, packet in enumerate(packets):
        found = hashes(source, packet)
        assert found
        assert set(found) <= kinds[number], f"picture {number} is not what the server sent"
    images = decoded(source, packets)
    assert [number_of(image) for image in images] == list(range(len(packets)))
    assert [image.t_ns for image in images] == [packet.stamps.own_ns for packet in packets]
    stamped = [(n, p.stamps.device_ns) for n, p in enumerate(packets) if p.stamps.device_ns is not None]
    errors_ms = [abs(device_ns - sent[number]["taken_ns"]) / 1e6 for number, device_ns in stamped]
    assert statistics.median(errors_ms) < 20
    assert all(packet.stamps.host_ns > sent[number]["taken_ns"] for number, packet in enumerate(packets))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_packets_lost_on_the_way_are_counted_one_by_one_and_no_smeared_picture_is_given(
    codec: str, serve: Callable[..., Server]
) -> None:
    server = serve(codec, "--drop-every", "14", "--frames", "75")  # the last ones come through
    source = opened(server.url, "udp")
    packets = until_gone(source)
    assert source.lost == server.dropped() > 0
    source.close()
    decoder = DRIVER.decoder(source.stream)
    images = [image for packet in packets for image in decoder.decode(packet)]
    images += decoder.flush()
    numbers = [number_of(image) for image in images]
    assert numbers == sorted(set(numbers))
    assert numbers[:14] == list(range(14))
    assert len(images) + sum(decoder.rejected.values()) == len(packets)
    assert 20 < len(numbers) < len(packets) < 75


def test_a_killed_camera_is_gone_at_once_and_comes_back_when_it_is_opened_again(serve: Callable[..., Server]) -> None:
    server = serve()
    source = opened(server.url)
    read(source, lambda found: len(found) > 5)
    server.kill()
    started = time.monotonic()
    until_gone(source)
    assert time.monotonic() - started < 5
    source.close()
    with pytest.raises(DeviceError, match=r"camera/image: no camera at rtsp://.*refused; check the address"):
        opened(server.url)
    again = opened(serve("h264", port=server.port).url)
    packets = read(again, lambda found: len(found) > 5)
    again.close()
    assert [number_of(image) for image in decoded(again, packets)] == list(range(len(packets)))


def test_a_camera_that_falls_silent_is_gone(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.rtsp._SILENCE_S", 0.5)
    server = serve()
    source = opened(server.url)
    read(source, lambda found: len(found) > 5)
    os.kill(server.process.pid, signal.SIGSTOP)
    until_gone(source)
    source.close()


@pytest.mark.parametrize("kind", [[], ["--basic"]])
def test_a_password_is_asked_for_and_a_wrong_one_is_told(kind: list[str], serve: Callable[..., Server]) -> None:
    server = serve("h264", "--user", "crew", "--password", "a b:c", *kind)
    source = opened(server.url.replace("//", "//crew:a%20b%3Ac@"))
    read(source, lambda found: len(found) > 2)
    source.close()
    for wrong in ("//crew:guess@", "//"):
        with pytest.raises(
            DeviceError, match=r"rtsp://127.0.0.1:\d+/camera does not stream: it answers '401 .*password"
        ):
            opened(server.url.replace("//", wrong))


def test_an_address_at_which_nothing_is_streamed_is_told(serve: Callable[..., Server]) -> None:
    server = serve()
    with pytest.raises(DeviceError, match=r"/nothing does not stream: it answers '404 Not Found' to DESCRIBE"):
        opened(server.url.replace("/camera", "/nothing"))
