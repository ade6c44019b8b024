"""The calibration of a rig from one recording of a ChArUco board that is held still in some twenty poses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calibration.board_cloud import Sight, cone_of
from calibration.bundle import View
from calibration.calibration import Calibration, CameraCalibration, Mount, TimeOffset, Verdict, worst
from calibration.errors import CalibrationError
from calibration.intrinsics import CameraResult, calibrate_camera
from calibration.left_out import LeftOut
from calibration.lidar_camera import Placement, place_camera
from calibration.stills import Still, find_stills
from calibration.sync import camera_streams, lidar_stream, on_one_clock
from calibration.targets import CharucoTarget
from calibration.time_offset import time_offsets
from devices.progress import Progress
from devices.samples import Image, Sweep
from devices.transform import Transform

if TYPE_CHECKING:
    from capture.recording import Recording

Array = NDArray[np.float64]
# What a hand-measured mounting may be wrong by: 0.1 m and, at some 4 m, 5 degrees.
_SLACK_M = 0.45


def calibrate(recording: Recording, progress: Progress | None = None, left_out: LeftOut | None = None) -> Calibration:
    """Lenses, camera places and clock offsets from a recording of the board, whatever the verdict.

    left_out: takes down the samples that no time is known of. Raises CalibrationError when there is not enough to try: no
    board in rig.toml, no mounting, the board seen still too seldom.
    """
    left_out = LeftOut() if left_out is None else left_out
    try:
        return _calibrate(recording, progress or _silent, left_out)
    except CalibrationError as error:
        raise CalibrationError("; ".join([str(error), *left_out.lines(recording)])) from None


def _calibrate(recording: Recording, tell: Progress, left_out: LeftOut) -> Calibration:
    board = recording.rig.board
    if board is None:
        raise CalibrationError(
            f"rig '{recording.rig.name}' names no board; add a [board] table to rig.toml (docs/FORMATS.md)"
        )
    streams = camera_streams(recording)
    if not streams:
        raise CalibrationError(f"recording {recording.id} holds no camera stream to calibrate")
    for sensor in [*streams, *filter(None, [lidar_stream(recording)])]:
        _hand_measured(recording, recording.streams[sensor].sensor)  # before the long work, not after it
    target = CharucoTarget(board)
    stills: dict[str, list[Still]] = {}
    cameras: dict[str, CameraResult] = {}
    for number, stream in enumerate(streams):
        camera = recording.streams[stream].sensor
        tell(f"looking for the board in {camera}", 0.7 * number / len(streams))
        stills[camera], cameras[camera] = _see(recording, stream, target, left_out)
    tell("looking for the board in the lidar's cloud", 0.7)
    mounts = _place(recording, target, stills, cameras, left_out)
    tell("done", 1.0)
    return assemble(recording, cameras, mounts, time_offsets(recording, left_out))


def assemble(
    recording: Recording,
    cameras: Mapping[str, CameraResult],
    mounts: Mapping[str, Mount],
    offsets: Mapping[str, TimeOffset],
) -> Calibration:
    """The parts as one calibration, whose verdict is the worst of the cameras', the mounts' and their sensors'
    clocks'.
    """
    verdicts: list[Verdict] = []
    reasons: list[str] = []
    parts: list[tuple[str, CameraCalibration | Mount | TimeOffset]] = [
        *((name, result.calibration) for name, result in cameras.items()),
        *mounts.items(),
        *((name, offsets[name]) for name in mounts if name in offsets),
    ]
    for name, part in parts:
        verdicts.append(part.verdict)
        reasons += [f"{name}: {words}" for words in part.evidence.get("reasons", ())]
    return Calibration(
        rig=recording.rig.name,
        made_ns=time.time_ns(),
        recordings=(recording.id,),
        cameras={name: result.calibration for name, result in cameras.items()},
        mounts=dict(mounts),
        time_offsets=dict(offsets),
        verdict=worst(verdicts),
        reasons=tuple(reasons),
    )


def _silent(what: str, done: float) -> None:
    """Nobody asked to be told."""


def _see(
    recording: Recording, stream: str, target: CharucoTarget, left_out: LeftOut
) -> tuple[list[Still], CameraResult]:
    """One camera's stills and its lens. The result's views are the stills that it used."""
    size: list[tuple[int, int]] = []
    stills = find_stills(_grey(recording, stream, size, left_out), target)
    if len(stills) < 4:
        camera = recording.streams[stream].sensor
        raise CalibrationError(
            f"{camera} saw the board held still {len(stills)} times in {recording.id}, at least 6 are needed, better 20: hold it still "
            "for a second in each pose, wholly in the picture, and check [board] in rig.toml"
        )
    views = [View(target.corners_m[still.corners.ids], still.corners.pixels) for still in stills]
    result = calibrate_camera(views, size[0])
    return [stills[index] for index in result.used], result


def _grey(
    recording: Recording, stream: str, size: list[tuple[int, int]], left_out: LeftOut
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """A camera's pictures as (t_ns on the common clock, grey); their size is noted in ``size``. One of another size
    is left out.
    """
    import cv2

    for recorded in on_one_clock(recording, None, [stream], left_out=left_out):
        image = recorded.sample
        if isinstance(image, Image):
            shape = (image.pixels.shape[1], image.pixels.shape[0])
            if not size:
                size.append(shape)
            if shape == size[0]:
                yield image.t_ns, np.asarray(cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
            else:
                left_out.add_resized(recorded)


def _place(
    recording: Recording,
    target: CharucoTarget,
    stills: Mapping[str, Sequence[Still]],
    cameras: Mapping[str, CameraResult],
    left_out: LeftOut,
) -> dict[str, Mount]:
    """Every camera relative to the lidar, and so to the rig. The lidar's own mounting is the gauge."""
    stream = lidar_stream(recording)
    if stream is None:
        return {
            camera: _by_hand(recording, camera, "the recording holds no lidar to place it by") for camera in cameras
        }
    lidar = recording.streams[stream].sensor
    rig_from_lidar = _hand_measured(recording, lidar)
    starts = {camera: (_hand_measured(recording, camera).inverse() @ rig_from_lidar).matrix for camera in cameras}
    sights = {camera: [Sight(pose) for pose in result.solution.camera_from_board] for camera, result in cameras.items()}
    _gather(recording, stream, target, stills, sights, starts, left_out)
    gauge = {"gauge": "rig.toml's mounting of this sensor defines the rig frame: exact by definition", "reasons": []}
    mounts = {lidar: Mount(rig_from_lidar, np.zeros((6, 6)), "good", gauge)}
    for camera in cameras:
        try:
            placement = place_camera(
                [sight for sight in sights[camera] if sight.cones], target.rectangle_m, starts[camera]
            )
        except CalibrationError as error:
            raise CalibrationError(f"{camera}: {error}") from None
        mounts[camera] = _mount(camera, rig_from_lidar, placement, starts[camera])
    return mounts


