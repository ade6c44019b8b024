"""Finding Livox lidars on the network: of the second protocol the host asks by broadcast, one of the first announces itself once a second."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Sequence

from devices.device import Found
from devices.livox.command import ACK, REQUEST, Command, General, SecondFrame, first_frame, second_frame
from devices.livox.packet import KINDS
from devices.livox.setup import IMU_PORT, POINTS_PORT

DISCOVERY_PORT = 56000  # where lidars of the second protocol are asked
BROADCAST_PORT = 55000  # where those of the first announce themselves


def find_livox(
    timeout_s: float, discovery_port: int = DISCOVERY_PORT, broadcast_port: int = BROADCAST_PORT
) -> Sequence[Found]:
    """Who answers the second protocol's question, and who announces itself by the first's. A port that is taken is left alone."""
    found: dict[tuple[str, str], Found] = {}
    with contextlib.ExitStack() as opened:
        asking, hearing = (_listening(opened, port) for port in (discovery_port, broadcast_port))
        sockets = [each for each in (asking, hearing) if each is not None]
        until, ask_at = time.monotonic() + timeout_s, 0.0
        while sockets and (now := time.monotonic()) < until:
            if asking is not None and now >= ask_at:
                ask_at = now + 0.5
                _ask_everybody(asking, discovery_port)
            ready, _, _ = select.select(sockets, [], [], max(0.0, min(until, ask_at) - now))
            for each in ready:
                data, (address, _) = each.recvfrom(2048)
                lidar = _announced(data, address)
                if lidar is not None:
                    found[address, lidar.label] = lidar
    return [_with_own_ports(lidar, number) for number, (_, lidar) in enumerate(sorted(found.items()))]


def _with_own_ports(lidar: Found, number: int) -> Found:
    """Lidars send where they are told: the first one of a rig to the usual ports, each further one to ports of its own."""
    if number == 0:
        return lidar
    ports = {"points_port": POINTS_PORT + 10 * number, "imu_port": IMU_PORT + 10 * number}
    return Found(lidar.driver, lidar.label, {**lidar.config, **ports})


def _listening(opened: contextlib.ExitStack, port: int) -> socket.socket | None:
    made = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        made.bind(("", port))
    except OSError:
        return None
    return made


def _ask_everybody(asking: socket.socket, port: int) -> None:
    """By the broadcast address of every network that this machine is on: the limited one leaves by one interface only."""
    import psutil

    addresses = {
        each.broadcast for all_ in psutil.net_if_addrs().values() for each in all_ if each.family == socket.AF_INET
    }
    request = SecondFrame(1, Command.DISCOVER, REQUEST).to_bytes()
    for address in {"255.255.255.255", *addresses} - {None}:
        with contextlib.suppress(OSError):
            asking.sendto(request, (address, port))


def _announced(data: bytes, address: str) -> Found | None:
    second, first = second_frame(data), first_frame(data)
    if second is not None and (second.command, second.kind) == (Command.DISCOVER, ACK) and len(second.data) >= 24:
        number, serial = second.data[1], second.data[2:18]
    elif first is not None and (first.set_, first.command) == (0, General.BROADCAST) and len(first.data) >= 17:
        number, serial = first.data[16], first.data[:16]
    else:
        return None
    model = next((name for name, kind in KINDS.items() if kind.number == number), None)
    if model is None or KINDS[model].second_protocol != (second is not None):
        return None
    label = f"Livox {model} {serial.split(bytes(1))[0].decode('ascii', 'replace')}"
    return Found("livox", label, {"model": model, "address": address})
