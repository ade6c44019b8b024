"""Whether cameras of a kind are set alike, and keep what they were set to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from capture.preflight.finding import Finding, amber, green
from capture.preflight.trial import StreamFacts, Trial
from devices.samples import Image
from devices.uvc.settings import differs_in_words

_LOCK = "set it to a fixed value in rig.toml: what changes by itself changes colours, blur and geometry in the data"


def camera_settings(trial: Trial) -> list[Finding]:
    """A finding for each kind of camera (a driver's), and one for those that do not tell how they are set."""
    cameras = [each for each in trial.streams if each.yields is Image]
    told = {each.stream.name: settings for each in cameras if (settings := settings_of(each.stream.description))}
    findings: list[Finding] = []
    for kind in dict.fromkeys(_kind_of(each) for each in cameras):
        alike = [each for each in cameras if _kind_of(each) == kind]
        refused = [finding for each in alike for finding in _refused(each)]
        names = [each.stream.name for each in alike if each.stream.name in told]
        findings += refused or _of_kind({name: told[name] for name in names})
    if untold := [each.stream.name for each in cameras if each.stream.name not in told]:
        findings.append(
            amber("camera settings", ", ".join(untold), "not told by the camera",
                  "fix exposure, gain, white balance and focus alike on the cameras' own pages")
        )  # fmt: skip
    return findings


def _kind_of(camera: StreamFacts) -> tuple[str, str]:
    """The driver, and which of a sensor's pictures it is: a depth camera's infrared is set otherwise than its colour."""
    return camera.driver, camera.stream.name.partition("/")[2]


def settings_of(description: str) -> Mapping[str, Any]:
    """What a camera stream's description says was set and read back; empty when it says nothing."""
    return _table(description, "settings")


def _table(description: str, key: str) -> Mapping[str, Any]:
    try:
        said = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    table = said.get(key) if isinstance(said, dict) else None
    return table if isinstance(table, dict) else {}


def _refused(camera: StreamFacts) -> list[Finding]:
    """``differs`` of a description: name -> {asked, is}."""
    differs = _table(camera.stream.description, "differs")
    if not differs:
        return []
    said = differs_in_words({name: each for name, each in differs.items() if _is_pair(each)})
    advice = "ask in rig.toml for what the camera can do, or take these keys out"
    return [amber("camera settings", camera.stream.name, said or ", ".join(differs), advice)]


def _is_pair(value: Any) -> bool:
    return isinstance(value, dict) and {"asked", "is"} <= value.keys()


def _of_kind(cameras: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    findings = [finding for name, settings in cameras.items() for finding in _automatic(name, settings)]
    if unequal := _unequal(list(cameras.values())):
        figures = "; ".join(f"{key}: " + ", ".join(f"{cameras[name].get(key)}" for name in cameras) for key in unequal)
        findings.append(
            amber("camera settings", ", ".join(cameras), f"they differ in {figures}", "set them alike in rig.toml")
        )
    if findings or not cameras:
        return findings
    subject = ", ".join(cameras)
    return [
        green(
            "camera settings",
            subject,
            f"{'equal and ' if len(cameras) > 1 else ''}fixed: {_told(next(iter(cameras.values())))}",
        )
    ]


def _automatic(name: str, settings: Mapping[str, Any]) -> list[Finding]:
    on = [key for key, value in settings.items() if key.startswith("auto") and value]
    return [amber("camera settings", name, f"{', '.join(on)} on", _LOCK)] if on else []


def _unequal(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def _told(settings: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in settings.items() if not key.startswith("auto"))
        or "nothing automatic"
    )
