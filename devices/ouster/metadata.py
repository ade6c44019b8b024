"""What an Ouster sensor says of itself: the metadata JSON, flat (files of old clients) or nested (sensors of today).

Source: ouster-lidar/ouster-sdk, "Sensor Data Format" of the sensor documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.device import ClockSource
from devices.errors import DeviceError

_NESTED = ("sensor_info", "beam_intrinsics", "lidar_intrinsics", "imu_intrinsics", "config_params")
# Distance between the axis of rotation and where a beam starts, for metadata that does not say it.
_ORIGIN_MM = {"OS-0": 27.67, "OS-1": 15.806, "OS-2": 13.762}
_ORIGIN_GEN1_MM = 12.163
_CLOCKS = {"TIME_FROM_PTP_1588": ClockSource.PTP, "TIME_FROM_SYNC_PULSE_IN": ClockSource.PPS}
_LAYOUT_BEFORE_1_14: Mapping[str, Any] = {"pixels_per_column": 64}  # firmware before 1.14 does not say it
_FETCH_TIMEOUT_S = 5.0
_METADATA_PATH = "/api/v1/sensor/metadata"


@dataclass(frozen=True, slots=True, eq=False)
class OusterMetadata:
    """The part of the metadata that decoding needs. Angles in degrees, one a row (beam), the highest first.

    column_window: first and last measurement id sent, both inclusive; the first may be greater (the window wraps).
    lidar_to_sensor: (4, 4), millimetres. beam_origin_mm: (x, z) of where a beam starts, in a frame that turns with the head.
    initialization_id, serial_number: None where the metadata does not say. timestamp_mode: what the sensor's clock follows, in its own words, maybe empty.
    """

    rows: int
    columns: int
    columns_per_packet: int
    column_window: tuple[int, int]
    lidar_profile: str
    imu_profile: str
    fusa: bool
    imu_measurements_per_packet: int
    altitude_deg: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    lidar_to_sensor: NDArray[np.float64]
    beam_origin_mm: tuple[float, float]
    initialization_id: int | None
    serial_number: int | None
    product_line: str
    timestamp_mode: str

    @property
    def clock_source(self) -> ClockSource:
        return _CLOCKS.get(self.timestamp_mode, ClockSource.FREE)

    def window_columns(self) -> NDArray[np.int64]:
        """The measurement ids that the sensor sends, from the window's first to its last."""
        first, last = self.column_window
        return (first + np.arange((last - first) % self.columns + 1)) % self.columns


def fetch_metadata(where: str) -> str:
    """The metadata JSON text at a path, or from a sensor: ``http://HOST`` or its whole ``/api/v1/sensor/metadata`` address.

    Raises DeviceError saying what to do when it cannot be had.
    """
    if not where.startswith(("http://", "https://")):
        try:
            return Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(
                f"cannot read the Ouster metadata {where}: {error}; give its path or the sensor's http address"
            ) from None
    import httpx

    address = where if where.split("://", 1)[1].strip("/").count("/") else where.rstrip("/") + _METADATA_PATH
    try:  # a sensor stands on the rig's own network: no proxy leads there
        answer = httpx.get(address, timeout=_FETCH_TIMEOUT_S, trust_env=False)
        return answer.raise_for_status().text
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeviceError(
            f"no Ouster metadata at {address}: {error}; is the sensor powered and at this address?"
        ) from None


