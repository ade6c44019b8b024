"""Telling a Livox lidar to send its data here, by the second protocol (Mid-360): the host configures it at its command port."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from devices.errors import DeviceError
from devices.livox.command import ACK, REQUEST, Command, Key, SecondFrame, destination, second_frame, settings

POINTS_PORT, IMU_PORT = 56301, 56401  # of this machine, by the manual of the Mid-360
COMMAND_PORT, _HOST_COMMAND_PORT = 56100, 56101
_LIDAR_POINT_PORT, _LIDAR_IMU_PORT = 56300, 56400
ANSWER_S, _ATTEMPTS = 0.5, 4
SAMPLING = b"\x01"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a lidar is to send: this machine's ports for points and for the IMU's readings (None: it shall not)."""

    points_port: int
    imu_port: int | None


def configure(address: str, to: Destination, point_type: int, port: int = COMMAND_PORT) -> None:
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
        for sequence, values in enumerate((wanted, {Key.WORK_MODE: SAMPLING}), start=1):
            _set(connection, address, sequence, values)


def _command_socket(address: str, port: int) -> socket.socket:
    """From the port that the manual names for hosts, or any other when that is taken."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        with contextlib.suppress(OSError):
            connection.bind(("", _HOST_COMMAND_PORT))
        connection.settimeout(ANSWER_S)
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

    said = asked(connection, request, answer)
    if said is None:
        raise DeviceError(
            f"the Livox lidar at {address} does not answer; is it powered, at this address, and of the model that rig.toml says?"
        )
    if said[:1] != b"\0":
        key = int.from_bytes(said[1:3], "little")
        raise DeviceError(
            f"the Livox lidar at {address} refuses the setting 0x{key:04x}: code {said[:1].hex() or 'none'}"
        )


def asked(connection: socket.socket, request: bytes, answer: Callable[[bytes], bytes | None]) -> bytes | None:
    """The answer to a request that is repeated a few times; None when none came."""
    for _ in range(_ATTEMPTS):
        until = time.monotonic() + ANSWER_S
        with contextlib.suppress(OSError):  # silence, or word that nobody listens there
            connection.send(request)
            while time.monotonic() < until:
                said = answer(connection.recv(2048))
                if said is not None:
                    return said
        time.sleep(max(until - time.monotonic(), 0))
    return None
