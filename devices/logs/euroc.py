"""What a EuRoC folder's sensors give: PNG pictures, and lines of a CSV file. It comes in through `fieldrig import euroc`.

    [sensors.imu0]
    driver = "euroc"
    folder = "imu0"

Layout and units: Burri et al. 2016, "The EuRoC micro aerial vehicle datasets".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from devices.cameras.picture import picture_decoder
from devices.device import Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.samples import Image, ImuSample, NamedVector, Packet, Sample

PICTURE, IMU_ENCODING, STATE_ENCODING = "png", "euroc.imu", "euroc.state"
DATA, SENSOR_YAML = "data.csv", "sensor.yaml"
# What a CSV's columns are where its first line does not say it.
NAMES = {
    IMU_ENCODING: "#timestamp [ns],w_x,w_y,w_z,a_x,a_y,a_z",
    STATE_ENCODING: "#timestamp,p_x [m],p_y [m],p_z [m],q_w [],q_x [],q_y [],q_z []",
}
_POSE = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")
_FOLDERS = (
    (re.compile(r"cam\d+"), PICTURE), (re.compile(r"imu\d+"), IMU_ENCODING),
    (re.compile(r"(state_groundtruth_estimate|leica|vicon|mocap|gt)\d*"), STATE_ENCODING),
)  # fmt: skip


class EurocConfig(SensorConfig):
    folder: str


class EurocDriver:
    """Streams: ``camN/image``, ``imuN/imu``, ``state_groundtruth_estimate0/state``."""

    config = EurocConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {
        PICTURE: Image,
        IMU_ENCODING: ImuSample,
        STATE_ENCODING: NamedVector,
    }

    def open(self, name: str, config: EurocConfig) -> Sequence[Source]:
        raise DeviceError(f"{name}: {config.folder} is a folder of a dataset, no sensor; run: fieldrig import euroc")

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding == PICTURE:
            return picture_decoder(stream.sensor)
        if stream.encoding == IMU_ENCODING:
            return PacketDecoder(partial(_imu, stream.sensor))
        if stream.encoding == STATE_ENCODING:
            return PacketDecoder(partial(_state, stream, _columns(stream.description)))
        raise DeviceError(f"{stream.name}: a EuRoC folder has no stream of '{stream.encoding}'")

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A folder is no sensor: it is not looked for."""
        return ()


def encoding_of(folder: str) -> str:
    """What a sensor's folder of that name holds; "" when it is no sensor's."""
    return next((encoding for pattern, encoding in _FOLDERS if pattern.fullmatch(folder)), "")


def time_ns(line: bytes) -> int | None:
    """The first column; None where it is no time."""
    first = line.split(b",")[0].strip()
    return int(first) if first.isdigit() and len(first) <= 19 else None


def picture_names(line: bytes) -> Iterator[str]:
    """Where a line's picture may lie: as its second column says, or named by its time."""
    columns = [column.strip().decode("utf-8", "replace") for column in line.split(b",")]
    if len(columns) > 1 and columns[1] and "/" not in columns[1] and not columns[1].startswith("."):
        yield columns[1]
    yield f"{columns[0]}.png"


def mounting_of(path: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """sensor.yaml's T_BS (body from sensor, 4x4) as metres and degrees about fixed axes; None where there is none that is rigid."""
    try:
        match = re.search(r"T_BS:.*?data:\s*\[(.*?)\]", path.read_text(encoding="utf-8"), re.DOTALL)
        values = [float(each) for each in match[1].split(",")] if match else []
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    if len(values) != 16 or not np.isfinite(values).all():
        return None
    matrix = np.array(values).reshape(4, 4)
    turn = matrix[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        return None
    return _three(matrix[:3, 3]), _three(np.degrees(_rpy(turn)))


def _rpy(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """R = Rz(yaw) Ry(pitch) Rx(roll)."""
    pitch = np.arcsin(np.clip(-turn[2, 0], -1, 1))
    if abs(turn[2, 0]) > 1 - 1e-9:  # roll and yaw turn about the same axis: all of it is called yaw
        return np.array([0.0, pitch, np.arctan2(-turn[0, 1], turn[1, 1])])
    return np.array([np.arctan2(turn[2, 1], turn[2, 2]), pitch, np.arctan2(turn[1, 0], turn[0, 0])])


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _numbers(packet: Packet) -> tuple[int, NDArray[np.float64]] | None:
    """(time, all other columns); None for what is no line of numbers."""
    t_ns = time_ns(packet.data)
    try:
        values = np.array([float(each) for each in packet.data.split(b",")[1:]], dtype=np.float64)
    except ValueError:
        return None
    return None if t_ns is None or not np.isfinite(values).all() else (t_ns, values)


def _imu(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[ImuSample]:
    """rad/s, then m/s^2, in the IMU's frame."""
    read = _numbers(packet)
    if read is None or len(read[1]) != 6:
        rejections.add("no line of an IMU's six values")
        return
    yield ImuSample(sensor, read[0], read[1][:3], read[1][3:])


def _state(stream: Stream, columns: tuple[str, ...], packet: Packet, rejections: Rejections) -> Iterable[NamedVector]:
    """The body's pose in the world as pose.*, and whatever other columns there are under their own names."""
    read = _numbers(packet)
    if read is None or len(read[1]) != len(columns):
        rejections.add("no line of as many values as its columns")
        return
    yield NamedVector(stream.sensor, read[0], "state", columns, read[1])


def _columns(header: str) -> tuple[str, ...]:
    """The names of all columns but the first: ``p_RS_R_x [m]`` and its six followers are a pose."""
    names = [name.strip() for name in (header or NAMES[STATE_ENCODING]).lstrip("#").split(",")][1:]
    is_pose = [bool(re.match(rf"p_.*?{axis}\b|p_{axis}\b", name)) for axis, name in zip("xyz", names, strict=False)]
    has_turn = len(names) >= 7 and all(name.startswith("q_") for name in names[3:7])
    if len(is_pose) == 3 and all(is_pose):
        names = [*(_POSE if has_turn else _POSE[:3]), *names[7 if has_turn else 3 :]]
    return (
        tuple(names) if len(set(names)) == len(names) else tuple(f"{name}.{index}" for index, name in enumerate(names))
    )


DRIVER = EurocDriver()
