"""A small EuRoC folder by the public layout, and what may be wrong with one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.errors import CaptureError
from capture.importers.euroc import IMPORTER
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.samples import Image, ImuSample, NamedVector
from devices.transform import Transform

START_NS = 1_403_636_579_763_555_584
GROUND_TRUTH = "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z [], v_RS_R_x [m s^-1], v_RS_R_y [m s^-1], v_RS_R_z [m s^-1]"
BODY_FROM_CAMERA = Transform.from_rpy("rig", "cam0", (-90.0, 10.0, -85.0), (0.1, -0.02, 0.03))


def a_folder(path: Path) -> Path:
    root = path / "mav0"
    for name in ("cam0", "cam1", "imu0", "state_groundtruth_estimate0"):
        (root / name / "data").mkdir(parents=True)
    for camera in ("cam0", "cam1"):
        lines = ["#timestamp [ns],filename"]
        for number in range(4):
            t_ns = START_NS + number * 50_000_000
            cv2.imwrite(str(root / camera / "data" / f"{t_ns}.png"), np.full((6, 8), 40 * number, dtype=np.uint8))
            lines.append(f"{t_ns},{t_ns}.png")
        (root / camera / "data.csv").write_text("\r\n".join(lines) + "\r\n")
    numbers = ", ".join(f"{value:.12f}" for value in BODY_FROM_CAMERA.matrix.reshape(-1))
    (root / "cam0" / "sensor.yaml").write_text(
        f"sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n  data: [{numbers}]\nrate_hz: 20\n"
    )
    lines = [
        "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]"
    ]
    lines += [f"{START_NS + number * 5_000_000},-0.1,0.2,0.3,9.1,0.4,-3.1" for number in range(40)]
    (root / "imu0" / "data.csv").write_text("\n".join(lines) + "\n")
    pose = f"{START_NS},4.688,-1.786,0.783,0.534108,-0.153029,-0.827383,-0.082152,-0.027,0.033,0.800"
    (root / "state_groundtruth_estimate0" / "data.csv").write_text(f"{GROUND_TRUTH}\n{pose}\n")
    return path


def imported(path: Path, place: Path) -> Recording:
    return open_recording(IMPORTER.import_into(path, Workspace(place)))


def test_every_picture_and_line_is_there_byte_for_byte_at_its_time(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    assert IMPORTER.recognises(folder)
    assert IMPORTER.recognises(folder / "mav0")
    recording = imported(folder, tmp_path)
    assert recording.counts == {
        "cam0/image": 4,
        "cam1/image": 4,
        "imu0/imu": 40,
        "state_groundtruth_estimate0/state": 1,
    }
    pictures = [(each.packet.stamps.host_ns, each.packet.data) for each in recording.packets(["cam1/image"])]
    files = sorted((folder / "mav0/cam1/data").iterdir())
    assert pictures == [(int(file.stem), file.read_bytes()) for file in files]
    lines = (folder / "mav0/imu0/data.csv").read_bytes().splitlines(keepends=True)[1:]
    assert [each.packet.data for each in recording.packets(["imu0/imu"])] == lines
    assert recording.info.verdict == verify(recording.folder).verdict == "good"
    arrivals = [each.packet.stamps.host_ns for each in recording.packets()]
    assert arrivals == sorted(arrivals)


def test_samples_are_in_si_units_and_the_ground_truth_is_a_pose(tmp_path: Path) -> None:
    recording = imported(a_folder(tmp_path / "MH_01_easy"), tmp_path)
    samples = {each.span.stream: each.sample for each in recording.samples()}
    imu, state, image = samples["imu0/imu"], samples["state_groundtruth_estimate0/state"], samples["cam0/image"]
    assert isinstance(imu, ImuSample)
    assert (imu.angular_rate.tolist(), imu.acceleration.tolist()) == ([-0.1, 0.2, 0.3], [9.1, 0.4, -3.1])
    assert isinstance(state, NamedVector)
    assert state.t_ns == START_NS
    told = dict(zip(state.names, state.values.tolist(), strict=True))
    assert (told["pose.x_m"], told["pose.qw"], told["v_RS_R_z [m s^-1]"]) == (4.688, 0.534108, 0.8)
    assert isinstance(image, Image)
    assert image.pixels.shape == (6, 8, 3)


def test_the_rig_is_mounted_as_sensor_yaml_says_and_that_file_is_kept(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    recording = imported(folder, tmp_path)
    mounting = recording.rig.sensors["cam0"].mounting
    assert mounting is not None
    np.testing.assert_allclose(mounting.rig_from("cam0").matrix, BODY_FROM_CAMERA.matrix, atol=1e-9)
    assert recording.rig.sensors["cam1"].mounting is None
    kept = recording.folder / "original/mav0/cam0/sensor.yaml"
    assert kept.read_bytes() == (folder / "mav0/cam0/sensor.yaml").read_bytes()


def test_straight_up_and_mirrored_mountings(tmp_path: Path) -> None:
    from devices.logs.euroc import mounting_of

    for rpy_deg in ((0, 90, 0), (30, 90, 0), (0, -90, 45), (180, 0, 0), (12, -34, 56)):
        turn = Transform.from_rpy("rig", "cam0", rpy_deg, (1, 2, 3))
        (tmp_path / "sensor.yaml").write_text(f"T_BS:\n  data: [{', '.join(map(str, turn.matrix.reshape(-1)))}]")
        found = mounting_of(tmp_path / "sensor.yaml")
        assert found is not None
        np.testing.assert_allclose(Transform.from_rpy("rig", "cam0", found[1], found[0]).matrix, turn.matrix, atol=1e-7)
    for text in ("", "T_BS: [1, 2]", "T_BS:\n  data: [" + ", ".join(["2"] * 16) + "]", "T_BS:\n  data: [a]"):
        (tmp_path / "sensor.yaml").write_text(text)
        assert mounting_of(tmp_path / "sensor.yaml") is None
    assert mounting_of(tmp_path / "nothing.yaml") is None


def test_what_is_missing_or_broken_makes_the_recording_doubtful_and_costs_nothing_else(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    root = folder / "mav0"
    (root / "cam0/data" / f"{START_NS + 50_000_000}.png").unlink()
    (root / "cam1/data" / f"{START_NS}.png").write_bytes(b"no picture")
    with (root / "imu0/data.csv").open("a") as file:
        file.write(
            f"later,1,2,3,4,5,6\n{START_NS},1,2,3,4,5,6\n{START_NS + 10**9},1,2,3\n\n{START_NS + 10**9},1,2,3,4,5,nan"
        )
    recording = imported(folder, tmp_path)
    assert recording.counts == {
        "cam0/image": 3,
        "cam1/image": 4,
        "imu0/imu": 42,
        "state_groundtruth_estimate0/state": 1,
    }
    assert recording.info.verdict == "doubtful"
    assert set(recording.info.reasons) == {
        "cam0/image: 1 pictures that data.csv names are not there",
        "cam1/image: 1 of 4 messages cannot be decoded: not a whole JPEG or PNG",
        "imu0/imu: 2 lines of data.csv have no time, or one before the last",
        "imu0/imu: 2 of 42 messages cannot be decoded: no line of an IMU's six values",
    }
    assert recording.info.losses["cam0/image"].before_read == 1


def test_what_is_no_sensors_is_kept_where_it_is_small_text_and_named_as_left_out_where_not(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    (folder / "mav0/body.yaml").write_text("comment: 'the vehicle'\n")
    (folder / "mav0/pointcloud0").mkdir()
    (folder / "mav0/pointcloud0/data.ply").write_bytes(b"ply\n" + bytes(range(256)))
    recording = imported(folder, tmp_path)
    assert recording.info.reasons == ("1 files of MH_01_easy were left out, since nothing here reads them",)
    assert "left out: mav0/pointcloud0/data.ply" in recording.info.notes
    assert (recording.folder / "original/mav0/body.yaml").read_bytes() == b"comment: 'the vehicle'\n"
    named = {line[66:] for line in (recording.folder / "origin.sha256").read_text().splitlines()}
    assert named == {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_a_name_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "mav0/cam0/data.csv").write_text(f"{START_NS + 7},../../../../secret.png\n")
    assert imported(folder, tmp_path).counts["cam0/image"] == 0


def test_what_is_no_euroc_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(CaptureError, match=f"{path.name}"):
            IMPORTER.import_into(path, Workspace(tmp_path))
    assert not (tmp_path / "recordings").exists()
