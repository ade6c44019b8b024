"""Point clouds of ROS' drivers -> Sweep: sensor_msgs/PointCloud2, and Livox' own message. Which fields hold intensity, beam and time differs from driver to driver; each way is listed here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.device import Stream
from devices.errors import DeviceError
from devices.samples import Sweep

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # sensor_msgs/PointField
_INTENSITY = ("intensity", "i", "reflectivity", "signal")
_RING = ("ring", "channel", "line")
_TIME = ("t", "time", "timestamp", "offset_time", "time_offset", "time_stamp")
_RETURN = ("return_number", "return_type", "returnNum")
_BEAM_COUNTS = (4, 8, 16, 32, 40, 64, 80, 128, 256)  # of lidars that are sold
_SECOND_NS, _SWEEP_NS_MAX = 1_000_000_000, 10_000_000_000


def sweep_of(stream: Stream, t_ns: int, message: Any) -> Sweep:
    """t_ns moves to the first point's time where points have one. Points at the origin or not finite are no returns and left out."""
    points = _records(message)
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float32)
    with np.errstate(over="ignore"):
        kept = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    points, xyz = points[kept], xyz[kept]
    first_ns, offset_ns = _times(points, t_ns)
    return Sweep(
        sensor=stream.sensor,
        t_ns=first_ns,
        points_m=xyz,
        intensity=_column(points, _INTENSITY, np.float32),
        offset_ns=offset_ns,
        return_number=_column(points, _RETURN, np.uint8),
        ring=_rings(points, xyz),
    )


def livox_sweep(stream: Stream, t_ns: int, message: Any) -> Sweep:
    """livox_ros_driver's CustomMsg: metres, and ns after the message's stamp; a return of 0, 0, 0 is none. Its line is no ring: it
    does not lie at one height.
    """
    values = np.array(
        [(each.offset_time, each.x, each.y, each.z, each.reflectivity) for each in message.points], dtype=np.float64
    ).reshape(-1, 5)
    xyz = values[:, 1:4].astype(np.float32)
    kept = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    offset_ns = values[kept, 0].astype(np.int64)
    first_ns = int(offset_ns.min()) if len(offset_ns) else 0
    return Sweep(
        sensor=stream.sensor,
        t_ns=t_ns + first_ns,
        points_m=xyz[kept],
        intensity=values[kept, 4].astype(np.float32),
        offset_ns=offset_ns - first_ns,
        return_number=np.zeros(len(offset_ns), dtype=np.uint8),
    )


def _records(message: Any) -> NDArray[np.void]:
    """(N,) structured, a field a PointField. Raises DeviceError when the layout is not possible."""
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = [], [], []
    for field in message.fields:
        if field.datatype not in _TYPES or not 0 < field.count <= 64 or field.name in names:
            raise DeviceError("a cloud with a field that is not possible")
        kind = order + _TYPES[field.datatype]
        names.append(field.name)
        formats.append(kind if field.count == 1 else (kind, (field.count,)))
        offsets.append(field.offset)
    if not {"x", "y", "z"} <= set(names) or any(not isinstance(formats[names.index(axis)], str) for axis in "xyz"):
        raise DeviceError("a cloud without x, y and z")
    height, width, row, step = (int(getattr(message, key)) for key in ("height", "width", "row_step", "point_step"))
    try:
        layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": step})
    except (ValueError, TypeError):
        raise DeviceError("a cloud whose fields reach beyond its points") from None
    data = np.ascontiguousarray(message.data, dtype=np.uint8)
    row = row if height > 1 else width * step
    if width * step > row or len(data) < row * height:
        raise DeviceError("a cloud whose size does not fit its bytes")
    rows = data[: row * height].reshape(height, row)[:, : width * step] if row and height else data[:0]
    return np.frombuffer(rows.tobytes(), dtype=layout)


def _found(points: NDArray[np.void], names: tuple[str, ...]) -> str | None:
    """The first of the names that the cloud has as a field of single values."""
    fields: Any = points.dtype.fields or {}
    return next((name for name in names if name in fields and not fields[name][0].shape), None)


def _column(points: NDArray[np.void], names: tuple[str, ...], kind: type[Any]) -> NDArray[Any]:
    name = _found(points, names)
    if name is None:
        return np.zeros(len(points), dtype=kind)
    with np.errstate(invalid="ignore", over="ignore"):
        return points[name].astype(kind)


def _rings(points: NDArray[np.void], xyz: NDArray[np.float32]) -> NDArray[np.uint16] | None:
    """0 the highest beam. ROS drivers count from either end: where the beams rise with their number, they are counted from the other."""
    name = _found(points, _RING)
    if name is None:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        ring = points[name].astype(np.uint16)
    if len(ring) and _rises(ring, xyz):
        beams = next((count for count in _BEAM_COUNTS if count > ring.max()), int(ring.max()) + 1)
        ring = (beams - 1 - ring.astype(np.int64)).astype(np.uint16)
    return ring


def _rises(ring: NDArray[np.uint16], xyz: NDArray[np.float32]) -> bool:
    ground = np.hypot(xyz[:, 0].astype(np.float64), xyz[:, 1])
    elevation = np.arctan2(xyz[:, 2], ground)
    centred = ring - ring.mean()
    return bool((centred * (elevation - elevation.mean())).sum() > 0)


def _times(points: NDArray[np.void], stamp_ns: int) -> tuple[int, NDArray[np.int64]]:
    """(time of the first point, each point's time after it). Integers are ns (Ouster's t), floats are seconds (Velodyne's time);
    what is too large for a time since the stamp is one since 1970 (Hesai's and RoboSense's timestamp).
    """
    name = _found(points, _TIME)
    nothing = stamp_ns, np.zeros(len(points), dtype=np.int64)
    if name is None or not len(points):
        return nothing
    raw = points[name]
    if raw.dtype.kind == "f":
        if not np.isfinite(raw).all():
            return nothing
        raw = raw.astype(np.float64)
        whole = np.floor(raw.min())
        # Seconds since 1970, or ns in a float64 (Livox): apart from their whole part, so that float64 keeps the fraction.
        is_ns = abs(whole) > 1e12
        base_ns = int(whole) if is_ns else int(whole) * _SECOND_NS
        after_ns = np.round((raw - whole) * (1 if is_ns else 1e9)).astype(np.int64)
    else:
        base_ns = int(raw.min())
        after_ns = (raw - raw.min()).astype(np.int64)
    first = int(after_ns.min())
    if int(after_ns.max()) - first > _SWEEP_NS_MAX:
        return nothing
    since_1970 = abs(base_ns) > _SWEEP_NS_MAX
    return (base_ns if since_1970 else stamp_ns + base_ns) + first, after_ns - first