def read_metadata(text: str) -> OusterMetadata:
    """Raises DeviceError naming the key that is missing or wrong."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"the Ouster metadata is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DeviceError(
            "the Ouster metadata is not a JSON object; fetch it from http://SENSOR/api/v1/sensor/metadata"
        )
    flat = _flattened(found)
    try:
        metadata = _metadata(flat)
    except KeyError as error:
        raise DeviceError(f"the Ouster metadata lacks {error}; fetch it again from the sensor") from None
    except (TypeError, ValueError, IndexError) as error:
        raise DeviceError(f"the Ouster metadata does not make sense: {error}") from None
    _check(metadata)
    return metadata


def _flattened(found: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(found)
    for part in _NESTED:
        if isinstance(found.get(part), dict):
            flat |= found[part]
    data_format = found.get("lidar_data_format", found.get("data_format"))
    return flat | {"data_format": data_format if isinstance(data_format, dict) else None}


def _metadata(flat: Mapping[str, Any]) -> OusterMetadata:
    columns = _columns(flat)
    layout = flat["data_format"] or _LAYOUT_BEFORE_1_14
    imu_layout = flat.get("imu_data_format") or {}
    first, last = layout.get("column_window", (0, columns - 1))
    profile = str(layout.get("udp_profile_lidar") or flat.get("udp_profile_lidar") or "LEGACY")
    initialization_id = flat.get("initialization_id", flat.get("init_id"))
    return OusterMetadata(
        rows=int(layout["pixels_per_column"]),
        columns=int(layout.get("columns_per_frame", columns)),
        columns_per_packet=int(layout.get("columns_per_packet", 16)),
        column_window=(int(first), int(last)),
        lidar_profile=profile,
        imu_profile=_imu_profile(flat, layout, imu_layout),
        fusa=profile.startswith("FUSA_")
        or str(layout.get("header_type", flat.get("header_type", ""))).upper() == "FUSA",
        imu_measurements_per_packet=int(
            imu_layout.get("imu_measurements_per_packet", layout.get("imu_measurements_per_packet", 8))
        ),
        altitude_deg=_angles(flat["beam_altitude_angles"]),
        azimuth_deg=_angles(flat["beam_azimuth_angles"]),
        lidar_to_sensor=np.array(flat["lidar_to_sensor_transform"], dtype=np.float64).reshape(4, 4),
        beam_origin_mm=_beam_origin_mm(flat),
        initialization_id=None if initialization_id is None else int(initialization_id) & 0xFFFFFF,
        serial_number=int(flat["prod_sn"]) if str(flat.get("prod_sn", "")).isdecimal() else None,
        product_line=str(flat.get("prod_line", "")),
        timestamp_mode=str(flat.get("timestamp_mode", "")),
    )


def _imu_profile(*tables: Mapping[str, Any]) -> str:
    return next((str(table["udp_profile_imu"]) for table in tables[::-1] if table.get("udp_profile_imu")), "LEGACY")


def _columns(flat: Mapping[str, Any]) -> int:
    layout = flat["data_format"]
    if layout and "columns_per_frame" in layout:
        return int(layout["columns_per_frame"])
    return int(str(flat["lidar_mode"]).partition("x")[0])  # "1024x10": columns x turns a second


def _angles(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64).reshape(-1)


def _beam_origin_mm(flat: Mapping[str, Any]) -> tuple[float, float]:
    transform = flat.get("beam_to_lidar_transform")
    if transform is not None:
        matrix = np.array(transform, dtype=np.float64).reshape(4, 4)
        return float(matrix[0, 3]), float(matrix[2, 3])
    stated = flat.get("lidar_origin_to_beam_origin_mm")
    if stated is not None:
        return float(stated), 0.0
    line = str(flat.get("prod_line", ""))
    return next((origin for start, origin in _ORIGIN_MM.items() if line.startswith(start)), _ORIGIN_GEN1_MM), 0.0


def _check(metadata: OusterMetadata) -> None:
    """Raises DeviceError where the figures contradict each other; the limits are the widest that any sensor has, with room."""
    said: tuple[tuple[str, int, Callable[[int], bool]], ...] = (
        ("pixels_per_column", metadata.rows, lambda n: 1 <= n <= 256),
        ("columns_per_frame", metadata.columns, lambda n: 1 <= n <= 8192),
        ("columns_per_packet", metadata.columns_per_packet, lambda n: 1 <= n <= 64),
        ("imu_measurements_per_packet", metadata.imu_measurements_per_packet, lambda n: 1 <= n <= 1024),
        ("column_window[0]", metadata.column_window[0], lambda n: 0 <= n < metadata.columns),
        ("column_window[1]", metadata.column_window[1], lambda n: 0 <= n < metadata.columns),
        ("the number of beam_altitude_angles", len(metadata.altitude_deg), lambda n: n == metadata.rows),
        ("the number of beam_azimuth_angles", len(metadata.azimuth_deg), lambda n: n in (1, metadata.rows)),
    )
    for name, value, holds in said:
        if not holds(value):
            raise DeviceError(
                f"the Ouster metadata does not make sense: {name} is {value} at {metadata.rows} rows x {metadata.columns} columns"
            )
    numbers = (metadata.altitude_deg, metadata.azimuth_deg, metadata.lidar_to_sensor, np.array(metadata.beam_origin_mm))
    if not all(np.isfinite(each).all() for each in numbers):
        raise DeviceError("the Ouster metadata does not make sense: an angle or a transform is not a finite number")
