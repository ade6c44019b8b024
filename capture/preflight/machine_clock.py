"""Whether this machine's own clock follows the world's."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from capture.preflight.finding import Finding, amber, green, red

_TIMESYNC = Path("/run/systemd/timesync/synchronized")  # touched by systemd-timesyncd at every answer of its server
_STA_UNSYNC, _STA_NANO, _TIME_ERROR = 0x0040, 0x2000, 5  # linux/timex.h
_OFFSET_AMBER_MS, _ERROR_AMBER_MS = 20.0, 500.0
_OLDEST_NS = 1_735_689_600_000_000_000  # 2025: an earlier time is a machine that lost its battery
_WHAT_TO_DO = (
    "let it meet a time server before the drive (timedatectl set-ntp true, or install chrony), or a GNSS receiver"
)


@dataclass(frozen=True, slots=True)
class MachineClock:
    """What the system says of its clock. synchronised: None where it does not say.

    offset_ms: what is still being corrected. error_ms: the most that the clock may be off, by the kernel's account. by: who corrects it.
    """

    now_ns: int
    synchronised: bool | None
    offset_ms: float | None = None
    error_ms: float | None = None
    by: str = ""


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h, down to what is read here; the rest is room for the kernel to write to."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("room", ctypes.c_byte * 256),
    )  # fmt: skip


def measure_machine_clock(now_ns: int) -> MachineClock:
    """By chrony where it runs, else by the kernel's account (adjtimex, which needs no privilege to read)."""
    kernel = _kernel(now_ns)
    if (offset_ms := _chrony_offset_ms()) is not None:
        return MachineClock(now_ns, True, offset_ms, kernel.error_ms, "chrony")
    if _TIMESYNC.exists():
        return MachineClock(
            now_ns, kernel.synchronised is not False, kernel.offset_ms, kernel.error_ms, "systemd-timesyncd"
        )
    return kernel


def _kernel(now_ns: int) -> MachineClock:
    if sys.platform != "linux":
        return MachineClock(now_ns, None)
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return MachineClock(now_ns, None)
    if state < 0:
        return MachineClock(now_ns, None)
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    offset_ms = timex.offset / (1e6 if timex.status & _STA_NANO else 1e3)
    return MachineClock(
        now_ns, synchronised, offset_ms, timex.maxerror / 1e3, "the kernel's account" if synchronised else ""
    )


def _chrony_offset_ms() -> float | None:
    """The fifth field of `chronyc -c tracking` is the correction under way, in s; the last says whether there is a source at all."""
    if shutil.which("chronyc") is None:
        return None
    try:
        told = subprocess.run(
            ["chronyc", "-c", "tracking"], capture_output=True, text=True, timeout=2, check=True,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return chrony_offset_ms(told.stdout)


def chrony_offset_ms(tracking: str) -> float | None:
    """From one line of comma-separated values; None when chrony follows nobody, or the line is none."""
    fields = tracking.strip().split(",")
    if len(fields) < 14 or fields[-1] == "Not synchronised":
        return None
    try:
        return float(fields[4]) * 1e3
    except ValueError:
        return None


def machine_clock(clock: MachineClock) -> list[Finding]:
    check, subject = "clock", "this machine"
    if clock.now_ns < _OLDEST_NS:
        return [red(check, subject, "its date lies before 2025", f"set it: {_WHAT_TO_DO}")]
    if clock.synchronised is None:
        return [amber(check, subject, "the system does not say whether its clock is corrected", _WHAT_TO_DO)]
    if not clock.synchronised:
        return [
            amber(
                check, subject, "runs free: nobody corrects it, so that UTC is as good as it was last set", _WHAT_TO_DO
            )
        ]
    figures = [
        f"{abs(value):.3f} ms {what}"
        for value, what in ((clock.offset_ms, "off"), (clock.error_ms, "off at the most"))
        if value is not None
    ]
    measured = f"corrected by {clock.by}" + (f": {', '.join(figures)}" if figures else "")
    if abs(clock.offset_ms or 0) > _OFFSET_AMBER_MS or (clock.error_ms or 0) > _ERROR_AMBER_MS:
        return [
            amber(
                check,
                subject,
                measured,
                "wait until it has settled: a clock that is being pulled stretches time in the recording",
            )
        ]
    return [green(check, subject, measured)]
