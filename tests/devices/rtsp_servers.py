"""Debian's gst-rtsp-server, started and killed for a test."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.samples import Image
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


def number_of(image: Image) -> int:
    """The number that the peer drew, read off its blocks; raises when a block is neither black nor white."""
    blocks = image.pixels.reshape(image.pixels.shape[0], WIDTH // BLOCK, BLOCK, 3).mean(axis=(0, 2, 3))
    assert np.all((blocks < 30) | (blocks > 225)), blocks
    return sum(1 << bit for bit, level in enumerate(blocks) if level > 128)
