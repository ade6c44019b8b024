"""Having a Livox lidar of the first protocol (Avia, Horizon, Tele-15, Mid-40, Mid-70) send its data here.

The host shakes hands, and keeps the connection alive by a heartbeat a second; without one the lidar falls silent.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from devices.errors import DeviceError
from devices.livox.command import ACK, REQUEST, FirstFrame, General, Lidar, first_frame
from devices.livox.setup import ANSWER_S, SAMPLING, Destination, asked

COMMAND_PORT = 65000  # of the lidar
_HEARTBEAT_S, _HEARTBEAT_LOST_S = 1.0, 3.5


class Connection:
    """A lidar that sends its data here until this is closed. ``alive``: whether it answers heartbeats.

    return_mode: None for a lidar that has neither a choice of returns nor an IMU (Mid-40, Mid-70).
    """

    def __init__(self, address: str, to: Destination, return_mode: int | None, port: int = COMMAND_PORT) -> None:
        self._address = address
        self._sequence = 0
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.settimeout(ANSWER_S)
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
        self._ask(0, General.SAMPLE, SAMPLING)

    def _ask(self, set_: int, command: int, data: bytes) -> None:
        request = self._frame(set_, command, data)

        def answer(received: bytes) -> bytes | None:
            frame = first_frame(received)
            wanted = (request.sequence, set_, command, ACK)
            return frame.data if frame and (frame.sequence, frame.set_, frame.command, frame.kind) == wanted else None

        said = asked(self._socket, request.to_bytes(), answer)
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
