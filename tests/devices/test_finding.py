"""Sensors found, named, shown and written down."""

from __future__ import annotations

import io
import math
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from rich.console import Console

import devices.finding
from devices.cameras.contact_sheet import contact_sheet, half_blocks
from devices.cameras.thumbnail import SIZE_PX, Thumbnail, birds_eye, framed, thumbnail
from devices.device import Found, driver, drivers
from devices.errors import DeviceError
from devices.finding import default_names, find_sensors, kind_of
from devices.rig import rig_from_dict
from devices.rig_writer import NamedSensor, rig_toml, toml_value
from devices.sensor_words import sensor_from_words
from tests.devices.builders import Camera, velodyne_packet

# finding


def installed(monkeypatch: pytest.MonkeyPatch, finds: Mapping[str, Callable[[float], Sequence[Found]]]) -> None:
    """These drivers, and no others."""
    monkeypatch.setattr(devices.finding, "drivers", lambda: finds)
    monkeypatch.setattr(
        devices.finding, "driver", lambda name: SimpleNamespace(find=finds[name], sought=f"{name} sensors")
    )


def test_every_driver_is_asked_one_after_the_other_and_one_that_fails_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float]] = []

    def find(name: str, answer: Sequence[Found] | Exception) -> Callable[[float], Sequence[Found]]:
        def answered(timeout_s: float) -> Sequence[Found]:
            asked.append((name, timeout_s))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered

    one = Found("c", "C 1", {"serial": "1"})
    installed(monkeypatch, {
        "c": find("c", [one]), "a": find("a", DeviceError("no permission")), "b": find("b", ImportError("no depthai")),
    })  # fmt: skip
    seen = find_sensors(0.3)
    assert asked == [("a", 0.3), ("b", 0.3), ("c", 0.3)]
    assert seen.found == [one]
    assert seen.failed == {"a": "no permission", "b": "ImportError: no depthai"}
    assert seen.sought == ["c sensors"]


def test_the_installed_drivers_can_all_be_asked() -> None:
    told: list[str] = []
    seen = find_sensors(0.02, lambda what, _share: told.append(what))
    assert told == [f"looking for {name} sensors" for name in sorted(drivers())]
    for found in seen.found:
        assert found.driver in drivers()


def test_what_is_looked_for_is_told_by_every_driver_that_looks() -> None:
    told = {name: driver(name).sought for name in sorted(drivers())}
    assert told["uvc"] == "USB cameras"
    for name in (name for name, sought in told.items() if not sought):
        assert driver(name).find(60.0) == (), "at once: it cannot look"
    assert find_sensors(0.02).sought == [sought for sought in told.values() if sought]


def test_sensors_are_named_by_what_they_give() -> None:
    assert [kind_of(name) for name in ("velodyne", "mjpeg", "named_vector", "marks")] == [
        "lidar", "camera", "robot", "operator",
    ]  # fmt: skip
    assert default_names(["velodyne", "mjpeg", "mjpeg"]) == ["lidar", "camera_1", "camera_2"]
    assert default_names(["mjpeg"], taken=["camera", "camera_1"]) == ["camera_2"]
    assert default_names(["mjpeg", "mjpeg"], taken=["camera_1"]) == ["camera_2", "camera_3"]


# rig.toml

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
def test_any_value_that_toml_knows_comes_back_from_toml(value: Any) -> None:
    again = tomllib.loads(f"value = {toml_value(value)}")["value"]
    assert again == value or repr(again) == repr(value), "NaN is not equal to itself"


def test_a_value_that_toml_does_not_know_is_told() -> None:
    with pytest.raises(DeviceError, match=r"a NoneType \(None\) cannot stand in rig.toml"):
        toml_value(None)