def _gather(
    recording: Recording,
    stream: str,
    target: CharucoTarget,
    stills: Mapping[str, Sequence[Still]],
    sights: Mapping[str, Sequence[Sight]],
    starts: Mapping[str, Array],
    left_out: LeftOut,
) -> None:
    """Give every sight what each sweep wholly within its still saw around the board."""
    pairs = [
        (camera, still, sight) for camera in sights for still, sight in zip(stills[camera], sights[camera], strict=True)
    ]
    for recorded in on_one_clock(recording, None, [stream], left_out=left_out):
        sweep = recorded.sample
        if not isinstance(sweep, Sweep) or not len(sweep):
            continue
        end_ns = sweep.t_ns + int(sweep.offset_ns.max())
        for camera, still, sight in pairs:
            if still.start_ns <= sweep.t_ns and end_ns <= still.end_ns:
                lidar_from_board = np.linalg.inv(starts[camera]) @ sight.camera_from_board
                sight.cones.append(cone_of(sweep, lidar_from_board, target.rectangle_m, _SLACK_M))


def _mount(camera: str, rig_from_lidar: Transform, placement: Placement, start: Array) -> Mount:
    """rig_from_camera and its covariance along the rig's axes, carried over from camera_from_lidar's along the
    camera's.
    """
    camera_from_lidar = Transform(camera, rig_from_lidar.from_, placement.camera_from_lidar)
    by_hand = Transform(camera, rig_from_lidar.from_, start)
    turned_deg, shifted_m = by_hand.angle_to_deg(camera_from_lidar), by_hand.distance_to_m(camera_from_lidar)
    evidence = {**placement.evidence, "from_hand_measured_deg": turned_deg, "from_hand_measured_m": shifted_m}
    rig_from_camera_axes = rig_from_lidar.rotation @ camera_from_lidar.rotation.T
    x, y, z = camera_from_lidar.translation_m
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # camera_from_lidar = (exp(w) R, t + d)  ->  lidar_from_camera = (R' exp(-w), -R' exp(-w) (t + d)), to first order.
    carry = -np.block([[rig_from_camera_axes, np.zeros((3, 3))], [rig_from_camera_axes @ cross, rig_from_camera_axes]])
    covariance = carry @ placement.covariance @ carry.T
    return Mount(rig_from_lidar @ camera_from_lidar.inverse(), covariance, placement.findings.verdict, evidence)


def _by_hand(recording: Recording, sensor: str, why: str) -> Mount:
    reasons = [f"its mounting is rig.toml's, measured by hand: {why}"]
    return Mount(_hand_measured(recording, sensor), None, "doubtful", {"reasons": reasons})


def _hand_measured(recording: Recording, sensor: str) -> Transform:
    mounting = recording.rig.sensors[sensor].mounting
    if mounting is None:
        raise CalibrationError(
            f"rig.toml gives no mounting for '{sensor}'; measure it by hand to some centimetres and degrees: "
            f"mounting = {{ xyz_m = [..], rpy_deg = [..] }} under [sensors.{sensor}]"
        )
    return mounting.rig_from(sensor)
