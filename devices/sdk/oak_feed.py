"""OAK cameras through Luxonis' SDK, in a process of its own (devices/sdk/own_process.py). It needs nothing else of fieldrig.

Stamps are the camera's own clock (since its power-up), at the middle of the exposure: what the SDK states is its end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from devices.sdk.fed_process import ACCELERATION, ANGULAR_RATE, MOTION, Feed, sdk, the_one

if TYPE_CHECKING:
    from datetime import timedelta

_DEPTH_SCALE_M = 0.001  # StereoDepth's usual unit
_QUEUE = 30
_SETTLING_FRAMES = 10  # until the camera has taken its settings
_SETTLING_S = 5.0
_IDLE_S = 0.001
_JPEG_QUALITY = 95


def feed(config: Mapping[str, Any], out: Feed) -> None:
    """Streams from the camera of this serial number until it is unplugged."""
    dai = sdk("depthai", "oak")
    device = dai.Device(the_one("OAK", connected(), config["serial"]))
    with dai.Pipeline(device) as pipeline:
        queues = build(pipeline, device, config)
        pipeline.start()
        relay(queues, config, pipeline.isRunning, out, factory_lens(device, config))
    raise RuntimeError("the OAK camera is gone; check its plug, and use a USB 3 port or its own power supply")


def connected() -> Mapping[str, tuple[str, Any]]:
    """Serial number -> name, device."""
    devices = sdk("depthai", "oak").Device.getAllAvailableDevices()
    return {device.getDeviceId(): (f"OAK {device.name}", device) for device in devices}


def build(pipeline: Any, device: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """What runs on the camera. Stream -> the queue in which its messages arrive."""
    import depthai as dai

    queues = {}
    rate_hz = float(config["rate_hz"])
    if config["color_px"]:
        camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
        control(camera.initialControl, config)
        pictures = camera.requestOutput(tuple(config["color_px"]), dai.ImgFrame.Type.NV12, fps=rate_hz)
        jpeg = dai.VideoEncoderProperties.Profile.MJPEG
        encoder = pipeline.create(dai.node.VideoEncoder).build(
            pictures, frameRate=rate_hz, profile=jpeg, quality=_JPEG_QUALITY
        )
        queues["image"] = encoder.out.createOutputQueue(maxSize=_QUEUE, blocking=False)
    if config["depth_px"]:
        stereo = pipeline.create(dai.node.StereoDepth).build(
            autoCreateCameras=True, size=tuple(config["depth_px"]), fps=rate_hz
        )
        queues["depth"] = stereo.depth.createOutputQueue(maxSize=_QUEUE, blocking=False)
    if config["imu"]:
        if device.getConnectedIMU() in ("", "NONE"):
            raise RuntimeError("the camera has no IMU; set imu = false in rig.toml")
        imu = pipeline.create(dai.node.IMU)
        imu.enableIMUSensor([dai.IMUSensor.ACCELEROMETER_RAW, dai.IMUSensor.GYROSCOPE_RAW], config["imu_rate_hz"])
        imu.setBatchReportThreshold(1)
        imu.setMaxBatchReports(20)
        queues["imu"] = imu.out.createOutputQueue(maxSize=10 * _QUEUE, blocking=False)
    if not queues:
        raise RuntimeError("nothing is asked of the camera; set color_px, depth_px or imu in rig.toml")
    return queues


def control(control: Any, config: Mapping[str, Any]) -> None:
    """Exposure, sensitivity, white balance, focus, as far as they are asked for."""
    if config["exposure_us"] is not None:
        control.setManualExposure(config["exposure_us"], config["iso"])
    if config["white_balance_k"] is not None:
        control.setManualWhiteBalance(config["white_balance_k"])
    if config["focus"] is not None:
        control.setManualFocus(config["focus"])


def relay(
    queues: Mapping[str, Any],
    config: Mapping[str, Any],
    is_running: Callable[[], bool],
    out: Feed,
    lens: Mapping[str, Any],
) -> None:
    """Sends what arrives while the camera runs."""
    newest = settled(queues, is_running)
    out.hello([_stream(what, newest.get(what), config, lens) for what in queues])
    takers: list[tuple[Any, Callable[[Any], None]]] = [
        (queue, partial(_take_motions if what == "imu" else _take_picture, out, index))
        for index, (what, queue) in enumerate(queues.items())
    ]
    while is_running():
        idle = True
        for queue, take in takers:
            while (message := queue.tryGet()) is not None:
                take(message)
                idle = False
        if idle:
            time.sleep(_IDLE_S)


def settled(queues: Mapping[str, Any], is_running: Callable[[], bool]) -> dict[str, Any]:
    """The newest message of each stream once the cameras have taken their settings; those before it are passed over."""
    newest: dict[str, Any] = {}
    seen = dict.fromkeys(queues, 0)
    until = time.monotonic() + _SETTLING_S
    while is_running() and min(seen.values()) < _SETTLING_FRAMES and time.monotonic() < until:
        for what, queue in queues.items():
            if seen[what] < _SETTLING_FRAMES and (message := queue.tryGet()) is not None:
                newest[what] = message
                seen[what] += 1
        time.sleep(_IDLE_S)
    return newest


def factory_lens(device: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The colour camera's lens as the maker measured it, for pictures of this size; empty where nothing is stored."""
    import depthai as dai

    if not config["color_px"]:
        return {}
    stored, socket = device.readCalibration(), dai.CameraBoardSocket.CAM_A
    try:
        matrix = stored.getCameraIntrinsics(socket, *config["color_px"])
        distortion = list(stored.getDistortionCoefficients(socket))
    except RuntimeError:
        return {}
    return {
        "fx": matrix[0][0], "fy": matrix[1][1], "cx": matrix[0][2], "cy": matrix[1][2], "distortion": distortion
    }  # fmt: skip


