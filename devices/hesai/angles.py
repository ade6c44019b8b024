"""Where each channel of a Hesai lidar looks: the calibration file of the unit, its way out of the lidar, nominal tables.

Nominal tables exist for XT16, XT32 and XT32M only, whose manuals state evenly spaced beams; single units depart from them by up to 0.15
degrees. The other models' beams are uneven: their unit's own file is needed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.errors import DeviceError

COMMAND_PORT = 9347
_GET_CALIBRATION = b"\x47\x74\x05\x00\0\0\0\0"
_TIMEOUT_S = 5.0
_TEXT_BYTES_MAX = 1 << 20

_NOMINAL_DEG: Mapping[str, Callable[[], NDArray[np.floating]]] = {
    "XT16": lambda: 15.0 - 2.0 * np.arange(16),
    "XT32": lambda: 15.0 - 1.0 * np.arange(32),
    "XT32M": lambda: 19.5 - 1.3 * np.arange(32),
}


def nominal_angles(model: str) -> str | None:
    """A calibration file by the manual, None where it states none."""
    if model not in _NOMINAL_DEG:
        return None
    rows = (f"{number},{elevation:.3f},0" for number, elevation in enumerate(_NOMINAL_DEG[model](), start=1))
    return "Channel,Elevation,Azimuth\n" + "\n".join(rows) + "\n"


def read_angles(text: str) -> NDArray[np.float64]:
    """(C, 2) elevation and azimuth offset of each channel, degrees. Raises DeviceError saying what is wrong.

    The columns are found by name; what stands before them (a byte order mark, lines of "EEFF") and behind (a hash) is passed over.
    """
    lines = [[cell.strip() for cell in line.split(",")] for line in text.lstrip("\ufeff").splitlines()]
    named = [[cell.lower() for cell in line] for line in lines]
    start = next((at for at, cells in enumerate(named) if "elevation" in cells and "azimuth" in cells), None)
    if start is None:
        raise DeviceError(
            "the Hesai calibration has no line that names the columns Elevation and Azimuth; is it this lidar's CSV file?"
        )
    columns = [0, named[start].index("elevation"), named[start].index("azimuth")]
    rows = []
    for cells in lines[start + 1 :]:
        try:
            rows.append([float(cells[at]) for at in columns])
        except (ValueError, IndexError):
            break
    angles = np.array(rows, dtype=np.float64).reshape(-1, 3)
    if angles[:, 0].tolist() != list(range(1, len(angles) + 1)) or not len(angles):
        raise DeviceError(
            f"the Hesai calibration does not count its channels from 1 up; line {start + 2 + len(angles)} ends the table"
        )
    if not np.isfinite(angles).all() or (abs(angles[:, 1]) > 90).any() or (abs(angles[:, 2]) > 360).any():
        raise DeviceError("the Hesai calibration holds an angle beyond 90 degrees of elevation or 360 of azimuth")
    return np.asarray(angles[:, 1:], dtype=np.float64)


def angles_text(where: str) -> str:
    """The calibration's text: of a file, or of the lidar at ``tcp://ADDRESS`` or ``tcp://ADDRESS:PORT``. Raises DeviceError."""
    if where.startswith("tcp://"):
        address, _, port = where.removeprefix("tcp://").partition(":")
        if not (port or str(COMMAND_PORT)).isdecimal():
            raise DeviceError(f"'{where}' is no address of a lidar; give tcp://ADDRESS or the path of a CSV file")
        return fetch_angles(address, int(port or COMMAND_PORT))
    try:
        return Path(where).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(
            f"cannot read the Hesai calibration {where}: {error}; give the path of its CSV file, or tcp:// and the lidar's address"
        ) from None


def fetch_angles(address: str, port: int = COMMAND_PORT) -> str:
    """The calibration that the lidar itself holds. Raises DeviceError when it cannot be had."""
    try:
        with socket.create_connection((address, port), timeout=_TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.sendall(_GET_CALIBRATION)
            head = _received(connection, 8)
            size = int.from_bytes(head[4:], "big")
            if head[:3] != _GET_CALIBRATION[:3] or head[3] or size > _TEXT_BYTES_MAX:
                raise DeviceError(f"the Hesai lidar at {address}:{port} gives no calibration: it answers {head.hex()}")
            return _received(connection, size).decode("utf-8-sig", "replace").split("\0")[0]
    except OSError as error:
        raise DeviceError(
            f"no Hesai calibration at {address}:{port}: {error}; is the lidar powered and at this address?"
        ) from None


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise DeviceError(f"the Hesai lidar closed the connection after {len(data)} of {size} B of its calibration")
        data += part
    return data
