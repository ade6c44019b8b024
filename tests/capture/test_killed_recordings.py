"""What the repair of a killed recorder's recording says of its times and of what is missing is true."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capture.bag.writer import BagWriter
from capture.errors import CaptureError
from capture.offload.offload import offload
from capture.recording import open_recording
from capture.recording_folder import begin_folder
from capture.recording_info import EpisodeInfo, MarkInfo, Pause, load_info
from capture.repair import repair
from capture.verify import verify
from capture.workspace import Workspace
from devices.samples import Packet, Stamps
from tests.capture.killed import ROOT, Killed, recorders
from tests.capture.recordings import PERIOD_NS, START_NS, STREAMS, write_recording
from tests.capture.rigs import Sender, free_ports, line, robot_rig, write_rig


def killed_in_a_snapshot(tmp_path: Path, seconds: float, packets: int) -> Path:
    """The folder that a recorder left behind that had written so many packets of the seconds that it held."""
    state, action = free_ports(2)
    words = (write_rig(tmp_path / "rig.toml", state, action), tmp_path, str(seconds), str(packets))
    with Sender({"state": state, "action": action}, 100, padding=1500):
        done = subprocess.run(
            [sys.executable, "-m", "tests.capture.snapshot_process", *words], cwd=ROOT, capture_output=True, timeout=60
        )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (folder,) = (tmp_path / "recordings").glob("*-bench-*")
    return folder


@pytest.mark.parametrize("packets", [150, 0])
def test_a_snapshot_whose_writing_was_cut_off_says_what_was_not_written(tmp_path: Path, packets: int) -> None:
    folder = killed_in_a_snapshot(tmp_path, 3.0, packets)
    done = repair(folder)
    recording = open_recording(folder)
    info, arrivals = recording.info, [each.packet.stamps.host_ns for each in recording.packets()]
    assert bool(arrivals) == bool(packets)
    assert info.ended_ns == max(arrivals, default=info.started_ns)
    missing_s = 3.0 - (info.ended_ns - info.started_ns) / 1e9
    (said,) = [line for line in info.reasons if "snapshot" in line]
    assert float(said.split(" s ")[0].split()[-1]) == pytest.approx(missing_s, abs=0.6)
    assert missing_s > 0.5
    assert not any("quarter second" in line for line in info.reasons)
    assert said in done.reasons
    assert said in verify(folder).doubts


def test_a_killed_recording_begins_with_its_first_packet_and_ends_with_its_last(tmp_path: Path) -> None:
    for killed in recorders(tmp_path, 2, random.Random(7)):
        killed.kill(0.8)
        repair(killed.folder)
        recording = open_recording(killed.folder)
        arrivals = [each.packet.stamps.host_ns for each in recording.packets()]
        assert recording.info.started_ns <= min(arrivals)
        assert recording.info.ended_ns == max(arrivals)
        assert any("quarter second" in line for line in recording.info.reasons)
        assert not any("snapshot" in line for line in recording.info.reasons)


@pytest.mark.parametrize("lost", [7, 0])
def test_losses_of_a_killed_recording_are_said_to_be_the_least(tmp_path: Path, lost: int) -> None:
    """It began with a packet that had waited: its start is that, though its recorder had noted a later one."""
    folder = write_recording(
        Workspace(tmp_path), state="recording", health_values={"lost_before_read": str(lost)}, started_ns=START_NS + 60_000_000
    )  # fmt: skip
    info = load_info(folder)
    info.model_copy(update={"state": "recording", "ended_ns": None, "verdict": None}).save(folder)
    repair(folder)
    info = load_info(folder)
    assert (f"robot/state: at least {lost} packets lost" in info.reasons) == bool(lost)
    assert "what was lost in the last second before the recorder was ended is not counted" in info.notes
    assert info.started_ns == START_NS
    assert info.ended_ns == START_NS + 179 * PERIOD_NS + 1


def test_what_is_still_being_recorded_is_not_offloaded_and_no_repair_is_advised(tmp_path: Path) -> None:
    running = Killed(tmp_path, rate_hz=50, padding=0)
    running.wait_until_open()
    with pytest.raises(CaptureError, match="still being recorded") as said:
        offload(running.folder, str(tmp_path / "there"))
    assert "repair" not in str(said.value).replace("being repaired", "")
    running.kill(0.3)
    with pytest.raises(CaptureError, match="run: fieldrig repair"):
        offload(running.folder, str(tmp_path / "there"))


def test_a_killed_recording_of_what_was_played_from_an_old_file_lasts_as_long_as_its_recorder_did(
    tmp_path: Path,
) -> None:
    folder, info = begin_folder(Workspace(tmp_path), robot_rig(9001, 9002), STREAMS)
    bag, hour_ns = BagWriter(folder / f"{folder.name}_0.mcap", STREAMS), 3_600_000_000_000
    for second in range(4):
        bag.add_health(START_NS + hour_ns + second * 1_000_000_000, [])
        host_ns = START_NS + second * 1_000_000_000
        bag.add(0, second, Packet("robot/state", Stamps(host_ns), line(host_ns, "state", second)), host_ns)
    bag.finish()
    info.model_copy(update={"started_ns": START_NS + hour_ns}).save(folder)
    repair(folder)
    info = load_info(folder)
    assert info.ended_ns is not None
    assert (info.started_ns - START_NS, info.ended_ns - START_NS) == (hour_ns, hour_ns + 3_000_000_000)
    assert not any("snapshot" in each for each in info.reasons)


def test_what_the_crew_said_to_a_recorder_that_was_killed_is_told_as_of_one_that_was_stopped(tmp_path: Path) -> None:
    second_ns = 10**9
    folder = write_recording(
        Workspace(tmp_path),
        marks=(MarkInfo(t_ns=START_NS + second_ns, kind="note", text="it rains"),),
        pauses=(Pause(from_ns=START_NS + second_ns // 2, to_ns=START_NS + second_ns),),
        episodes=(
            EpisodeInfo(task="fold", start_ns=START_NS, stop_ns=START_NS + second_ns, outcome="success"),
            EpisodeInfo(task="fold", start_ns=START_NS, stop_ns=START_NS + second_ns, outcome="discard"),
        ),
    )
    load_info(folder).model_copy(update={"state": "recording", "ended_ns": None, "verdict": None}).save(folder)
    assert repair(folder).done
    info = load_info(folder)
    assert "it rains" in info.notes
    assert [line for line in info.reasons if "pause" in line] == [
        "the episode 'fold' was cut by a pause: 0.5 of its 1.0 s were recorded"
    ]