def test_a_written_rig_loads_with_the_sensors_that_were_found() -> None:
    lidar = Found("velodyne", "VLP-16\nat 192.168.1.201", {"model": "VLP-16", "port": 2369})
    robot = Found("named_vector", "", {"ports": {"state": 9001, "action": 9002}})
    text = rig_toml("van", [NamedSensor("lidar", lidar), NamedSensor("robot", robot)], vehicle='a "van"')
    rig = rig_from_dict(tomllib.loads(text))
    assert (rig.name, rig.vehicle, list(rig.sensors)) == ("van", 'a "van"', ["lidar", "robot"])
    assert rig.sensors["lidar"].own == {"model": "VLP-16", "port": 2369}
    assert rig.sensors["robot"].own == robot.config
    assert "# VLP-16 at 192.168.1.201\n[sensors.lidar]" in text
    assert text.count("# mounting = {") == 1, "a robot is not placed"
    uncommented = text.replace("# mounting", "mounting")
    mounting = rig_from_dict(tomllib.loads(uncommented)).sensors["lidar"].mounting
    assert mounting is not None
    assert mounting.xyz_m == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "sensor", "config", "says"),
    [
        ("My Van", "camera", {"url": "http://x/"}, "use lower case letters"),
        ("van", "front camera", {"url": "http://x/"}, "sensors.front camera: use letters, digits and underscore"),
        ("van", "camera", {"url": "rtsp://x/"}, "give an address like http://"),
        ("van", "camera", {"url": "http://x/", "colour": 1}, "unknown key 'colour'"),
    ],
)
def test_what_would_not_load_is_not_written(name: str, sensor: str, config: dict[str, Any], says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        rig_toml(name, [NamedSensor(sensor, Found("mjpeg", "", config))])


@pytest.mark.parametrize(
    ("words", "name", "config"),
    [
        ("mjpeg url=http://192.168.1.31:8080/a?b=c", "", {"url": "http://192.168.1.31:8080/a?b=c"}),
        ("mjpeg url=http://x/ name=camera_front", "camera_front", {"url": "http://x/"}),
        ("mjpeg name=front url=http://x/", "front", {"url": "http://x/"}),
        ("marks port=9003", "", {"port": 9003}),
        ("named_vector ports={ state = 9001, action=9002 } host=127.0.0.1", "",
         {"ports": {"state": 9001, "action": 9002}, "host": "127.0.0.1"}),
        ('kitti folder="a drive" pace=false', "", {"folder": "a drive", "pace": False}),
    ],
)  # fmt: skip
def test_a_sensor_can_be_named_in_one_line(words: str, name: str, config: dict[str, Any]) -> None:
    assert sensor_from_words(words) == (name, Found(words.split(maxsplit=1)[0], "", config))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "no driver called ''; choose one of"),
        ("sonar port=1", "no driver called 'sonar'; choose one of"),
        ("mjpeg", "no key 'url'"),
        ("mjpeg http://x/", "'http://x/' is no KEY=VALUE; write it like: mjpeg url=http://"),
        ("mjpeg url=http://x/ colour=red", "unknown key 'colour'"),
        ("marks port=99999", "'port': .*99999"),
    ],
)
def test_a_line_that_names_no_sensor_is_told_what_is_wrong(words: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says) as raised:
        sensor_from_words(words)
    assert "\n" not in str(raised.value)


@given(st.text(max_size=60))
def test_a_line_names_a_camera_that_can_be_opened_or_raises_a_device_error(rest: str) -> None:
    with suppress(DeviceError):
        _, found = sensor_from_words(f"mjpeg {rest}")
        assert found.driver == "mjpeg"
        assert driver("mjpeg").config.model_validate(dict(found.config))


# pictures


def test_a_camera_is_shown_whole_and_its_connection_is_closed() -> None:
    red = np.zeros((100, 400, 3), dtype=np.uint8)
    red[..., 2] = 250  # BGR
    part = b"--frame\r\n\r\n" + cv2.imencode(".jpg", red)[1].tobytes() + b"\r\n"
    ended = threading.Event()

    def answer(send: Callable[[bytes], None]) -> None:
        try:
            while True:
                send(part)
                time.sleep(0.02)
        except OSError:
            ended.set()

    with Camera(answer) as camera:
        shown = thumbnail(Found("mjpeg", "", {"url": camera.url}), timeout_s=60.0)
        assert ended.wait(60.0), "a second connection may be one too many for a camera"
    assert shown.pixels is not None
    assert shown.pixels.shape == (SIZE_PX[1], SIZE_PX[0], 3)
    assert shown.pixels[120, 160, 0] > 240
    assert shown.pixels[120, 160, 1:].max() < 20
    assert shown.pixels[:75].max() < 40, "a margin above and below"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Found("mjpeg", "", {"url": "http://127.0.0.1:1/"}), "no camera at http://127.0.0.1:1/"),
        (Found("mjpeg", "", {}), "1 validation error"),
        (Found("named_vector", "", {"ports": {"state": 0}}), "this sensor gives no pictures"),
        (Found("velodyne", "", {"model": "VLP-16", "port": 0, "position_port": 0}), "no picture came in"),
    ],
)
def test_where_there_is_no_picture_there_is_the_reason(found: Found, why: str) -> None:
    shown = thumbnail(found, timeout_s=0.3)
    assert shown.pixels is None
    assert why in shown.why


