"""From a recording of a board to a calibration: one camera and a lidar, everything rendered, the truth known."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibration.bundle import Array
from calibration.calibrate import calibrate
from calibration.calibration import Calibration, load, save
from calibration.errors import CalibrationError
from calibration.left_out import LeftOut
from calibration.time_offset import time_offsets
from capture.clock.filter import ClockFit
from capture.recording import Recorded, Span
from capture.workspace import Workspace
from devices.device import Stream
from devices.samples import Image, Sample
from devices.transform import Transform
from tests.calibration.builders import (
    BOARD,
    CAMERA,
    CAMERA_FROM_LIDAR,
    MadeUpRecording,
    Photographer,
    black_image,
    board_poses,
    made_up,
    sweep_of_board,
    turned,
)

MS = 1_000_000
LATENCY_NS = 15 * MS
RIG_FROM_LIDAR = Transform("rig", "lidar", turned((0, 0, 5), (0.1, 0.0, 1.2)))
TRUTH = RIG_FROM_LIDAR @ Transform("camera_left", "lidar", CAMERA_FROM_LIDAR).inverse()


def _mounting(transform: Transform) -> Any:
    return SimpleNamespace(rig_from=lambda sensor: transform)


def _described(name: str, transform: Transform | None) -> Any:
    return SimpleNamespace(
        name=name,
        least_latency_ns=LATENCY_NS,
        mounting=None if transform is None else _mounting(transform),
        model_fields_set={"least_latency_ms"},
    )


def _samples(poses: list[Array], seed: int = 0) -> Iterator[tuple[str, int, Sample]]:
    """Each pose is held for 0.5 s: pictures and sweeps at 10 Hz; between two the board is out of sight for one
    picture.
    """
    random = np.random.default_rng(seed)
    photographer = Photographer()
    for number, pose in enumerate(poses):
        start = number * 600 * MS
        still = photographer.picture(pose, random).astype(np.float64)
        for step in range(5):
            grey = np.clip(still + random.normal(0, 1, still.shape), 0, 255).astype(np.uint8)
            t_ns = start + step * 100 * MS + LATENCY_NS
            yield "camera_left/what", t_ns, Image("camera_left", t_ns, np.repeat(grey[:, :, None], 3, axis=2))
            if step in (1, 2, 3):
                t_ns = start + step * 100 * MS + 30 * MS + LATENCY_NS
                yield (
                    "lidar/what",
                    t_ns + 100 * MS,
                    sweep_of_board(np.linalg.inv(CAMERA_FROM_LIDAR) @ pose, random, t_ns),
                )
        t_ns = start + 500 * MS + LATENCY_NS
        yield "camera_left/what", t_ns, Image("camera_left", t_ns, np.full((480, 640, 3), 90, dtype=np.uint8))


def _recording(poses: list[Array], board: object = BOARD, mounted: bool = True) -> MadeUpRecording:
    by_hand = TRUTH @ Transform("camera_left", "camera_left", turned((1.5, -1.8, 1.2), (0.02, -0.02, 0.02)))
    sensors = {
        "lidar": _described("lidar", RIG_FROM_LIDAR),
        "camera_left": _described("camera_left", by_hand if mounted else None),
    }
    rig = SimpleNamespace(name="made-up", board=board, sensors=sensors)
    kept = list(_samples(poses)) if mounted and board else []
    clock = ClockFit(0, 0, 0.0, 20_000.0, 5000)
    return made_up(
        lambda: iter(kept),
        ["camera_left", "lidar"],
        rig=rig,
        clocks={"camera_left/what": [clock], "lidar/what": [clock]},
    )


@pytest.fixture(scope="module")
def told() -> list[float]:
    return []


@pytest.fixture(scope="module")
def made(told: list[float]) -> Calibration:
    recording: Any = _recording(board_poses(18, np.random.default_rng(21)))
    return calibrate(recording, lambda what, done: told.append(done))


def test_one_recording_gives_lens_place_and_clock_and_can_be_saved(
    made: Calibration, told: list[float], tmp_path: Path
) -> None:
    assert (made.verdict, made.reasons) == ("good", ())
    assert load(save(made, Workspace(tmp_path))).id == made.id
    assert made.recordings == ("made-up",)
    assert made.time_offsets["lidar"].latency_ns == LATENCY_NS
    assert made.time_offsets["lidar"].source == "stated in rig.toml"
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_lens_is_found_to_a_part_in_three_hundred(made: Calibration) -> None:
    camera = made.cameras["camera_left"]
    assert camera.rms_px is not None
    assert camera.rms_px < 0.1
    assert camera.model.fx == pytest.approx(CAMERA.fx, rel=0.003)
    assert camera.model.fy == pytest.approx(CAMERA.fy, rel=0.003)


def test_the_camera_is_placed_within_the_bar_and_within_three_stated_sigma(made: Calibration) -> None:
    found, mount = made.rig_from("camera_left"), made.mounts["camera_left"]
    angle_deg, distance_m = TRUTH.angle_to_deg(found), TRUTH.distance_to_m(found)
    assert angle_deg < 0.3
    assert distance_m < 0.015
    assert mount.sigma_deg is not None
    assert mount.sigma_m is not None
    assert angle_deg < 3 * mount.sigma_deg
    assert distance_m < 3 * mount.sigma_m


def test_the_lidars_mounting_is_the_gauge(made: Calibration) -> None:
    lidar = made.mounts["lidar"]
    np.testing.assert_array_equal(lidar.rig_from_sensor.matrix, RIG_FROM_LIDAR.matrix)
    assert lidar.covariance is not None
    assert not lidar.covariance.any()


def test_a_rig_without_a_board_a_mounting_or_enough_stills_says_so() -> None:
    poses = board_poses(2, np.random.default_rng(1))
    no_board: Any = _recording(poses, board=None)
    with pytest.raises(CalibrationError, match=r"add a \[board\] table"):
        calibrate(no_board)
    few: Any = _recording(poses)
    with pytest.raises(CalibrationError, match=r"held still [012] times"):
        calibrate(few)


def test_a_camera_that_nobody_measured_is_named() -> None:
    recording: Any = _recording(board_poses(2, np.random.default_rng(22)), mounted=False)
    with pytest.raises(CalibrationError, match="no mounting for 'camera_left'"):
        calibrate(recording)


def test_a_sensor_without_clock_or_stated_latency_is_doubtful() -> None:
    recording: Any = made_up(lambda: iter(()), ["camera_left", "lidar"], LATENCY_NS)
    recording.clocks = {"lidar/what": [ClockFit(0, 5, 10.0, 20_000.0, 5000)]}
    recording.rig.sensors["lidar"].model_fields_set = set()
    offsets = time_offsets(recording, LeftOut())
    assert [offsets[name].verdict for name in ("camera_left", "lidar")] == ["doubtful", "doubtful"]
    assert offsets["camera_left"].sigma_ns is None
    assert (offsets["lidar"].sigma_ns, offsets["lidar"].source) == (20_000, "not stated")
    recording.rig.sensors["lidar"].model_fields_set = {"least_latency_ms"}
    assert time_offsets(recording, LeftOut())["lidar"].verdict == "good"


def _out_of_time(recording: MadeUpRecording, stream: str) -> MadeUpRecording:
    """A stream all of whose stamps are of another day."""
    kept = list(recording.samples_of())
    day_ns = 86_400_000 * MS

    def samples() -> Iterator[tuple[str, int, Sample]]:
        for name, host_ns, sample in kept:
            yield name, host_ns, replace(sample, t_ns=sample.t_ns + day_ns) if name == stream else sample

    return replace(recording, samples_of=samples)


def test_a_calibration_that_fails_for_want_of_samples_with_a_time_says_so() -> None:
    recording: Any = _out_of_time(_recording(board_poses(6, np.random.default_rng(23))), "camera_left/what")
    left_out = LeftOut()
    with pytest.raises(CalibrationError, match=r"held still 0 times.*36 samples of camera_left/what: no fit") as caught:
        calibrate(recording, left_out=left_out)
    assert "\n" not in str(caught.value)
    assert left_out.mistimed == {"camera_left/what": 36}


def test_pictures_of_another_size_are_left_out_and_told() -> None:
    """Of a camera that came up in another mode for a moment."""
    recorded = _recording(board_poses(2, np.random.default_rng(24)))
    kept = list(recorded.samples_of())
    small = [number for number, (name, _, _) in enumerate(kept) if name == "camera_left/what"][5:7]

    def samples() -> Iterator[tuple[str, int, Sample]]:
        for number, (name, host_ns, sample) in enumerate(kept):
            yield name, host_ns, black_image(sample.t_ns) if number in small else sample

    recording: Any = replace(recorded, samples_of=samples)
    with pytest.raises(
        CalibrationError, match=r"left out: 2 pictures of camera_left/what: they are of another size"
    ) as caught:
        calibrate(recording)
    assert "\n" not in str(caught.value)


def test_samples_that_were_left_out_stand_in_the_evidence_of_their_sensors_time() -> None:
    recording: Any = made_up(lambda: iter(()), ["camera_left", "lidar"], LATENCY_NS)
    left_out = LeftOut()
    for sequence in range(4):
        span = Span("made-up", "camera_left/what", sequence, sequence, sequence, sequence, "")
        left_out.add_mistimed(Recorded(black_image(sequence), span))
    offsets = time_offsets(recording, left_out)
    assert [offsets[name].evidence["samples_left_out"] for name in ("camera_left", "lidar")] == [4, 0]


def test_a_sensors_time_is_known_as_well_as_its_pictures_are_and_no_better() -> None:
    """The clock of its IMU, which is surer, translates no picture."""
    recording: Any = made_up(lambda: iter(()), ["camera_left"], LATENCY_NS)
    recording.streams["camera_left/imu"] = Stream("camera_left/imu", "vector.json")
    recording.clocks = {
        "camera_left/what": [ClockFit(0, 0, 0.0, 9e6, 100)],
        "camera_left/imu": [ClockFit(0, 0, 0.0, 1e3, 5000)],
    }
    offset = time_offsets(recording, LeftOut())["camera_left"]
    assert (offset.sigma_ns, offset.verdict) == (9_000_000, "doubtful")
    assert "known to 9.0 ms only" in offset.evidence["reasons"][0]
