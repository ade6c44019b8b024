"""A rig.toml as a person would write it: sensors that were found or named, and what is still to be measured by hand."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from devices.device import Found, driver
from devices.errors import DeviceError
from devices.mistakes import mistakes
from devices.rig import Rig, rig_from_dict
from devices.rig_check import check_rig
from devices.samples import Depth, Image, Sweep

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLACED = {Image, Depth, Sweep}  # what calibration starts to place from a hand-measured mounting

_HEAD = """\
# Which sensors this rig carries. docs/FORMATS.md explains every key; `fieldrig preflight` checks the rig as it stands.
name = {name}
vehicle = {vehicle}

# The ChArUco board that the rig is calibrated with, as it was printed:
# [board]
# squares = [8, 6]        # across, down
# square_m = 0.1
# marker_m = 0.075
"""
_MOUNTING = """\
# Measure by hand where it sits on the rig (x forward, y left, z up; roll, pitch, yaw about fixed axes), then uncomment:
# mounting = { xyz_m = [0.0, 0.0, 0.0], rpy_deg = [0.0, 0.0, 0.0] }
"""


@dataclass(frozen=True, slots=True)
class NamedSensor:
    """A sensor on its way into rig.toml."""

    name: str
    found: Found


def rig_toml(name: str, sensors: Sequence[NamedSensor], vehicle: str = "") -> str:
    """The file's text, which loads as a rig. Raises DeviceError saying which name or key would not."""
    names = [sensor.name for sensor in sensors]
    if twice := [each for each in names if names.count(each) > 1]:
        raise DeviceError(f"rig '{name}': two sensors are called '{twice[0]}'; a sensor's name is its own")
    text = _HEAD.format(name=toml_value(name), vehicle=toml_value(vehicle))
    text += "".join(_sensor(sensor) for sensor in sensors)
    try:
        check_rig(rig_from_dict(tomllib.loads(text)))
    except ValidationError as error:
        raise DeviceError(f"rig '{name}': {mistakes(error)}") from None
    return text


def check_name(name: str) -> None:
    """Raises DeviceError when no rig may be called so: the name becomes a file's and a folder's."""
    try:
        Rig.model_validate({"name": name, "sensors": {}})
    except ValidationError as error:
        raise DeviceError(mistakes(error)) from None


def _sensor(sensor: NamedSensor) -> str:
    found = sensor.found
    label = " ".join(found.label.split())
    lines = [
        "",
        *([f"# {label}"] if label else []),
        f"[sensors.{toml_key(sensor.name)}]",
        f"driver = {toml_value(found.driver)}",
    ]
    lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in found.config.items()]
    placed = _PLACED & set(driver(found.driver).yields.values())
    return "\n".join(lines) + "\n" + (_MOUNTING if placed else "")


def toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def toml_value(value: Any) -> str:
    """Text, numbers, booleans, and lists and tables of these, on one line. Raises DeviceError for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # inf, nan and 1e-05 are TOML, too
    if isinstance(value, Mapping):
        inside = ", ".join(f"{toml_key(str(key))} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    raise DeviceError(f"a {type(value).__name__} ({value!r}) cannot stand in rig.toml")


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but that TOML wants DEL escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
