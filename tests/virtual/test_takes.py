"""The cache: rendered once, again when stale, whole after an interruption; its rig file."""

import json

import numpy as np
import pytest

from devices.errors import DeviceError
from devices.rig import load_rig
from devices.virtual import takes as takes_module
from devices.virtual.rig_truth import CAMERAS, RIG_FROM, SENSORS
from devices.virtual.take_files import open_take
from devices.virtual.takes import VirtualTakes, render
from devices.virtual.truth import load_truth, truth_table
from tests.virtual.conftest import copy_of


def test_a_finished_take_is_not_rendered_again_and_a_stale_one_is(
    short_drive: VirtualTakes, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def only_note(folder, name, scene, progress) -> None:
        rendered.append(name)

    takes = copy_of(short_drive, tmp_path / "cache")
    monkeypatch.setattr(takes_module, "write_take", only_note)
    render(takes.cache, takes=["drive"], seconds=0.8)
    assert rendered == []
    render(takes.cache, takes=["drive"], seconds=0.7)
    assert rendered == ["drive"]


def test_an_interrupted_rendering_leaves_no_take_and_the_next_one_is_whole(
    short_drive: VirtualTakes, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder, name, scene, progress) -> None:
        (folder / "lidar.packets").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(takes_module, "write_take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(tmp_path, takes=["drive"], seconds=0.2)
    with pytest.raises(DeviceError, match="no rendered take 'drive'"):
        open_take(tmp_path, "drive")
    shares: list[float] = []
    render(tmp_path, takes=["drive"], seconds=0.2, progress=lambda name, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    again, long = open_take(tmp_path, "drive"), open_take(short_drive.cache, "drive")
    np.testing.assert_array_equal(again.lidar["columns"]["t_ns"], long.lidar["columns"]["t_ns"][: len(again.lidar)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("camera_left.jpegs", b"cut short"),
        ("lidar.packets", b""),
        ("lines.json", None),
        ("schedule.npz", b"cut short"),
        ("made.json", b"[]"),
        ("made.json", b"{"),
    ],
)
def test_a_damaged_take_is_not_played_and_is_rendered_anew(
    short_drive: VirtualTakes, tmp_path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    damaged = takes.cache / "drive" / name
    damaged.unlink() if content is None else damaged.write_bytes(content)
    with pytest.raises(DeviceError, match="is damaged; `fieldrig virtual render` makes it anew"):
        open_take(takes.cache, "drive")
    rendered = []
    monkeypatch.setattr(takes_module, "write_take", lambda folder, name, scene, progress: rendered.append(name))
    render(takes.cache, takes=["drive"], seconds=0.8)
    assert rendered == ["drive"]


def test_an_unknown_take_is_refused_with_the_choices(tmp_path) -> None:
    with pytest.raises(DeviceError, match="calibration, drive"):
        render(tmp_path, takes=["parade"])


def test_the_rig_file_loads_and_its_mounting_is_measured_by_hand_not_known(short_drive: VirtualTakes) -> None:
    rig = load_rig(short_drive.rig)
    assert set(rig.sensors) == set(SENSORS)
    assert rig.board is not None
    for sensor in (*CAMERAS, "lidar"):
        mounting = rig.sensors[sensor].mounting
        assert mounting is not None
        turned, shifted = (
            mounting.rig_from(sensor).angle_to_deg(RIG_FROM[sensor]),
            mounting.rig_from(sensor).distance_to_m(RIG_FROM[sensor]),
        )
        low = 0.1 if sensor == "lidar" else 1.0
        assert low < turned < 4
        assert 0.005 < shifted < 0.05


def test_truth_survives_being_written_and_read(short_drive: VirtualTakes) -> None:
    path = short_drive.truth("drive")
    table = json.loads(path.read_text())
    assert truth_table(load_truth(path)) == table
    assert table["episodes"] == []  # 0.8 s end within the first
    assert {row["category"] for row in table["objects"]} == {"car", "van", "truck", "pedestrian"}


def test_a_full_disk_is_one_line_that_says_how_much_is_needed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(folder, name, scene, progress) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(takes_module, "write_take", no_room)
    with pytest.raises(DeviceError, match=r"No space left on device.*0\.35 GB"):
        render(tmp_path, takes=["drive"], seconds=0.1)
