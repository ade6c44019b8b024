import json
from pathlib import Path

import numpy as np
import pytest

from devices.errors import DeviceError
from devices.named_vector import NamedVectorConfig
from devices.rig import Rig, load_rig, rig_from_dict
from devices.rig_check import DICTIONARIES

GOOD = """
name = "van"
vehicle = "robot"

[board]
squares = [8, 6]
square_m = 0.1
marker_m = 0.075

[sensors.robot]
driver = "named_vector"
least_latency_ms = 1.25
mounting = { xyz_m = [1, 2, 3], rpy_deg = [0, 0, 90] }
ports = { state = 9001 }

[sensors.camera]
driver = "mjpeg"
url = "http://127.0.0.1:1/stream"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rig.toml"
    path.write_text(text)
    return path


def test_a_rig_says_what_its_file_says(tmp_path: Path) -> None:
    rig = load_rig(written(tmp_path, GOOD))
    assert (rig.name, rig.vehicle, list(rig.sensors)) == ("van", "robot", ["robot", "camera"])
    assert rig.board is not None
    assert rig.board.squares == (8, 6)
    assert rig.board.dictionary == "DICT_5X5_100"
    robot = rig.sensors["robot"]
    assert robot.least_latency_ns == 1_250_000
    assert robot.config() == NamedVectorConfig(ports={"state": 9001})
    rig_from_robot = robot.mounting.rig_from("robot")
    np.testing.assert_allclose(rig_from_robot.apply([1, 0, 0]), [1, 3, 3], atol=1e-12)
    assert rig.sensors["camera"].mounting is None


def test_a_rate_belongs_to_the_rig_and_to_a_driver_that_has_such_a_key_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace("least_latency_ms = 1.25", "rate_hz = 50")
    rig = load_rig(
        written(tmp_path, text + 'rate_hz = 30\n[sensors.drive]\ndriver = "kitti"\nfolder = "d"\nrate_hz = 5')
    )
    assert {name: sensor.rate_hz for name, sensor in rig.sensors.items()} == {"robot": 50, "camera": 30, "drive": 5}
    assert rig.sensors["robot"].config() == NamedVectorConfig(ports={"state": 9001})
    assert rig.sensors["drive"].config().model_dump()["rate_hz"] == 5
    assert load_rig(written(tmp_path, GOOD)).sensors["robot"].rate_hz is None


def test_a_missing_file_says_so_and_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"no rig file at .*gone\.toml; give the path of a rig\.toml"):
        load_rig(tmp_path / "gone.toml")


def test_a_folder_in_its_place_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot read the rig file"):
        load_rig(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ?\n", "not valid TOML: .*line 1"),
        ('name = "van"', r"a rig needs at least one \[sensors\.NAME\] table"),
        ('name = "van"\nsensors = 3', r"a rig needs at least one \[sensors\.NAME\] table"),
        (GOOD.replace("sensors.camera", 'sensors."my cam"'), "sensors.my cam: use letters, digits and underscore"),
        (GOOD.replace("vehicle", "vehikel"), "unknown key 'vehikel'; docs/FORMATS.md"),
        (GOOD.replace("square_m", "square_cm"), "unknown key 'board.square_cm', no key 'board.square_m'; docs"),
        (GOOD.replace("url =", "adress ="), "sensors.camera: unknown key 'adress', no key 'url'; docs"),
        (GOOD + 'colour = "red"', "sensors.camera: unknown key 'colour'; docs/FORMATS.md"),
        (GOOD.replace('"mjpeg"', '"mpeg"'), "no driver called 'mpeg'; choose one of: euroc, gnss, gopro"),
        (GOOD.replace('driver = "mjpeg"', ""), "sensors.camera: say which driver it speaks by"),
        (GOOD.replace("least_latency_ms = 1.25", "least_latency_ms = -1"), r"sensors.robot: 'least_latency_ms'.*-1"),
        (
            GOOD.replace("least_latency_ms = 1.25", "rate_hz = 0"),
            r"sensors.robot: 'rate_hz': .*greater than 0 \(it says 0\)",
        ),
        (GOOD.replace("[1, 2, 3]", "[1, 2]"), "sensors.robot: 'mounting.xyz_m"),
        (GOOD.replace("9001", "70000"), r"sensors.robot: 'ports\.state'.*70000"),
        (
            GOOD.replace("http://127.0.0.1:1/stream", "rtsp://cam"),
            "sensors.camera: 'url'.*give an address like http://",
        ),
        (GOOD.replace('name = "van"', 'name = "My Van!"'), r"'name': use lower case letters.*My Van!"),
        (GOOD.replace('name = "van"', ""), r"no key 'name'; docs/FORMATS.md lists the keys$"),
        (GOOD.replace("= 1.25", "= true"), r"sensors.robot: 'least_latency_ms': give a number, without quotes"),
        (GOOD.replace("= 1.25", '= "21"'), r"'least_latency_ms': give a number, without quotes \(it says '21'\)$"),
        (GOOD.replace("9001", '"9001"'), r"sensors.robot: 'ports': give a number, without quotes"),
        (GOOD.replace("[1, 2, 3]", '["1", 2, 3]'), r"'mounting.xyz_m': give a number, without quotes"),
        (GOOD.replace("0.1\n", '"0.1"\n'), r"'board.square_m': give a number, without quotes"),
        (GOOD.replace("[8, 6]", "[8, true]"), r"'board.squares': give a number, without quotes"),
        (GOOD + '[sensors.k]\ndriver = "kitti"\nfolder = "d"\npace = 1', r"sensors.k: 'pace': give true or false"),
        (
            GOOD.replace("0.075", '0.075\ndictionary = "DICT_4X4_51"'),
            r"'board.dictionary': OpenCV has no 'DICT_4X4_51'; it has: DICT_4X4_50, ",
        ),
        (
            GOOD.replace("0.075", "0.84"),
            r"'board.marker_m': a marker lies inside its square, so it cannot be 0.84 m wide in a square of 0.1 m; measure",
        ),
        (
            GOOD.replace("[1, 2, 3]", "[1, -306, 3]"),
            r"sensors.robot: 'mounting.xyz_m': 306 m away from the rig's origin; it is given in metres \(.*: 0.306\)",
        ),
        (
            GOOD + '[sensors.right]\ndriver = "mjpeg"\nurl = "http://127.0.0.1:1/stream"',
            "sensors.camera and sensors.right have the same url; give each camera its own",
        ),
        (
            GOOD + '[sensors.lidar]\ndriver = "velodyne"\nmodel = "VLP16"',
            r"sensors.lidar: 'model': input should be 'VLP-16'",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_with_file_key_and_choices(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DeviceError, match=says) as raised:
        load_rig(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_the_mark_that_windows_editors_put_before_a_file_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_rig(path) == load_rig(written(tmp_path, GOOD))


def test_the_boards_that_may_be_named_are_those_that_opencv_has() -> None:
    import cv2

    assert set(DICTIONARIES) == {name for name in dir(cv2.aruco) if name.startswith("DICT_")}


def test_a_recording_of_a_rig_that_would_be_refused_today_is_read_all_the_same() -> None:
    rig = Rig.model_validate_json(
        '{"name": "van", "board": {"squares": [8, 6], "square_m": 0.12, "marker_m": 0.84, "dictionary": "DICT_4X4_51"}, "sensors":'
        ' {"a": {"name": "a", "driver": "mjpeg", "mounting": {"xyz_m": [306, 0, 0]}, "own": {"url": "http://c/"}}}}'
    )
    assert rig.sensors["a"].mounting is not None


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeviceError, match="cannot read the rig file"):
        load_rig(path)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("rtsp://crew:a:b@c%40@10.0.0.5:554/s?x=@1", "rtsp://crew:***@10.0.0.5:554/s?x=@1"),
        ("rtsp://:only@cam/s", "rtsp://:***@cam/s"),
        ("rtsp://crew@cam:554/s@2", "rtsp://crew@cam:554/s@2"),
        ("rtsp://cam:554/a:b@c", "rtsp://cam:554/a:b@c"),
    ],
)
def test_a_cameras_password_is_used_but_not_written_into_recordings(url: str, kept: str) -> None:
    rig = rig_from_dict({"name": "gate", "sensors": {"left": {"driver": "rtsp", "url": url}}})
    assert rig.sensors["left"].config().model_dump()["url"] == url
    written = rig.model_dump_json()
    assert json.loads(written)["sensors"]["left"]["own"] == {"url": kept}
    assert Rig.model_validate_json(written).sensors["left"].config().model_dump()["url"] == kept
