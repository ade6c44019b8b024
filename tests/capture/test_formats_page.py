"""docs/FORMATS.md: what it says of a recording is so, and enough to read one without fieldrig."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from capture.attend import record
from capture.importers.kitti import import_kitti
from capture.recording import open_recording
from capture.recording_info import (
    EpisodeInfo,
    Interruption,
    Losses,
    MarkInfo,
    Pause,
    RecordingInfo,
    SegmentInfo,
    StreamInfo,
    load_info,
)
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig
from tests.devices.test_kitti import a_drive

PAGE = (Path(__file__).parent.parent.parent / "docs" / "FORMATS.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    """The program that the page shows."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)) == {"struct", "numpy", "mcap"}
    module = ModuleType("shown")
    exec(program, module.__dict__)
    return module


def read(reader: ModuleType, folder: Path) -> Iterator[tuple[Any, ...]]:
    for path in sorted(folder.glob("*.mcap")):
        yield from reader.read(path)


def test_its_program_gets_points_and_pictures_out_of_a_recording(reader: ModuleType, tmp_path: Path) -> None:
    drive = a_drive(tmp_path / "drive")
    folder = import_kitti(drive, Workspace(tmp_path))
    found: dict[str, list[Any]] = {}
    for topic, arrival_ns, stamp_ns, sensor, content in read(reader, folder):
        assert (topic.split("/")[1], arrival_ns) == (sensor, stamp_ns)
        found.setdefault(topic, []).append(content)
    pictures, clouds = found.pop("/camera_02/image"), found.pop("/lidar/points")
    assert [file for _, file in pictures] == [path.read_bytes() for path in sorted(drive.glob("image_02/data/*"))]
    assert {kind for kind, _ in pictures} == {"png"}
    for cloud, path in zip(clouds, sorted(drive.glob("velodyne_points/data/*")), strict=True):
        np.testing.assert_array_equal(cloud, np.fromfile(path, "<f4").reshape(-1, 4))
    assert found == {}


def test_its_program_gets_packets_with_their_stamps_out_of_a_recording(reader: ModuleType, tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    found = [each for each in read(reader, folder) if each[0] == "/robot/state"]
    recorded = list(open_recording(folder).packets(["robot/state"]))
    assert len(found) == len(recorded) > 20
    for (_, arrival_ns, stamp_ns, sensor, content), each in zip(found, recorded, strict=True):
        device_ns, sequence, encoding, packet = content
        assert (arrival_ns, device_ns) == (each.packet.stamps.host_ns, each.packet.stamps.device_ns)
        assert (stamp_ns, sequence, sensor, encoding) == (each.stamp_ns, each.sequence, "robot", "vector.json")
        assert json.loads(packet)["t_ns"] == device_ns


@pytest.mark.parametrize(
    "model", [RecordingInfo, StreamInfo, Losses, SegmentInfo, Interruption, Pause, EpisodeInfo, MarkInfo], ids=lambda each: each.__name__
)  # fmt: skip
def test_every_field_of_recording_json_stands_on_the_page(model: type[BaseModel]) -> None:
    table = PAGE[PAGE.index("recording.json:\n") : PAGE.index("A bag is split into")]
    assert [name for name in model.model_fields if f"`{name}`" not in table] == []


def test_every_file_of_a_recording_is_drawn_on_the_page(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.3)
    drawn = re.search(r"recordings/ID/ .*\n\s+(.*)\n", PAGE)
    assert drawn is not None
    assert sorted(drawn[1].replace("ID", folder.name).split()) == sorted(path.name for path in folder.iterdir())


def test_the_clock_s_formula_on_the_page_is_that_of_the_clock(tmp_path: Path) -> None:
    assert "host = device + host_minus_device_ns + skew_ppm 1e-6 (device - reference_device_ns)" in PAGE
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    fit = load_info(folder).clocks["robot/state"][-1]
    device = fit.reference_device_ns + 40_000_000_000
    said = device + fit.host_minus_device_ns + fit.skew_ppm * 1e-6 * (device - fit.reference_device_ns)
    assert fit.host_from_device(device) == pytest.approx(said, abs=1e3)
