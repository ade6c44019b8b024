"""What `fieldrig info` and `fieldrig verify` say of recordings with pauses, of those whose older files were given up, and of losses."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fieldrig
from capture.bag.segments import Split
from capture.checksums import write_sums
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import EpisodeInfo, Losses, MarkInfo, Pause, load_info
from capture.workspace import Workspace
from tests.capture.recordings import START_NS, write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig


def said_by(command: str, folder: Path) -> str:
    words = [command, str(folder)]
    done = CliRunner().invoke(fieldrig.command_line(words), words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def rate_of(stream: str, said: str) -> float:
    """Of `fieldrig info`'s table: messages a second."""
    (row,) = [line for line in said.splitlines() if stream in line and "│" in line]
    return float(row.split("│")[3])


def without_first_files(folder: Path, count: int) -> None:
    """As --keep leaves it."""
    info = load_info(folder)
    segments = tuple(each.model_copy(update={"deleted": at < count}) for at, each in enumerate(info.segments))
    for segment in segments[:count]:
        (folder / segment.name).unlink()
    counts = {name: held - 60 * count for name, held in info.counts.items()}
    info.model_copy(update={"segments": segments, "counts": counts}).save(folder)
    write_sums(folder)


def test_what_was_given_up_is_told_and_is_neither_missing_nor_in_the_rates(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), segments=5)
    without_first_files(folder, 3)
    given_up = "3 files (1.8 s, 360 messages) given up by --keep"
    info, verified = said_by("info", folder), said_by("verify", folder)
    assert given_up in info.splitlines()
    assert given_up in verified.splitlines()
    assert rate_of("robot/state", info) == pytest.approx(100, abs=0.5)
    assert "robot/state: 120 messages, 0 missing between them, longest gap" in verified
    assert "verdict: good" in verified


def test_info_shows_what_the_crew_said_did_and_marked(tmp_path: Path) -> None:
    second_ns = 10**9
    outcomes = ("success", "failure", "success", "")
    episodes = [
        EpisodeInfo(task="fold [it]" if n else "wipe", start_ns=START_NS, stop_ns=START_NS + 1, outcome=outcome)
        for n, outcome in enumerate(outcomes)
    ]
    marks = [MarkInfo(t_ns=START_NS + n * second_ns, kind="pothole") for n in range(12)]
    folder = write_recording(
        Workspace(tmp_path),
        site="yard",
        order="kitchen",
        consent_ids=("c1", "c2"),
        episodes=tuple(episodes),
        marks=(
            MarkInfo(t_ns=START_NS + second_ns // 2, kind="mark", text="door closed"),
            MarkInfo(t_ns=START_NS, kind="note", text="rain"),
            *marks,
        ),
        notes=("rain",),
        pauses=(Pause(from_ns=START_NS + second_ns, to_ns=START_NS + 3 * second_ns // 2),),
    )
    lines = said_by("info", folder).splitlines()
    assert lines[1:7] == [
        "site: yard",
        "order: kitchen",
        "consents: c1, c2",
        "episodes: 4 (2 success, 1 failure, 1 never ended): wipe 1, fold [it] 3",
        f"marks: 13: 0.5 s mark (door closed), {', '.join(f'{n}.0 s pothole' for n in range(9))}, and 3 more",
        "pauses: 1, 0.5 s in all: 1.0 s to 1.5 s",
    ]
    assert "rain" in lines


def test_the_length_in_the_list_is_what_the_files_hold(tmp_path: Path) -> None:
    without_first_files(write_recording(Workspace(tmp_path), segments=5), 3)
    pause = Pause(from_ns=START_NS + 10**9, to_ns=START_NS + 2 * 10**9)
    write_recording(Workspace(tmp_path), packets=100, pauses=(pause,))
    words = ["list", "--workspace", str(tmp_path)]
    rows = json.loads(CliRunner().invoke(fieldrig.command_line(words), [*words, "--json"]).output)
    assert sorted(row["kept_s"] for row in rows) == [1.2, 2.0]
    assert "2 of 2 recordings, 3 s," in CliRunner().invoke(fieldrig.command_line(words), words).output


def test_a_recording_reaches_from_its_sensors_first_packet_to_their_last_whatever_health_says(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), segments=2)
    second_ns = 10**9
    info = load_info(folder)
    assert info.ended_ns is not None
    bounds = {
        "started_ns": info.started_ns + 100,
        "ended_ns": info.ended_ns - 100,
    }  # health lies outside, packets inside
    info.model_copy(update=bounds).save(folder)
    recording = open_recording(folder)
    assert (recording.start_ns, recording.end_ns) == (info.started_ns + 100, info.ended_ns - 99)
    without_first_files(folder, 1)
    assert open_recording(folder).start_ns == info.segments[1].start_ns
    info.model_copy(update={"ended_ns": info.started_ns - 3600 * second_ns}).save(folder)
    recording = open_recording(folder)
    packets = [each.packet.stamps.host_ns for each in recording.packets()]
    assert recording.start_ns <= min(packets) <= max(packets) < recording.end_ns, (
        "an end before the start hides nothing"
    )


def test_what_the_queue_dropped_is_missing_though_older_files_were_given_up(tmp_path: Path) -> None:
    folder = write_recording(
        Workspace(tmp_path),
        keep=lambda stream, sequence: (stream, sequence) not in {(0, 90), (0, 91)},
        losses={"robot/state": Losses(queue=2), "robot/action": Losses()},
    )
    without_first_files(folder, 1)
    assert "robot/state: 118 messages, 2 missing between them, longest gap" in said_by("verify", folder)


def test_a_recorder_that_keeps_the_newest_files_says_what_it_gave_up(tmp_path: Path) -> None:
    state, action = free_ports(2)
    limits = Limits(split=Split(bytes_max=200_000), keep_bytes=500_000)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), limits=limits) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 200, padding=60):
            recorder.start()
            time.sleep(4.0)
            folder = recorder.stop()
    files = sum(segment.deleted for segment in load_info(folder).segments)
    said = re.search(rf"^{files} files? \(([0-9.]+) s, (\d+) messages\) given up by --keep$", said_by("info", folder), re.MULTILINE)  # fmt: skip
    assert said is not None
    assert int(said[2]) / float(said[1]) == pytest.approx(400, rel=0.15)
    assert rate_of("robot/state", said_by("info", folder)) == pytest.approx(200, rel=0.15)


def test_rates_are_those_of_the_time_that_was_recorded(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path))
    info = load_info(folder)
    pauses = (
        Pause(from_ns=START_NS + 300_000_000, to_ns=START_NS + 800_000_000),
        Pause(from_ns=START_NS + 1_700_000_000, to_ns=START_NS + 2_700_000_000),  # it lasted beyond the end
    )
    info.model_copy(update={"pauses": pauses}).save(folder)
    said = said_by("info", folder)
    assert rate_of("robot/state", said) == pytest.approx(180 / 1.2, abs=0.1)
    assert "1.8 s, of which 1.2 s are in its files" in said


def test_losses_before_reading_stand_beside_what_is_missing_in_the_files(tmp_path: Path) -> None:
    folder = write_recording(
        Workspace(tmp_path), losses={"robot/state": Losses(before_read=24309), "robot/action": Losses()}
    )
    said = said_by("verify", folder)
    assert "robot/state: 180 messages, 0 missing between them, 24309 lost before they were read, longest gap" in said
    assert "robot/action: 180 messages, 0 missing between them, longest gap" in said
