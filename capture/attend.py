"""Staying with a recorder: until a recording's end, however it comes, or for as long as a crew steers it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from capture.details import Details
from capture.disk_failure import disk_failures_in_words
from capture.errors import CaptureError
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import Rig

_TICK_S = 0.1


def record(
    rig: Rig,
    workspace: Workspace,
    *,
    duration_s: float | None,
    stop: threading.Event | None = None,
    progress: Callable[[RecorderState], None] | None = None,
    details: Details | None = None,
    limits: Limits | None = None,
) -> Path:
    """Records until ``duration_s`` has passed, ``stop`` is set, or every sensor has said its last word; returns the recording's folder.

    Raises DeviceError when a sensor cannot be reached, CaptureError when one was never heard after ``silent_s``, or longer where it states
    a slower rate, or when the disk fills; in the latter cases what was recorded until then is finished and whole, and the message says where it lies.
    """
    with disk_failures_in_words(workspace), Recorder(rig, workspace, limits, details=details) as recorder:
        folder = recorder.start()
        recorder.run()
        trouble = attend(recorder, duration_s, stop or threading.Event(), progress)
    if trouble:
        raise CaptureError(f"{trouble}; what was recorded until then is complete in {folder}")
    return folder


def attend(
    recorder: Recorder,
    duration_s: float | None,
    stop: threading.Event,
    progress: Callable[[RecorderState], None] | None,
) -> str:
    """Stays with a recording until its end, however it comes; returns why it came too early, in one line, or nothing."""
    began_s, started_well = time.monotonic(), False
    while True:
        elapsed_s = time.monotonic() - began_s
        if progress is not None:
            progress(recorder.state())
        recorder.tend()
        if recorder.trouble:
            return f"recording stopped: {recorder.trouble}"
        if not started_well and (recorder.sensors.finished or elapsed_s >= recorder.limits.silent_s):
            if trouble := _start_trouble(recorder, elapsed_s):
                return trouble
            started_well = not recorder.silent_sensors()  # slow ones are waited for
        left_s = _TICK_S if duration_s is None else min(_TICK_S, duration_s - elapsed_s)
        if left_s <= 0 or recorder.sensors.finished or not recorder.is_recording or stop.wait(left_s):
            return ""


def stand_by(recorder: Recorder, stop: threading.Event, progress: Callable[[RecorderState], None] | None) -> None:
    """Lets a crew start and stop recordings until ``stop`` is set; one that cannot go on is closed, and the page says why."""
    while not stop.wait(_TICK_S):
        if progress is not None:
            progress(recorder.state())
        recorder.tend()
        if recorder.trouble:
            with contextlib.suppress(CaptureError):  # the state's alarms say what it was
                recorder.stop_if_recording()


def _start_trouble(recorder: Recorder, elapsed_s: float) -> str:
    if failures := recorder.sensors.start_failures:
        return failures[0]
    silent = recorder.silent_sensors(math.inf if recorder.sensors.finished else elapsed_s)
    if not silent:
        return ""
    return (
        f"nothing came from {', '.join(silent)} in {elapsed_s:.1f} s; check power, cable and the address that "
        "it sends to (rig.toml says where we listen), or take it out of rig.toml"
    )
