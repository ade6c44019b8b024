"""Datagrams that came in fragments and were never put together. The kernel counts them for the whole machine, and tells no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SNMP = Path("/proc/net/snmp")
_SETTINGS = Path("/proc/sys/net/ipv4")


@dataclass(frozen=True, slots=True)
class Reassembly:
    """How the kernel puts IPv4 fragments together. memory_bytes: beyond it every fragment is dropped, until a datagram that lacks one
    is given up, after wait_s. failures: datagrams given up since the machine started.
    """

    memory_bytes: int
    wait_s: int
    failures: int


def reassembly(settings: Path = _SETTINGS, snmp: Path = _SNMP) -> Reassembly | None:
    """As it is now; None where the system does not say (it is not Linux)."""
    failures = reassembly_failures(snmp)
    try:
        memory_bytes, wait_s = (int((settings / name).read_text()) for name in ("ipfrag_high_thresh", "ipfrag_time"))
    except (OSError, ValueError):
        return None
    return None if failures is None else Reassembly(memory_bytes, wait_s, failures)


def reassembly_failures(snmp: Path = _SNMP) -> int | None:
    """Datagrams given up since the machine started (RFC 4293's ipReasmFails)."""
    try:
        names, values = (line.split() for line in snmp.read_text().splitlines() if line.startswith("Ip:"))
        return int(values[names.index("ReasmFails")])
    except (OSError, ValueError, IndexError):
        return None
