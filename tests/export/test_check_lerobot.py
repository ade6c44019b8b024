"""The check of a LeRobot export passes what was written, and fails each kind of damage by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.check import check
from export.publish import export_recordings
from tests.export.builders import Shape, record_drive

DATA = "data/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.camera_left/chunk-000/file-000.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture(autouse=True)
def checkers(environment: Callable[[str], Path]) -> None:
    environment("checkers")


def test_an_export_passes_and_the_doctor_took_part(exported: Path) -> None:
    report = check(exported / "lerobot")
    assert (report.verdict, report.problems) == ("pass", [])
    expected = {"frames": 50, "episodes": 2, "tasks": 2, "video_frames": 100, "doctor_checks": 11}
    assert expected.items() <= report.figures.items()
    assert report.figures["largest_residual_ms"] <= 20


def test_a_drive_without_actions_passes_and_the_doctors_only_objection_is_noted(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=3, actions=False))
    written = export_recordings(made.workspace, [made.recording.id], name="d", formats=["lerobot"])
    report = check(written[0].folder)
    assert report.problems == []
    assert any("No action features found" in note and "none are made up" in note for note in report.notes)


def drop_a_row(folder: Path) -> None:
    table = pq.read_table(folder / DATA)
    pq.write_table(pa.concat_tables([table.slice(0, 7), table.slice(8)]), folder / DATA)


def swap_two_times(folder: Path) -> None:
    edit(folder, "time_ns.camera_left", lambda times: swapped(times, 11, 12))


def shift_all_times(folder: Path) -> None:
    edit(folder, "time_ns.camera_right", lambda times: [*times[1:], times[-1]])


def swap_two_states(folder: Path) -> None:
    edit(folder, "observation.state", lambda rows: [*rows[:3], [row * 2 for row in rows[3]], *rows[4:]])


def bend_the_grid(folder: Path) -> None:
    edit(folder, "timestamp", lambda times: [*times[:5], times[5] + 0.0006, *times[6:]])


def give_a_row_another_task(folder: Path) -> None:
    edit(folder, "task_index", lambda tasks: [*tasks[:20], 1, *tasks[21:]])


def shift_the_videos_times(folder: Path) -> None:
    rewrite_video(folder / VIDEO, lambda index: index + 1)


def shift_the_videos_pictures(folder: Path) -> None:
    """Every frame at its time, showing what the camera saw one frame later."""
    frames = decoded(folder / VIDEO)
    encode(folder / VIDEO, [*frames[1:], frames[-1]])


def repeat_one_picture(folder: Path) -> None:
    frames = decoded(folder / VIDEO)
    encode(folder / VIDEO, [*frames[:30], frames[24], *frames[31:]])


def cut_the_video(folder: Path) -> None:
    encode(folder / VIDEO, decoded(folder / VIDEO)[:-1])


def lose_a_video(folder: Path) -> None:
    (folder / VIDEO).unlink()


def spoil_a_video(folder: Path) -> None:
    content = (folder / VIDEO).read_bytes()
    (folder / VIDEO).write_bytes(content[: len(content) // 3])


def move_an_episode_in_the_video(folder: Path) -> None:
    table = pq.read_table(folder / EPISODES)
    name = "videos/observation.images.camera_left/from_timestamp"
    column = table.column_names.index(name)
    pq.write_table(table.set_column(column, name, pa.array([0.0, 2.4])), folder / EPISODES)


def promise_more_frames(folder: Path) -> None:
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps({**info, "total_frames": 51}))


def put_in_nan(folder: Path) -> None:
    edit(folder, "action", lambda rows: [[float("nan")] * 2, *rows[1:]])


def forget_the_statistics_of_the_state(folder: Path) -> None:
    stats = json.loads((folder / "meta/stats.json").read_text())
    stats["observation.state"]["max"][0] += 1
    (folder / "meta/stats.json").write_text(json.dumps(stats))


def stop_the_clock(folder: Path) -> None:
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps({**info, "fps": 0}))


def forget_a_column(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / EPISODES).drop_columns(["dataset_from_index"]), folder / EPISODES)


DAMAGES = {
    stop_the_clock: "info.json says 0 rows/s, fieldrig.json 10",
    forget_a_column: "a table lacks what LeRobot demands of it: KeyError('dataset_from_index')",
    drop_a_row: "data/ holds 49 frames, fieldrig.json counts 50",
    swap_two_times: "episode 0: time_ns.camera_left of row 11 is not its source's time",
    shift_all_times: "episode 0: time_ns.camera_right of row 0 is not its source's time",
    swap_two_states: "for observation.state, its rows give",
    bend_the_grid: "episode 0: row 5 is 0.000600 s off the grid of 10 rows/s",
    give_a_row_another_task: "episode 0: its task is ['drive home', 'drive to the gate']",
    shift_the_videos_times: f"{VIDEO}: frame 0 is shown at 0.100000 s, its row is at 0.000000 s",
    shift_the_videos_pictures: f"{VIDEO}: its frames match the rows 1 later better than their own",
    repeat_one_picture: f"{VIDEO}: frame 30 does not show what the camera saw at its row",
    cut_the_video: f"{VIDEO} holds 49 frames for 50 rows",
    lose_a_video: f"{VIDEO} cannot be decoded",
    spoil_a_video: f"{VIDEO} cannot be decoded",
    move_an_episode_in_the_video: "of observation.images.camera_left from 2.4 to 5.0 s, its rows are from 2.5 to 5.0 s",
    promise_more_frames: "info.json says 51 frames, fieldrig.json counts 50",
    put_in_nan: "lerobot-doctor, Action Quality: action: 2 NaN values detected",
    forget_the_statistics_of_the_state: "stats.json gives max",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_fails_the_check_and_is_named(damage: Callable[[Path], None], copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("lerobot")
    damage(folder)
    report = check(folder)
    assert report.verdict == "fail"
    assert any(DAMAGES[damage] in problem for problem in report.problems), report.problems


def test_missing_actions_fail_where_actions_were_recorded(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("lerobot")
    info = json.loads((folder / "meta/info.json").read_text())
    del info["features"]["action"]
    (folder / "meta/info.json").write_text(json.dumps(info))
    assert any("No action features found" in problem for problem in check(folder).problems)


def edit(folder: Path, column: str, change: Callable[[list], list]) -> None:
    table = pq.read_table(folder / DATA)
    field = table.schema.field(column)
    values = pa.array(change(table[column].to_pylist()), field.type)
    pq.write_table(table.set_column(table.column_names.index(column), field, values), folder / DATA)


def swapped(values: list, one: int, other: int) -> list:
    values[one], values[other] = values[other], values[one]
    return values


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def encode(path: Path, frames: list[np.ndarray]) -> None:
    from export.formats.lerobot.video import VideoWriter

    video = VideoWriter(path, 10, frames[0].shape[1], frames[0].shape[0])
    for pixels in frames:
        video.add(pixels)
    video.close()


def rewrite_video(path: Path, place: Callable[[int], int]) -> None:
    """Copy the coded frames and give each another time."""
    moved = path.with_suffix(".moved.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = place(index)
            target.mux(packet)
    shutil.move(moved, path)