def test_a_lidar_is_shown_from_above_by_its_first_whole_turn() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = threading.Event()

    def turn() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            number = 0
            while not stop.wait(0.0005):
                azimuth = number * 12 * 150 % 36000  # 1.5 degrees a block: 20 packets a turn
                out.sendto(velodyne_packet(number * 1327, azimuth, step=150), ("127.0.0.1", port))
                number += 1

    sender = threading.Thread(target=turn)
    sender.start()
    try:
        found = Found("velodyne", "", {"model": "VLP-16", "port": port, "position_port": 0, "host": "127.0.0.1"})
        shown = thumbnail(found, timeout_s=60.0)
    finally:
        stop.set()
        sender.join()
    assert shown.pixels is not None, shown.why
    coloured = (shown.pixels.astype(int).max(axis=2) - shown.pixels.astype(int).min(axis=2)) > 30
    v, u = np.nonzero(coloured)
    radius_px = np.hypot(u - 160, v - 120)
    assert len(u) > 100
    assert abs(np.median(radius_px) - 10.0 * 6) < 3, "everything is 10 m away, and a metre is 6 pixels"


def test_from_above_x_is_up_and_y_is_left_and_what_is_no_point_is_left_out() -> None:
    points = np.array([[15, 0, 0], [0, 10, 0], [500, 0, 0], [math.nan, 0, 0]], dtype=np.float32)
    seen = birds_eye(points)
    coloured = {
        (int(v), int(u)) for v, u in np.argwhere(seen.max(axis=2) > 100) if abs(v - 120) > 5 or abs(u - 160) > 5
    }
    assert coloured == {(120 - 90, 160), (120, 160 - 60)}


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (3000, 2), (240, 320), (2160, 3840)])
def test_pictures_of_any_shape_fit_the_frame(shape: tuple[int, int]) -> None:
    assert framed(np.full((*shape, 3), 200, dtype=np.uint8)).shape == (SIZE_PX[1], SIZE_PX[0], 3)


def test_a_contact_sheet_holds_every_picture_and_says_why_one_is_missing() -> None:
    blue = np.zeros((SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)
    blue[..., 2] = 255
    pictures = [
        Thumbnail(blue),
        Thumbnail(None, "no camera at http://x: " + "refused " * 60),
        Thumbnail(blue),
        Thumbnail(blue),
    ]
    sheet = np.asarray(Picture.open(io.BytesIO(contact_sheet(pictures, ["a", "b", "Küche", "d" * 200]))))
    assert sheet.shape[1] == 3 * (SIZE_PX[0] + 10) + 10
    is_blue = (sheet == (0, 0, 255)).all(axis=2)
    assert abs(int(is_blue.sum()) - 3 * SIZE_PX[0] * SIZE_PX[1]) < 100
    assert contact_sheet([], []).startswith(b"\x89PNG")


def test_a_terminal_shows_two_pixels_a_letter() -> None:
    halves = np.zeros((40, 40, 3), dtype=np.uint8)
    halves[20:, :, 1] = 255
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="truecolor", width=80).print(half_blocks(halves, 10), end="")
    lines = file.getvalue().splitlines()
    assert [line.count("▀") for line in lines if "▀" in line] == [10] * 5
    assert "38;2;0;0;0" in lines[0]
    assert "38;2;0;255;0" in lines[4]
    assert "38;2;0;0;0;48;2;0;255;0" in lines[2] or "38;2;0;255;0" in lines[2]
