"""The page's process in front of a recorder, for tests; and what it is asked over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from capture.control.server import ControlServer
from capture.dashboard.addresses import TOKEN_VARIABLE
from capture.recorder_state import EpisodeState, RecorderState, StreamState
from capture.workspace import Workspace
from tests.capture.stated_recorder import StatedRecorder

RIG = """
name = "van"
[sensors.camera_left]
driver = "mjpeg"
url = "http://127.0.0.1:1/stream"
rate_hz = 10
[sensors.lidar]
driver = "kitti"
folder = "nowhere"
[sensors.robot]
driver = "named_vector"
ports = { state = 9001 }
"""
CAMERA, LIDAR, ROBOT = "camera_left/image", "lidar/points", "robot/state"


def standby(**changes: Any) -> RecorderState:
    """A recorder whose three sensors are well."""
    well = {"received": 100, "silent_s": 0.05, "rate_hz": 10.0, "jitter_ms": 1.2}
    state: dict[str, Any] = {
        "mode": "standby",
        "rig": "van",
        "streams": (
            StreamState(CAMERA, "jpeg", **well),
            StreamState(LIDAR, "xyzi.f32", clock_offset_ms=0.127, clock_sigma_ms=0.004, clock_source="ptp", **well),
            StreamState(ROBOT, "vector.json", **well),
        ),
        "queue_bound_bytes": 1 << 28,
        "free_bytes": 412_000_000_000,
        "disk_left_s": 20_500.0,
        "operator": "Ann",
        "site": "yard",
        "task": "pick up the cup",
        "episode": EpisodeState(done={"success": 11}),
    }
    return RecorderState(**(state | changes))


def camera_jpeg(width: int = 1280, height: int = 720) -> bytes:
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 90)], axis=-1).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())


def wall_points() -> bytes:
    """xyzi.f32: the ground around the lidar, and a wall 10 m ahead."""
    rng = np.random.default_rng(1)
    ground = np.column_stack([rng.uniform(-15, 15, (4000, 2)), np.full(4000, -1.7)])
    wall = np.column_stack([np.full(2000, 10.0), rng.uniform(-5, 5, 2000), rng.uniform(-1.7, 1.0, 2000)])
    points = np.vstack([ground, wall])
    return np.column_stack([points, np.ones(len(points))]).astype("<f4").tobytes()


def vector_line() -> bytes:
    return json.dumps({"t_ns": 1, "topic": "state", "names": ["speed_m_s"], "values": [1.25]}).encode() + b"\n"


@dataclass(frozen=True)
class Served:
    """A page that is being served. said: what the recorder behind it says and was asked."""

    process: subprocess.Popen[bytes]
    url: str
    said: StatedRecorder
    control: ControlServer
    browser: httpx.Client

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.browser.get(self.url + path, headers=headers)

    def do(self, action: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.browser.post(f"{self.url}do/{action}", json=body or {}, headers=headers)

    def view(self) -> dict[str, Any]:
        """The next state that the page would show."""
        with self.browser.stream("GET", self.url + "events") as events:
            line = next(line for line in events.iter_lines() if line.startswith("data: "))
        found: dict[str, Any] = json.loads(line.removeprefix("data: "))
        return found


@contextmanager
def served(folder: Path, arguments: Sequence[str] = (), token: str = "") -> Iterator[Served]:
    """A stated recorder, its control server, and the page's process in front of it."""
    said = StatedRecorder(standby(), {CAMERA: [camera_jpeg()], LIDAR: [wall_points()], ROBOT: [vector_line()]})
    control = ControlServer(said, Workspace(folder), "van")
    try:
        with page_process(folder, arguments, token) as (process, url), httpx.Client(timeout=60) as browser:
            yield Served(process, url, said, control, browser)
    finally:
        control.close()


@contextmanager
def page_process(
    folder: Path, arguments: Sequence[str] = (), token: str = "", rig: str = RIG
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``python -m capture.dashboard`` and its address."""
    path = folder / "rig.toml"
    path.write_text(rig, encoding="utf-8")
    command = [sys.executable, "-m", "capture.dashboard", str(folder), str(path), "--port", "0", "--silent", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": "", TOKEN_VARIABLE: token}
    )
    with process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield process, f"http://127.0.0.1:{port}/"
        finally:
            process.kill()
