"""A feed of an OAK camera that is not there: the SDK's own messages, made on the host, through its own queues and fieldrig's oak_feed.py."""

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import depthai as dai
import numpy as np

FRAMES = 24
MISSING = 15  # a picture that the camera counts and does not give
STEP_US = 33_333


def feed(config: dict[str, Any], out: Any) -> None:
    path = Path(__file__).resolve().parents[2] / "devices" / "sdk" / "oak_feed.py"
    feeding = sys.modules["__main__"].loaded(str(path))  # fed_process.py runs this
    control = dai.CameraControl()
    feeding.control(control, config)
    queues = {what: dai.MessageQueue(maxSize=300, blocking=False) for what in ("image", "depth", "imu")}
    for number in range(FRAMES):
        _send(queues, number, control)
    until = time.monotonic() + 20

    def is_running() -> bool:
        return any(queue.has() for queue in queues.values()) and time.monotonic() < until

    feeding.relay(queues, config, is_running, out, {"fx": 1.0})
    raise RuntimeError("the OAK camera is gone; check its plug, and use a USB 3 port or its own power supply")


def _send(queues: dict[str, Any], number: int, control: Any) -> None:
    stamp = timedelta(days=1, microseconds=number * STEP_US)
    picture = dai.EncodedFrame()
    picture.setData(np.frombuffer(b"\xff\xd8" + bytes([number]) * 5 + b"\xff\xd9", dtype=np.uint8))
    picture.setSize(1920, 1080)
    depth = dai.ImgFrame()
    depth.setType(dai.ImgFrame.Type.RAW16)
    depth.setSize(4, 2)
    depth.setData(np.full(8, 1000 + number, dtype="<u2").view(np.uint8))
    for frame in (picture, depth):
        frame.setSequenceNum(number)
        frame.setTimestampDevice(stamp)
        frame.cam.exposureTimeUs = round(control.getExposureTime().total_seconds() * 1e6)
        frame.cam.sensitivityIso = control.getSensitivity()
        frame.cam.wbColorTemp = 5000  # whatever it was told
    motion = dai.IMUData()
    one = dai.IMUPacket()
    for report, values in ((one.acceleroMeter, (0.0, -9.5 - number, 0.0)), (one.gyroscope, (0.1 * number, 0.0, 0.0))):
        report.x, report.y, report.z = values
        report.sequence = number
        report.tsDevice = _timestamp(stamp)
    motion.packets = [one]
    if number != MISSING:
        queues["image"].send(picture)
    queues["depth"].send(depth)
    queues["imu"].send(motion)


def _timestamp(span: timedelta) -> Any:
    stamp = dai.Timestamp()
    stamp.sec, stamp.nsec = span.days * 86400 + span.seconds, span.microseconds * 1000
    return stamp
