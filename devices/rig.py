"""rig.toml: which sensors a rig carries, by which driver they speak, and where somebody measured them to sit.

name = "van"
vehicle = "robot"                     # free text

[sensors.lidar]
driver = "ouster"
least_latency_ms = 2.0                # from the instant measured to arrival, at best; the maker's or a measured figure
mounting = { xyz_m = [0, 0, 1.2], rpy_deg = [0, 0, 0] }     # rig_from_lidar, measured by hand
rate_hz = 10                          # sweeps, pictures or vectors a second that preflight expects
metadata = "http://..."               # from here on the driver's own keys
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_serializer

from devices.device import Driver, SensorConfig, driver
from devices.errors import DeviceError
from devices.mistakes import mistakes
from devices.rig_check import check_rig
from devices.transform import Transform
from devices.written import Written, text_of

_COMMON = ("driver", "least_latency_ms", "mounting", "rate_hz")
RECORDER = "fieldrig"  # the recorder stands beside the sensors, with the crew's marks
_PASSWORD = re.compile(r"(://[^/:@\s]*:)[^/\s]*@")  # of an address with user:password@
_SENSOR_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Mounting(Written):
    """Where a sensor sits on the rig, as measured by hand: a starting value for calibration, never a result."""

    xyz_m: tuple[float, float, float]
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def rig_from(self, sensor: str) -> Transform:
        return Transform.from_rpy("rig", sensor, self.rpy_deg, self.xyz_m)


class CharucoBoard(Written):
    """A printed ChArUco board: squares across and down, their side, the markers' side, OpenCV's dictionary name."""

    squares: tuple[int, int]
    square_m: float = Field(gt=0)
    marker_m: float = Field(gt=0)
    dictionary: str = "DICT_5X5_100"
    margin_m: float = Field(default=0.0, ge=0)  # from the outermost squares to the board's edge


class Sensor(Written):
    """One sensor of a rig: what all have in common, and its driver's own part. rate_hz: samples a second that it should give."""

    name: str
    driver: str
    least_latency_ms: float = Field(default=0.0, ge=0)
    mounting: Mounting | None = None
    rate_hz: float | None = Field(default=None, gt=0)
    own: dict[str, Any]

    @field_serializer("own", when_used="json")
    def _without_passwords(self, own: dict[str, Any]) -> dict[str, Any]:
        """A recording is handed on; the cameras' passwords are not."""
        return {key: _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value for key, value in own.items()}

    def loaded_driver(self) -> Driver:
        return driver(self.driver)

    def config(self) -> SensorConfig:
        """The driver's own part, checked by the driver's config class."""
        return self.loaded_driver().config.model_validate(self.own)

    @property
    def least_latency_ns(self) -> int:
        return round(self.least_latency_ms * 1e6)


class Rig(Written):
    """A rig as rig.toml describes it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    vehicle: str = ""
    board: CharucoBoard | None = None
    sensors: dict[str, Sensor]

    def driver_of(self, sensor: str) -> Driver:
        """By which a sensor's streams decode, be it one of the rig's or the recorder itself. Raises DeviceError when it is neither."""
        if sensor != RECORDER and sensor not in self.sensors:
            raise DeviceError(f"the rig has no sensor {sensor!r}, only {', '.join(self.sensors)}")
        return driver("marks") if sensor == RECORDER else self.sensors[sensor].loaded_driver()


def load_rig(path: Path) -> Rig:
    """Read and check a rig.toml. Raises DeviceError naming the file, the key and the choices."""
    try:
        text = text_of(path)
    except FileNotFoundError:
        raise DeviceError(f"no rig file at {path}; give the path of a rig.toml (docs/FORMATS.md shows one)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"cannot read the rig file {path}: {error}") from None
    try:
        rig = rig_from_dict(tomllib.loads(text))
        check_rig(rig)
        return rig
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise DeviceError(f"{path}: {mistakes(error)}") from None
    except DeviceError as error:
        raise DeviceError(f"{path}: {error}") from None


def rig_from_dict(table: dict[str, Any]) -> Rig:
    """A checked rig from a TOML table. Raises ValidationError or DeviceError."""
    table = dict(table)
    sensors = {}
    entries = table.pop("sensors", None)
    if not isinstance(entries, dict) or not entries:
        raise DeviceError("a rig needs at least one [sensors.NAME] table")
    for name, entry in entries.items():
        sensors[name] = _sensor(name, entry)
    return Rig.model_validate({**table, "sensors": sensors})


def _sensor(name: str, entry: Any) -> Sensor:
    if not _SENSOR_NAME.fullmatch(name):
        raise DeviceError(f"sensors.{name}: use letters, digits and underscore; a sensor's name begins its ROS topics")
    if name == RECORDER:
        raise DeviceError(f"sensors.{name}: this name is the recorder's own; choose another")
    if not isinstance(entry, dict) or "driver" not in entry:
        raise DeviceError(f'sensors.{name}: say which driver it speaks by, e.g. driver = "ouster"')
    common = {key: entry[key] for key in _COMMON if key in entry}
    drivers_keys = driver(str(entry["driver"])).config.model_fields  # a common key may be the driver's, too
    own = {key: value for key, value in entry.items() if key not in _COMMON or key in drivers_keys}
    try:
        sensor = Sensor.model_validate({"name": name, "own": own, **common})
        sensor.config()
    except ValidationError as error:
        raise DeviceError(f"sensors.{name}: {mistakes(error)}") from None
    return sensor
