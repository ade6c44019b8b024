"""Finding Livox lidars on the network, and telling them to send their data here.

The second protocol (Mid-360): the host asks by broadcast who is there, and configures a lidar at its command port. The first one (Avia,
Horizon, Tele-15, Mid-40, Mid-70): a lidar broadcasts itself once a second, the host shakes hands, and keeps the connection alive by a
heartbeat a second; without one the lidar falls silent.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devices.device import Found
from devices.errors import DeviceError
from devices.livox_command import (
    ACK,
    REQUEST,
    Command,
    FirstFrame,
    General,
    Key,
    Lidar,
    SecondFrame,
    destination,
    first_frame,
    second_frame,
    settings,
)
from devices.livox_packet import KINDS

DISCOVERY_PORT, BROADCAST_PORT = (
    56000,
    55000,
)  # of the second protocol; where the first one's lidars announce themselves
SECOND_COMMAND_PORT, FIRST_COMMAND_PORT = 56100, 65000  # of the lidar
_HOST_COMMAND_PORT = 56101
POINTS_PORT, IMU_PORT = 56301, 56401  # of this machine, by the manual of the Mid-360
_LIDAR_POINT_PORT, _LIDAR_IMU_PORT = 56300, 56400
_ATTEMPTS, _ANSWER_S = 4, 0.5
_HEARTBEAT_S, _HEARTBEAT_LOST_S = 1.0, 3.5
_SAMPLING = b"\x01"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a lidar is to send: this machine's ports for points and for the IMU's readings (None: it shall not)."""

    points_port: int
    imu_port: int | None


# --- the second protocol ---------------------------------------------------------------------------------------------------


def configure(address: str, to: Destination, point_type: int, port: int = SECOND_COMMAND_PORT) -> None:
    """Have the lidar at ``address`` send points of that type, and its IMU, here. Raises DeviceError when it does not answer or refuses."""
    with _command_socket(address, port) as connection:
        host = connection.getsockname()[0]
        wanted = {
            Key.POINT_TYPE: bytes([point_type]),
            Key.POINT_DESTINATION: destination(host, to.points_port, _LIDAR_POINT_PORT),
        }
        if to.imu_port is not None:
            wanted[Key.IMU_DESTINATION] = destination(host, to.imu_port, _LIDAR_IMU_PORT)
        wanted[Key.IMU_ON] = bytes([to.imu_port is not None])
        # Last, and alone: a lidar that is told everything else then begins to send.
        for sequence, values in enumerate((wanted, {Key.WORK_MODE: _SAMPLING}), start=1):
            _set(connection, address, sequence, values)


def _command_socket(address: str, port: int) -> socket.socket:
    """From the port that the manual names for hosts, or any other when that is taken."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        with contextlib.suppress(OSError):
            connection.bind(("", _HOST_COMMAND_PORT))
        connection.settimeout(_ANSWER_S)
        connection.connect((address, port))
    except OSError as error:
        connection.close()
        raise DeviceError(f"cannot reach the Livox lidar at {address}: {error}; check its address") from None
    return connection


def _set(connection: socket.socket, address: str, sequence: int, values: dict[Key, bytes]) -> None:
    request = SecondFrame(sequence, Command.CONFIGURE, REQUEST, settings(values)).to_bytes()

    def answer(data: bytes) -> bytes | None:
        frame = second_frame(data)
        wanted = (sequence, Command.CONFIGURE, ACK)
        return frame.data if frame and (frame.sequence, frame.command, frame.kind) == wanted else None

    said = _asked(connection, request, answer)
    if said is None:
        raise DeviceError(
            f"the Livox lidar at {address} does not answer; is it powered, at this address, and of the model that rig.toml says?"
        )
    if said[:1] != b"\0":
        key = int.from_bytes(said[1:3], "little")
        raise DeviceError(
            f"the Livox lidar at {address} refuses the setting 0x{key:04x}: code {said[:1].hex() or 'none'}"
        )


def _asked(connection: socket.socket, request: bytes, answer: Callable[[bytes], bytes | None]) -> bytes | None:
    """The answer to a request that is repeated a few times; None when none came."""
    for _ in range(_ATTEMPTS):
        until = time.monotonic() + _ANSWER_S
        with contextlib.suppress(OSError):  # silence, or word that nobody listens there
            connection.send(request)
            while time.monotonic() < until:
                said = answer(connection.recv(2048))
                if said is not None:
                    return said
        time.sleep(max(until - time.monotonic(), 0))
    return None


# --- the first protocol ----------------------------------------------------------------------------------------------------


class Connection:
    """A lidar of the first protocol that sends its data here until this is closed. ``alive``: whether it answers heartbeats.

    return_mode: None for a lidar that has neither a choice of returns nor an IMU (Mid-40, Mid-70).
    """

    def __init__(self, address: str, to: Destination, return_mode: int | None, port: int = FIRST_COMMAND_PORT) -> None:
        self._address = address
        self._sequence = 0
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.settimeout(_ANSWER_S)
            self._socket.connect((address, port))
            self._shake_hands(to, return_mode)
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"cannot reach the Livox lidar at {address}: {error}; check its address") from None
        except DeviceError:
            self._socket.close()
            raise
        self._heard_s = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name=f"livox {address}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._heard_s < _HEARTBEAT_LOST_S

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            with contextlib.suppress(OSError):
                self._socket.send(self._frame(0, General.DISCONNECT).to_bytes())
            self._socket.close()

    def _shake_hands(self, to: Destination, return_mode: int | None) -> None:
        host, command_port = self._socket.getsockname()
        imu_port = to.points_port if to.imu_port is None else to.imu_port
        ports = struct.pack("<HHH", to.points_port, command_port, imu_port)
        self._ask(0, General.HANDSHAKE, socket.inet_aton(host) + ports)
        self._ask(0, General.COORDINATES, b"\0")  # Cartesian
        if return_mode is not None:
            self._ask(1, Lidar.RETURN_MODE, bytes([return_mode]))
            self._ask(1, Lidar.IMU_RATE, bytes([to.imu_port is not None]))  # 200 a second, or none
        self._ask(0, General.SAMPLE, _SAMPLING)

    def _ask(self, set_: int, command: int, data: bytes) -> None:
        request = self._frame(set_, command, data)

        def answer(received: bytes) -> bytes | None:
            frame = first_frame(received)
            wanted = (request.sequence, set_, command, ACK)
            return frame.data if frame and (frame.sequence, frame.set_, frame.command, frame.kind) == wanted else None

        said = _asked(self._socket, request.to_bytes(), answer)
        if said is None:
            raise DeviceError(
                f"the Livox lidar at {self._address} does not answer; is it powered, at this address, and taken by no other program?"
            )
        if said[:1] != b"\0":
            raise DeviceError(
                f"the Livox lidar at {self._address} refuses the command {set_}/{command}: code {said[:1].hex() or 'none'}"
            )

    def _frame(self, set_: int, command: int, data: bytes = b"") -> FirstFrame:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return FirstFrame(self._sequence, set_, command, REQUEST, data)

    def _beat(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError):
                self._socket.send(self._frame(0, General.HEARTBEAT).to_bytes())
                frame = first_frame(self._socket.recv(2048))
                if frame is not None and (frame.command, frame.kind) == (General.HEARTBEAT, ACK):
                    self._heard_s = time.monotonic()
            self._closed.wait(_HEARTBEAT_S)


# --- finding them ----------------------------------------------------------------------------------------------------------


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
