"""What becomes of packets on their way to a card: small pictures, plans to scale, figures; and of packets that are nonsense."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.dashboard.birdseye import SIDE_PX, PlanView, draw_birdseye
from capture.dashboard.figures import figures
from capture.dashboard.gallery import Gallery, Look, coloured
from capture.dashboard.server import Dashboard
from capture.errors import CaptureError
from capture.recorder_state import StreamState
from devices.device import Stream
from devices.rig import Rig, rig_from_dict
from devices.samples import Depth, FixQuality, GnssFix, ImuSample, NamedVector, Packet, Stamps
from devices.transform import Transform
from tests.capture.dashboards import camera_jpeg, standby
from tests.devices.builders import ouster_metadata, ouster_turn

CAMERA, POINTS, STATE = (
    Stream("camera/image", "jpeg"),
    Stream("lidar/points", "xyzi.f32"),
    Stream("robot/state", "vector.json"),
)


def van(mounting: dict | None = None) -> Rig:
    lidar = {"driver": "kitti", "folder": "nowhere"} | ({"mounting": mounting} if mounting else {})
    camera = {"driver": "mjpeg", "url": "http://127.0.0.1:1/"}
    robot = {"driver": "named_vector", "ports": {"state": 9001}}
    return rig_from_dict({"name": "van", "sensors": {"lidar": lidar, "camera": camera, "robot": robot}})


def gallery(*payloads: bytes, rig: Rig | None = None) -> Gallery:
    def packets(stream: str) -> Sequence[Packet]:
        return [Packet(stream, Stamps(1_000 + i), data) for i, data in enumerate(payloads)]

    return Gallery(rig or van(), packets)


def cloud(*points_m: tuple[float, float, float]) -> bytes:
    return np.array([(*each, 1.0) for each in points_m], dtype="<f4").tobytes()


def lit(picture: np.ndarray) -> set[tuple[int, int]]:
    """(row, column) of the dots: brighter and more coloured than the grid and its figures."""
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    return {(int(r), int(c)) for r, c in np.argwhere(spread > 60)}


@pytest.mark.parametrize("reach_m", [10, 20, 50, 100])
def test_a_point_lies_where_its_metres_say_ahead_is_up_and_left_is_left(reach_m: int) -> None:
    ahead_m, left_m = reach_m * 0.6, reach_m * 0.3
    dots = lit(draw_birdseye(np.array([[ahead_m, left_m, 0.0]], dtype=np.float32), PlanView(reach_m)))
    px_per_m = SIDE_PX / (2 * reach_m)
    row, column = (reach_m - ahead_m) * px_per_m, (reach_m - left_m) * px_per_m
    assert dots
    assert all(abs(r - row) <= 3 and abs(c - column) <= 3 for r, c in dots)


def test_a_lidar_that_hangs_upside_down_is_drawn_upright_by_its_mounting() -> None:
    points = np.array([[8.0, 4.0, 1.0]], dtype=np.float32)
    hanging = Transform.from_rpy("rig", "lidar", (180.0, 0.0, 0.0), (0.0, 0.0, 2.0))
    dots = lit(draw_birdseye(points, PlanView(20), hanging))
    assert dots
    assert all(c > SIDE_PX / 2 for _, c in dots), "its left is the rig's right"


def test_a_ceiling_does_not_hide_what_stands_below_it_unless_all_heights_are_asked_for() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-9, 9, 60), np.linspace(-9, 9, 60)), axis=-1).reshape(-1, 2)
    ceiling = np.column_stack([grid, np.full(len(grid), 6.0)]).astype(np.float32)
    assert not lit(draw_birdseye(ceiling, PlanView(10)))
    assert len(lit(draw_birdseye(ceiling, PlanView(10, all_heights=True)))) > 3000


def test_points_without_a_place_and_no_points_at_all_are_no_trouble() -> None:
    nowhere = np.array([[np.nan, 0, 0], [np.inf, 1, 1], [1e30, 1e30, 0], [0, 0, 0]], dtype=np.float32)
    for points in (nowhere, np.empty((0, 3), dtype=np.float32)):
        for all_heights in (False, True):
            assert draw_birdseye(points, PlanView(20, all_heights)).shape == (SIDE_PX, SIDE_PX, 3)


def test_the_newest_whole_sample_is_shown_with_the_arrival_of_the_newest_packet() -> None:
    whole, begun = cloud((5, 0, 0), (5, 1, 0), (5, 2, 0)), cloud((9, 9, 0))
    made = gallery(whole, begun).preview(POINTS, Look())
    picture = cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert made.host_ns == 1_001
    assert max(r for r, _ in lit(picture)) < (20 - 5) * 12 + 4, (
        "the sweep with most points, not the one that has just begun"
    )
    lines = [json.dumps({"t_ns": 1, "topic": "state", "names": ["n"], "values": [i]}).encode() for i in range(3)]
    assert gallery(*lines).preview(STATE, Look()).data == b"n 2.000"


def test_a_small_picture_is_not_blown_up() -> None:
    made = gallery(camera_jpeg(160, 120)).preview(CAMERA, Look())
    assert cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_COLOR).shape == (120, 160, 3)


@settings(max_examples=60)
@given(st.binary(max_size=3000), st.sampled_from([CAMERA, POINTS, STATE]))
def test_nonsense_bytes_are_no_picture_or_a_whole_one_and_end_nothing(data: bytes, stream: Stream) -> None:
    made = None
    with contextlib.suppress(CaptureError):  # what a decoder should have passed over; told on the card
        made = gallery(data).preview(stream, Look())
    if made is not None and made.kind.startswith("image/"):
        assert cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_a_stream_of_no_sensor_and_one_without_samples_show_nothing() -> None:
    made = gallery(b"x")
    for stream in (Stream("fieldrig/marks", "mark.json"), Stream("lidar/status", "unheard.of")):
        assert made.shows(stream) == ""
        assert made.preview(stream, Look()) is None


def test_what_is_costly_to_make_is_made_less_often(monkeypatch) -> None:
    made: list[tuple[float, float]] = []

    def slow(stream: str) -> list[Packet]:
        began_s = time.monotonic()
        time.sleep(0.3)
        made.append((began_s, time.monotonic()))
        return []

    shown, until_s = Gallery(van(), slow), time.monotonic() + 60
    while len(made) < 4 and time.monotonic() < until_s:
        shown.preview(CAMERA, Look())
        time.sleep(0.02)
    assert len(made) == 4
    for (began_s, ended_s), (next_s, _) in pairwise(made):
        assert next_s - ended_s > 3.9 * (ended_s - began_s), "a fifth of the time, where it would be twice a second"


def test_depth_is_red_near_blue_far_and_black_where_nothing_was_measured() -> None:
    units = np.array([[0, 500, 5500]], dtype=np.uint16)
    none, near, far = coloured(Depth("d", 1, units, 0.001))[0].astype(int)
    assert tuple(none) == (0, 0, 0)
    assert near[0] > near[2] + 50
    assert far[2] > far[0] + 50


def vector(count: int) -> NamedVector:
    return NamedVector("r", 1, "state", tuple(f"joint{i}_rad" for i in range(count)), np.arange(count) / 10)


@pytest.mark.parametrize(
    ("sample", "lines"),
    [
        (lambda: vector(2), ["joint0_rad 0.000", "joint1_rad 0.100"]),
        (lambda: ImuSample("i", 1, np.array([0.1, 0, 0]), np.array([0, 0, 9.81])),
         ["rate +5.7 +0.0 +0.0 °/s", "acceleration +0.00 +0.00 +9.81 m/s²", "together 9.81 m/s²"]),
        (lambda: GnssFix("g", 1, 48.1, 11.5, None, FixQuality.RTK_FIXED, 17, np.array([0.3, 0.4, 1.0])),
         ["fix rtk fixed", "48.100000° 11.500000°", "17 satellites", "sigma 0.50 m"]),
    ],
)  # fmt: skip
def test_samples_that_are_no_pictures_are_a_few_lines(sample: Callable, lines: list[str]) -> None:
    assert figures(sample()).split("\n") == lines


def test_a_long_vector_says_how_much_of_it_is_not_shown() -> None:
    lines = figures(vector(30)).split("\n")
    assert len(lines) == 8
    assert lines[-1] == "and 23 more"
    assert len(figures(vector(8)).split("\n")) == 8


def test_a_packet_whose_checksum_is_wrong_shows_in_its_preview(tmp_path: Path) -> None:
    text = ouster_metadata()
    (tmp_path / "metadata.json").write_text(text)
    lidar = {"driver": "ouster", "metadata": str(tmp_path / "metadata.json")}
    rig = rig_from_dict({"name": "van", "sensors": {"lidar": lidar}})
    stream = Stream("lidar/points", "ouster.lidar", text)
    sound = [data for frame in range(3) for data in ouster_turn(text, frame, start_ns=1000 + frame * 100_000_000)]
    broken = [*sound[:6], sound[6][:50] + b"\x55" + sound[6][51:], *sound[7:]]
    for datas, rejected in ((sound, {}), (broken, {"wrong CRC": 1}), (sound, {})):
        seen = gallery(*datas, rig=rig)
        assert seen.preview(stream, Look()) is not None
        assert seen.rejected("lidar/points") == rejected


def test_what_only_decoding_tells_alarms_on_the_page_and_marks_the_card(tmp_path: Path) -> None:
    text = ouster_metadata()
    (tmp_path / "metadata.json").write_text(text)
    rig = rig_from_dict(
        {"name": "van", "sensors": {"lidar": {"driver": "ouster", "metadata": str(tmp_path / "metadata.json")}}}
    )
    row = StreamState("lidar/points", "ouster.lidar", text)
    link = SimpleNamespace(
        state=standby(streams=(row,)),
        is_lost=False,
        silent_s=0.0,
        said="",
        alarms=(),
        unseen_alarms=(),
        usual_hz=lambda _: None,
        since=lambda _: "",
    )
    sound = [data for frame in range(3) for data in ouster_turn(text, frame, start_ns=1000 + frame * 100_000_000)]
    seen = gallery(*sound[:6], sound[6][:50] + b"\x55" + sound[6][51:], *sound[7:], rig=rig)
    page = Dashboard(link, seen, SimpleNamespace(shown=()))  # type: ignore[arg-type]
    assert page.view()["alarms"] == []
    seen.preview(Stream("lidar/points", "ouster.lidar", text), Look())
    (alarm,) = page.view()["alarms"]
    assert alarm["text"].startswith(
        "lidar/points: of those looked at just now, 1 packets are not as the sensor sends them (1 x wrong CRC); see"
    )
    assert page.view()["state"]["streams"][0]["rejected"] == 1
