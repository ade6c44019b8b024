"""What a USB camera can be told (exposure, gain, white balance, focus): set, read back, and put into words.

The figures are V4L2's own, as OpenCV hands them through: exposure in steps of 100 us (V4L2_CID_EXPOSURE_ABSOLUTE), white balance in
kelvin, gain and focus in the camera's unit. Automatic exposure is a menu: 1 is manual, 3 aperture priority, what webcams have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

_EXPOSURE_STEP_US = 100
_EXPOSURE_AUTO, _EXPOSURE_MANUAL = 3, 1


class Settable(Protocol):
    """The part of cv2.VideoCapture that settings go through. get() answers -1 for what the camera does not have."""

    def get(self, prop: int, /) -> float: ...

    def set(self, prop: int, value: float, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What rig.toml asks for; None: as the camera has it. A figure turns the automatic of its kind off."""

    exposure_us: int | None = None
    gain: float | None = None
    white_balance_k: int | None = None
    focus: float | None = None
    auto_exposure: bool | None = None
    auto_white_balance: bool | None = None
    auto_focus: bool | None = None


@dataclass(frozen=True, slots=True)
class SettingsTaken:
    """settings: as read back from the camera, without what it does not have. differs: name -> what was asked and what it is, None: not readable."""

    settings: Mapping[str, float | bool]
    differs: Mapping[str, Mapping[str, Any]]


def none_taken(wanted: Settings) -> SettingsTaken:
    """Of a camera that can neither be told nor asked."""
    asked = {each.name: getattr(wanted, each.name) for each in fields(wanted)}
    return SettingsTaken({}, {name: {"asked": value, "is": None} for name, value in asked.items() if value is not None})


def differs_in_words(differs: Mapping[str, Mapping[str, Any]]) -> str:
    """Name -> what was asked and what it is; empty where nothing differs."""
    found = {
        name: "cannot be read back" if each["is"] is None else f"is {each['is']}" for name, each in differs.items()
    }
    return ", ".join(f"{name} {is_so}, {differs[name]['asked']} was asked" for name, is_so in found.items())


def apply(camera: Settable, wanted: Settings) -> SettingsTaken:
    """Sets what is wanted, automatics before the figures that they would undo, and reads all back."""
    import cv2

    kinds = (  # the automatic's name and property, the figure's
        ("auto_exposure", cv2.CAP_PROP_AUTO_EXPOSURE, "exposure_us", cv2.CAP_PROP_EXPOSURE),
        ("auto_white_balance", cv2.CAP_PROP_AUTO_WB, "white_balance_k", cv2.CAP_PROP_WB_TEMPERATURE),
        ("auto_focus", cv2.CAP_PROP_AUTOFOCUS, "focus", cv2.CAP_PROP_FOCUS),
        ("", -1, "gain", cv2.CAP_PROP_GAIN),
    )
    asked: dict[str, float | bool] = {}
    for automatic, automatic_property, figure, figure_property in kinds:
        value = getattr(wanted, figure)
        is_automatic = getattr(wanted, automatic) if automatic else None
        if value is not None and automatic:
            is_automatic = False
        if is_automatic is not None:
            asked[automatic] = is_automatic
            camera.set(automatic_property, _as_v4l2(automatic, is_automatic))
        if value is not None:
            asked[figure] = value
            camera.set(figure_property, _as_v4l2(figure, value))
    found: dict[str, float | bool] = {}
    for automatic, automatic_property, figure, figure_property in kinds:
        for name, number in ((automatic, automatic_property), (figure, figure_property)):
            raw = camera.get(number) if name else -1.0
            if raw >= 0:
                found[name] = _as_said(name, raw)
    differs = {
        name: {"asked": value, "is": found.get(name)}
        for name, value in asked.items()
        if not _equal(value, found.get(name))
    }
    return SettingsTaken(found, differs)


def _as_v4l2(name: str, value: float | bool) -> float:
    if name == "exposure_us":
        return max(1, round(value / _EXPOSURE_STEP_US))
    if name == "auto_exposure":
        return _EXPOSURE_AUTO if value else _EXPOSURE_MANUAL
    return float(value)


def _as_said(name: str, raw: float) -> float | bool:
    if name == "exposure_us":
        return round(raw * _EXPOSURE_STEP_US)
    if name == "auto_exposure":
        return raw != _EXPOSURE_MANUAL
    return bool(raw) if name.startswith("auto") else raw


def _equal(asked: float | bool, found: float | bool | None) -> bool:
    return found is not None and abs(asked - found) < 1e-6
