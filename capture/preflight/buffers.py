"""Whether the kernel's receive buffers carry this rig over the moments in which its reader does not get the processor."""

from __future__ import annotations

from pathlib import Path

from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.trial import StreamFacts, Trial
from devices.udp import RECEIVE_BUFFER_BYTES

_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
# The kernel charges a datagram's whole pages and its own bookkeeping (sk_buff and its shared info) against the buffer. Measured on
# loopback: 832 bytes for a datagram of 60, 2.3 kB for 1206, 16.6 kB for 8448, 25.7 kB for 24832; network cards hand over emptier pages.
_CHARGE, _CHARGE_BYTES = 2.0, 768
_GREEN_S, _RED_S = 0.25, 0.05  # a garbage collection, another program's burst; a scheduler's slice or two


def rmem_max_bytes(path: Path = _RMEM_MAX) -> int | None:
    """What a program without privileges may ask for; None where the system does not say (it is not Linux)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def buffers(trial: Trial, rmem_max: int | None) -> list[Finding]:
    return [
        _buffer(each, each.receive_buffer_bytes, trial, rmem_max)
        for each in trial.streams
        if each.receive_buffer_bytes is not None and each.packets
    ]


def _buffer(facts: StreamFacts, granted_bytes: int, trial: Trial, rmem_max: int | None) -> Finding:
    charged_bytes_s = (facts.size_bytes * _CHARGE + facts.packets * _CHARGE_BYTES) / trial.duration_s
    held_s = granted_bytes / charged_bytes_s
    held = f"{held_s:.1f} s" if held_s >= 1 else f"{held_s * 1e3:.0f} ms"
    measured = f"{granted_bytes / 1e6:.1f} MB hold {held} of this stream"
    if held_s >= _GREEN_S:
        return green("buffers", facts.stream.name, measured)
    return (red if held_s < _RED_S else amber)("buffers", facts.stream.name, measured, advice(rmem_max))


def advice(rmem_max: int | None) -> str:
    wanted = RECEIVE_BUFFER_BYTES
    if rmem_max is not None and rmem_max >= wanted:
        return "spread this sensor's data over several ports, or lower its rate"
    said = "" if rmem_max is None else f" (it is {rmem_max})"
    return (
        f"sudo sysctl -w net.core.rmem_max={wanted}{said}; to keep it: "
        f"echo net.core.rmem_max={wanted} | sudo tee /etc/sysctl.d/60-fieldrig.conf"
    )
