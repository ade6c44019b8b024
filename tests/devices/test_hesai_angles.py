"""Where the angles of a Hesai's beams come from: files, the lidar itself, the manual."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devices.device import Stream
from devices.errors import DeviceError
from devices.hesai.angles import angles_text, fetch_angles, nominal_angles, read_angles
from devices.hesai.driver import DRIVER, HesaiConfig
from tests.devices.hesai_packets import angles_csv


@pytest.mark.parametrize(
    "text",
    [
        "Channel,Elevation,Azimuth\n1,15.5,-0.1\n2,-3,0.2\n",
        "\ufeffLaser id,Elevation,Azimuth\r\n1,15.5,-0.1\r\n2,-3,0.2\r\n",
        "EEFF,1,1\nLaser Num,2,Block Num,2\nChannel,Elevation,Azimuth\n1,15.5,-0.1\n2,-3,0.2\n9f86d081884c7d65\n",
        "Laser id,Azimuth,Elevation\n1,-0.1,15.5\n2,0.2,-3\n",
    ],
)
def test_every_form_of_the_calibration_file_is_read(text: str) -> None:
    assert read_angles(text).tolist() == [[15.5, -0.1], [-3.0, 0.2]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no line that names the columns Elevation and Azimuth"),
        ("Channel,Elevation,Azimuth\n", "does not count its channels from 1 up; line 2 ends"),
        ("Channel,Elevation,Azimuth\n1,2,3\n3,2,3\n", "does not count its channels from 1 up; line 4 ends"),
        ("Channel,Elevation,Azimuth\n1,nan,3\n", "an angle beyond"),
        ("Channel,Elevation,Azimuth\n1,91,3\n", "an angle beyond 90 degrees of elevation"),
    ],
)
def test_a_calibration_that_cannot_be_right_says_why(text: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        read_angles(text)


def test_beams_of_an_xt_are_known_by_the_manual_and_those_of_others_must_be_given(tmp_path: Path) -> None:
    assert [read_angles(nominal_angles(model) or "")[[0, -1], 0].tolist() for model in ("XT16", "XT32", "XT32M")] == [
        [15, -15], [15, -16], [19.5, -20.8],
    ]  # fmt: skip
    for model in ("QT128", None):
        with pytest.raises(DeviceError, match=r'lidar: where the beams .* give angles = "tcp://ADDRESS"'):
            DRIVER.open("lidar", HesaiConfig(model=model, port=0))
    (tmp_path / "unit.csv").write_text(angles_csv("XT32"))
    with pytest.raises(DeviceError, match="has 32 channels where a QT128 has 128; give that lidar's own"):
        DRIVER.open("lidar", HesaiConfig(model="QT128", angles=str(tmp_path / "unit.csv"), port=0))
    with pytest.raises(DeviceError, match=r"cannot read the Hesai calibration .*gone\.csv"):
        angles_text(str(tmp_path / "gone.csv"))


@contextmanager
def lidar_that_answers(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The lidar's command port: takes one request, gives the answer in two pieces, and hangs up."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                asked.append(connection.recv(100))
                connection.sendall(answer[:5])
                connection.sendall(answer[5:])

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join()


def test_the_calibration_comes_out_of_the_lidar_and_goes_into_the_recording() -> None:
    text = angles_csv("QT128")
    reply = b"\x47\x74\x05\x00" + struct.pack(">I", len(text)) + text.encode()
    with lidar_that_answers(reply) as (port, asked):
        (source,) = DRIVER.open("lidar", HesaiConfig(model="QT128", angles=f"tcp://127.0.0.1:{port}", port=0))
        source.close()
    assert asked == [bytes.fromhex("4774050000000000")]
    assert json.loads(source.stream.description) == {"model": "QT128", "cut_deg": 0.0, "angles": text}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "closed the connection after 0 of 8 B"),
        (bytes.fromhex("4774050100000000"), "gives no calibration: it answers 4774050100000000"),
        (bytes.fromhex("47740500ffffffff"), "gives no calibration"),
        (bytes.fromhex("4774050000000010") + b"short", "closed the connection after 5 of 16 B"),
    ],
)
def test_a_lidar_that_gives_no_calibration_is_said(answer: bytes, says: str) -> None:
    with lidar_that_answers(answer) as (port, _), pytest.raises(DeviceError, match=says):
        fetch_angles("127.0.0.1", port)


def test_a_lidar_that_is_not_there_is_said() -> None:
    with pytest.raises(DeviceError, match=r"no Hesai calibration at 127\.0\.0\.1:1: .*is the lidar powered"):
        angles_text("tcp://127.0.0.1:1")
    with pytest.raises(DeviceError, match="is no address of a lidar"):
        angles_text("tcp://127.0.0.1:x")


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ("", "holds no Hesai model and angles"),
        ("[" * 5000, "holds no Hesai model and angles"),
        ('{"model": "XT32", "cut_deg": 0, "angles": ""}', "names the columns Elevation"),
        (
            json.dumps({"model": "XT99", "cut_deg": 0, "angles": ""}),
            "no Hesai model 'XT99'.*choose one of: Pandar40P, Pandar64",
        ),
        (json.dumps({"model": "XT32", "cut_deg": 400, "angles": ""}), "begins at 400.0 degrees"),
    ],
)
def test_a_description_that_cannot_be_right_says_why(description: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        DRIVER.decoder(Stream("lidar/points", "hesai", description))
