"""When this process began: a command's instant is that of the key press, and Python takes a while to start."""

from __future__ import annotations

import os
import time
from pathlib import Path

from devices.host_clock import since_boot_ns


def process_start_ns() -> int:
    """As since_boot_ns() counts: all processes of this machine understand it. On Linux to 5 ms."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (2 * int(fields[19]) + 1) * 1_000_000_000 // (2 * os.sysconf("SC_CLK_TCK"))  # proc(5): starttime
    except (OSError, ValueError, IndexError, AttributeError):
        import psutil

        return since_boot_ns() - int((time.time() - psutil.Process().create_time()) * 1e9)