def _stream(what: str, message: Any, config: Mapping[str, Any], lens: Mapping[str, Any]) -> dict[str, str]:
    if what == "imu":
        return {"what": what, "encoding": "motion", "description": json.dumps({"rate_hz": config["imu_rate_hz"]})}
    said: dict[str, Any] = {"rate_hz": config["rate_hz"]}
    if message is None:
        raise RuntimeError(f"the camera sends no {what} at this size and rate; try others, and a USB 3 port")
    said |= {"width_px": message.getWidth(), "height_px": message.getHeight()}
    if what == "depth":
        return {"what": what, "encoding": "z16", "description": json.dumps(said | {"scale_m": _DEPTH_SCALE_M})}
    found = {
        "exposure_us": round(message.getExposureTime().total_seconds() * 1e6), "iso": message.getSensitivity(),
        "white_balance_k": message.getColorTemperature(), "focus": message.getLensPosition(),
    }  # fmt: skip
    automatic = {
        "auto_exposure": config["exposure_us"] is None,
        "auto_white_balance": config["white_balance_k"] is None,
    }
    asked = {
        name: config[name] for name in found if config[name] is not None and (name != "iso" or config["exposure_us"])
    }
    differs = {name: {"asked": value, "is": found[name]} for name, value in asked.items() if found[name] != value}
    said |= {"settings": found | automatic, "differs": differs, "factory_lens": dict(lens)}
    return {"what": what, "encoding": "jpeg", "description": json.dumps(said)}


def _take_picture(out: Feed, index: int, frame: Any) -> None:
    """A frame of one stream: a JPEG, or rows of depth."""
    middle_ns = _ns(frame.getTimestampDevice()) - _ns(frame.getExposureTime()) // 2
    out.packet(index, bytes(frame.getData()), middle_ns, frame.getSequenceNum())


def _take_motions(out: Feed, index: int, message: Any) -> None:
    """A batch of measurements; gyroscope and accelerometer count by themselves."""
    for each in message.packets:
        for kind, report in ((ACCELERATION, each.acceleroMeter), (ANGULAR_RATE, each.gyroscope)):
            data = MOTION.pack(kind, report.x, report.y, report.z)
            out.packet(index, data, _ns(report.getTimestampDevice()), report.sequence, series=kind)


def _ns(span: timedelta) -> int:
    return ((span.days * 86400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
