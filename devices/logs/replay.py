"""Plays a capture file as if its sensors were there: the same datagrams, at the same pace, to a machine of one's choice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devices.errors import DeviceError
from devices.logs.pcap import PcapCounts, PcapReader


@dataclass(slots=True)
class Replayed:
    """sent: port sent to -> datagrams. counts: what the file's reader passed over."""

    sent: dict[int, int] = field(default_factory=dict)
    counts: PcapCounts = field(default_factory=PcapCounts)


def replay(
    path: Path,
    to: str = "127.0.0.1",
    *,
    ports: Mapping[int, int] | None = None,
    speed: float = 1.0,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Send the UDP datagrams of a pcap or pcapng file to ``to``, as far apart as they were captured, divided by ``speed``.

    ports: recorded destination port -> port to send to; others keep theirs. progress: gets the datagrams sent and the ns into the
    capture. Raises DeviceError when the file is unreadable, holds no UDP, or ``to`` cannot be sent to.
    """
    if speed <= 0:
        raise DeviceError(f"the speed of a replay must be above 0, not {speed}")
    done = Replayed()
    reader = PcapReader(path)
    stop = stop or threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        first_ns, start_ns, number = None, 0, 0
        for number, datagram in enumerate(reader, start=1):
            if first_ns is None:
                first_ns, start_ns = datagram.t_ns, time.monotonic_ns()
            into_ns = datagram.t_ns - first_ns
            _wait_until(start_ns + round(into_ns / speed), stop)
            if stop.is_set():
                break
            port = (ports or {}).get(datagram.destination_port, datagram.destination_port)
            _send(sender, datagram.payload, to, port)
            done.sent[port] = done.sent.get(port, 0) + 1
            if progress:
                progress(number, into_ns)
    done.counts = reader.counts
    if not number:
        raise DeviceError(
            f"{path} holds no UDP datagrams ({reader.counts.other_frames} other frames); record one with tcpdump -w FILE.pcap udp"
        )
    return done


def _wait_until(due_ns: int, stop: threading.Event) -> None:
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0:
        stop.wait(wait_ns * 1e-9)


def _send(sender: socket.socket, payload: bytes, to: str, port: int) -> None:
    try:
        sender.sendto(payload, (to, port))
    except ConnectionRefusedError:  # an earlier datagram found nobody listening there; that is no fault of this one
        sender.sendto(payload, (to, port))
    except (OSError, OverflowError) as error:
        raise DeviceError(
            f"cannot send {len(payload)} B to UDP {to}:{port}: {error}; give the receiving machine's address with --to"
        ) from None


def port_map(pairs: Iterable[str]) -> dict[int, int]:
    """``["2368:12368"]`` -> {2368: 12368}. Raises DeviceError for what is no pair of ports."""
    ports = {}
    for pair in pairs:
        recorded, _, sent = pair.partition(":")
        if not (recorded.isdecimal() and sent.isdecimal() and max(int(recorded), int(sent)) <= 65535):
            raise DeviceError(f"'{pair}' maps no port to another; write RECORDED:SENT, e.g. 2368:12368")
        ports[int(recorded)] = int(sent)
    return ports
