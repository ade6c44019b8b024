"""A cv2.VideoCapture as OpenCV's V4L2 backend behaves with a USB camera behind it: no device is at hand to test with."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

CONFIG = {"device": "/dev/v4l/by-id/usb-Maker_Camera_1A2B-video-index0", "exposure_us": 4000}
DESCRIPTION = json.dumps({
    "device": CONFIG["device"], "width_px": 1280, "height_px": 720, "rate_hz": 30.0,
    "settings": {
        "auto_exposure": False, "exposure_us": 4000, "auto_white_balance": True, "white_balance_k": 4000.0,
        "auto_focus": True, "focus": 30.0, "gain": 64.0,
    },
    "differs": {},
})  # fmt: skip


@dataclass
class ScriptedCamera:
    """pictures: (bytes, the buffer's stamp in ns on CLOCK_MONOTONIC) a grab; after the last one the plug is pulled, unless it hangs.

    limits: property -> what the camera makes of a value. lacks: properties that it does not have.
    """

    pictures: Sequence[tuple[bytes, int]] = ()
    limits: dict[int, Callable[[float], float]] = field(default_factory=dict)
    lacks: frozenset[int] = frozenset()
    is_there: bool = True
    hangs: bool = False
    pace_s: float = 0.0
    values: dict[int, float] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._left = list(self.pictures)
        self._now: tuple[bytes, int] = (b"", 0)
        self.values = {
            cv2.CAP_PROP_FOURCC: float(int.from_bytes(b"YUYV", "little")), cv2.CAP_PROP_FPS: 30.0,
            cv2.CAP_PROP_AUTO_EXPOSURE: 3.0, cv2.CAP_PROP_EXPOSURE: 157.0, cv2.CAP_PROP_GAIN: 64.0,
            cv2.CAP_PROP_AUTO_WB: 1.0, cv2.CAP_PROP_WB_TEMPERATURE: 4000.0,
            cv2.CAP_PROP_AUTOFOCUS: 1.0, cv2.CAP_PROP_FOCUS: 30.0,
        } | self.values  # fmt: skip

    @property
    def is_last(self) -> bool:
        """Whether the picture that was grabbed is the last one."""
        return not self._left

    def isOpened(self) -> bool:  # noqa: N802
        return self.is_there

    def set(self, prop: int, value: float) -> bool:
        self.calls.append(prop)
        if prop in self.lacks:
            return False
        automatics = {
            cv2.CAP_PROP_EXPOSURE: (cv2.CAP_PROP_AUTO_EXPOSURE, 1.0),
            cv2.CAP_PROP_WB_TEMPERATURE: (cv2.CAP_PROP_AUTO_WB, 0.0),
            cv2.CAP_PROP_FOCUS: (cv2.CAP_PROP_AUTOFOCUS, 0.0),
        }
        automatic = automatics.get(prop)
        if automatic and self.values[automatic[0]] != automatic[1]:
            return False  # EACCES or silence: the automatic has it
        self.values[prop] = self.limits.get(prop, float)(value)
        return True

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self._now[1] / 1e6
        return -1.0 if prop in self.lacks else self.values.get(prop, -1.0)

    def grab(self) -> bool:
        time.sleep(self.pace_s)
        if not self._left:
            if self.hangs:
                self.released.wait(0.5)
            return False
        self._now = self._left.pop(0)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.frombuffer(self._now[0], dtype=np.uint8).reshape(1, -1)

    def release(self) -> None:
        self.released.set()
