"""Whether this user may open what the rig's drivers open: serial ports, cameras, USB devices, the workspace."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capture.preflight.finding import Finding, green, red
from capture.workspace import Workspace
from devices.rig import Rig

# Drivers that speak to a USB device without a kernel driver between, and their makers' USB vendor ids.
_RAW_USB: Mapping[str, tuple[str, ...]] = {"realsense": ("8086",), "oak": ("03e7",)}
_USB = Path("/sys/bus/usb/devices")


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A file under /dev that a sensor is opened by. group: whose members may open it, empty where that is unknown."""

    sensor: str
    path: str
    exists: bool
    usable: bool
    group: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """nodes: what the rig names. workspace_trouble: why nothing can be written there, empty when it can be."""

    nodes: tuple[DeviceNode, ...]
    workspace: Path
    workspace_trouble: str = ""


def measure_permissions(rig: Rig, workspace: Workspace) -> Permissions:
    nodes = [_node(sensor.name, path) for sensor in rig.sensors.values() for path in _device_paths(sensor.own)]
    for sensor in rig.sensors.values():
        nodes += [_node(sensor.name, path) for path in usb_nodes(_RAW_USB.get(sensor.driver, ()))]
    if sum(sensor.driver == "uvc" for sensor in rig.sensors.values()) and not any(
        "/video" in node.path for node in nodes
    ):
        nodes += [_node("cameras", str(path)) for path in sorted(Path("/dev").glob("video*"))]
    return Permissions(tuple(nodes), workspace.root, _workspace_trouble(workspace))


def _device_paths(value: Any) -> Iterator[str]:
    """Every path under /dev among a sensor's keys."""
    if isinstance(value, str) and value.startswith("/dev/"):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _device_paths(part)


def usb_nodes(vendors: Sequence[str], devices: Path = _USB) -> list[str]:
    """/dev/bus/usb/BUS/DEVICE of every USB device that one of these vendors made."""
    found = []
    for vendor in sorted(devices.glob("*/idVendor")):
        try:
            if vendor.read_text().strip() in vendors:
                bus, device = (int((vendor.parent / name).read_text()) for name in ("busnum", "devnum"))
                found.append(f"/dev/bus/usb/{bus:03d}/{device:03d}")
        except (OSError, ValueError):  # unplugged meanwhile
            continue
    return found


def _node(sensor: str, path: str) -> DeviceNode:
    usable = os.access(path, os.R_OK | os.W_OK)
    return DeviceNode(sensor, path, Path(path).exists(), usable, _group(path))


def _group(path: str) -> str:
    try:
        return Path(path).group()
    except (OSError, KeyError, NotImplementedError):  # gone; a group without a name; Windows
        return ""


def _workspace_trouble(workspace: Workspace) -> str:
    folder = next(each for each in (workspace.recordings, *workspace.recordings.parents) if each.exists())
    if not folder.is_dir():
        return f"{folder} is no folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"


def permissions(facts: Permissions, unopened: Collection[str] = ()) -> list[Finding]:
    """unopened: sensors of which it is known already that they cannot be opened; that a file of theirs is not there says no more."""
    findings = [_of_node(node) for node in facts.nodes if node.exists or node.sensor not in unopened]
    if facts.workspace_trouble:
        advice = "give another --workspace, or make it yours: sudo chown -R $USER FOLDER"
        return [*findings, red("permissions", "workspace", facts.workspace_trouble, advice)]
    return [*findings, green("permissions", "workspace", f"{facts.workspace} is writable")]


def _of_node(node: DeviceNode) -> Finding:
    if not node.exists:
        return red(
            "permissions",
            node.sensor,
            f"{node.path} is not there",
            f"plug it in, or correct rig.toml; ls -l {Path(node.path).parent} shows what there is",
        )
    if node.usable:
        return green("permissions", node.sensor, f"{node.path} may be opened")
    if node.path.startswith("/dev/bus/usb/"):
        advice = "install the maker's udev rules, then plug it in anew"
    elif node.group and node.group != "root":
        advice = f"sudo usermod -aG {node.group} $USER, then log out and in again"
    else:
        advice = f"give this user the right to read and write {node.path} (a udev rule)"
    return red("permissions", node.sensor, f"{node.path} may not be opened by this user", advice)
