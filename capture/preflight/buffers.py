"""Whether the kernel's receive buffers carry this rig over the moments in which its reader does not get the processor."""

from __future__ import annotations

from pathlib import Path

from capture.ip_fragments import Reassembly
from capture.preflight.finding import Finding, amber, green, red
from capture.preflight.trial import StreamFacts, Trial
from devices.samples import Image
from devices.udp.source import RECEIVE_BUFFER_BYTES

_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
# The kernel charges a datagram's whole pages and its own bookkeeping (sk_buff and its shared info) against the buffer. Measured on
# loopback: 832 bytes for a datagram of 60, 2.3 kB for 1206, 16.6 kB for 8448, 25.7 kB for 24832; network cards hand over emptier pages.
_CHARGE, _CHARGE_BYTES = 2.0, 768
_FRAME_BYTES = 1472  # the most that a UDP datagram brings along in one Ethernet frame
_DAMAGED_SHARE = 0.001  # of the datagrams; each holds its memory until it is given up, and beyond the memory every fragment is dropped
_FRAGMENT_ADVICE = (
    "sudo sysctl -w net.ipv4.ipfrag_time=3 net.ipv4.ipfrag_high_thresh=134217728; to keep it: write both lines "
    "(NAME = VALUE) to /etc/sysctl.d/60-fieldrig.conf"
)
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


def fragments(trial: Trial, before: Reassembly | None, after: Reassembly | None) -> list[Finding]:
    """Whether datagrams larger than a frame can be put together. before, after: the trial; None where the system does not say."""
    torn = [each for each in trial.streams if each.receive_buffer_bytes is not None and _is_torn(each)]
    if not torn or before is None or after is None:
        return []
    check, subject = "buffers", "fragments"
    if (failed := after.failures - before.failures) > 0:
        measured = f"{failed} datagrams lacked a fragment and were given up by the kernel during the trial"
        return [amber(check, subject, measured, f"check cables and switches; {_FRAGMENT_ADVICE}")]
    bytes_s = sum(each.size_bytes for each in torn) / trial.duration_s
    share = after.memory_bytes / (bytes_s * _CHARGE * after.wait_s)
    measured = f"{after.memory_bytes / 1e6:.1f} MB for {after.wait_s} s: while up to {min(share, 1):.2%} of the datagrams lack one, the others come"
    if share >= _DAMAGED_SHARE:
        return [green(check, subject, measured)]
    return [amber(check, subject, measured, _FRAGMENT_ADVICE)]


def _is_torn(facts: StreamFacts) -> bool:
    """Whether its datagrams are larger than an Ethernet frame carries; a picture comes in many."""
    return facts.yields is not Image and facts.packets > 0 and facts.size_bytes > _FRAME_BYTES * facts.packets
