"""The road on the virtual rig, whose truth is known: from sensors on sockets to two datasets that load, and a score for each stage."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from annotate.label_studio.client import Client
from calibration.calibrate import calibrate
from calibration.calibration import Calibration, save
from capture.attend import record
from capture.details import Details
from capture.recording import Recording, open_recording
from devices.errors import FieldrigError
from devices.rig import load_rig
from devices.virtual.takes import CALIBRATION, DRIVE, render
from examples.demo import annotator, pictures, scorecard
from examples.demo.report import Figure
from examples.demo.road import Road
from examples.demo.scorecard import scored, sent_file
from examples.demo.stages import check_dataset, fetch_labels, send_labels_out, tell_recording, write_dataset

KEYFRAMES_EVERY_NS = 500_000_000  # nuScenes' 2 Hz
_LAST_PACKETS_S = 0.5  # for what is still in the sockets when the player has sent all; a second would be a silence
_END_S = 30.0  # in which the player, that nobody listens to any more, must end


def walk_virtual(road: Road, cache: Path) -> Path:
    """Render, record, calibrate, label, export, check, score; returns the report."""
    with _booting(road) as booted:
        with road.knowing(
            "Virtual world", "A street, a robot, its sensors and a board, ray-cast once into a cache."
        ) as stage:
            takes = render(cache, progress=road.progress("Virtual world"))
            stage.figures += [
                Figure(f"take '{take}'", f"{length_ns / 1e9:.0f} s") for take, length_ns in takes.length_ns.items()
            ]
        board = _record(
            road, cache, CALIBRATION, "The robot stands; a ChArUco board is carried through its cameras' views."
        )
        drive = _record(
            road,
            cache,
            DRIVE,
            "The robot drives six episodes through a street with traffic, and reports its state and action.",
        )
        calibration = _calibrate(road, board)
        booted.result()
    project = f"street-{drive.id}"
    send_labels_out(road, project, drive, calibration, KEYFRAMES_EVERY_NS)
    files = road.server.files / project
    with road.knowing("Annotator", annotator.CORRECTS) as stage:
        corrections = annotator.correct_all(Client(road.server), project, files, cache / DRIVE, drive)
        stage.figures += corrections.figures()
    road.notes.append(annotator.CORRECTS)
    fetch_labels(road, project)
    written = write_dataset(road, "street-demo", project, [drive])
    checked = check_dataset(road, written)
    with road.knowing("Score", "Every stage beside the virtual rig's truth, which none of them could open.") as stage:
        takes = [scored(cache, CALIBRATION, board), scored(cache, DRIVE, drive)]
        road.scorecard |= scorecard.score_recordings(takes)
        road.scorecard |= scorecard.score_calibration(calibration, takes[0].truth)
        road.scorecard |= scorecard.score_labels(road.workspace, files, project, takes[1])
        road.scorecard["prelabel_recall"] = round(corrections.easy_found / max(corrections.easy, 1), 4)
        road.scorecard["episodes"] = scorecard.count_episodes(written[0].folder)
        road.scorecard |= {f"{report.format}_check": report.verdict for report in checked}
        stage.figures += scorecard.figures(road.scorecard)
        stage.pictures += pictures.labelled_frames(road.workspace, project, drive, calibration, 3)
    return road.finish("fieldrig on the virtual rig")


@contextmanager
def _booting(road: Road) -> Iterator[Future[None]]:
    """Label Studio boots at the side; its first boot takes as long as rendering does."""
    with ThreadPoolExecutor(1) as side:
        try:
            yield side.submit(road.server.start)
        except BaseException:  # whatever ends the road must not wait for the end of a boot
            road.server.stop()
            raise


def _record(road: Road, cache: Path, take: str, story: str) -> Recording:
    """Play a take through real sockets, and record until a moment after its last packet."""
    with road.stage(
        f"Recording: {take}", f"{story} Real sockets, real time, the recorder that a field crew uses."
    ) as stage:
        player = _start_player(cache, take)
        over = threading.Event()
        watch = threading.Thread(target=_set_after, args=(player, over), daemon=True)
        watch.start()
        try:
            folder = record(
                load_rig(cache / "rig.toml"),
                road.workspace,
                duration_s=None,
                stop=over,
                details=Details(operator="demo", site="virtual street", task=take),
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                player.wait(_END_S)
        finally:
            player.kill()
        if player.wait() != 0:
            raise FieldrigError(
                f"the player of the virtual rig's take '{take}' ended with code {player.returncode}; see its message above"
            )
        recording = open_recording(folder)
        tell_recording(stage, recording)
        stage.pictures += pictures.first_frame(recording)
    return recording


def _start_player(cache: Path, take: str) -> subprocess.Popen[str]:
    """The player, once its cameras can be reached."""
    words = [
        sys.executable,
        "-m",
        "devices.virtual.play",
        str(cache),
        take,
        "--sent",
        str(sent_file(cache, take)),
        "--tied",
    ]
    player = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if player.stdout is None or not player.stdout.readline().startswith("ready"):
        raise FieldrigError(f"the player of the virtual rig's take '{take}' did not start; see its message above")
    return player


def _set_after(player: subprocess.Popen[str], over: threading.Event) -> None:
    """Set once the player says what it has sent, or has ended."""
    if player.stdout is not None:
        player.stdout.readline()
    time.sleep(_LAST_PACKETS_S)
    over.set()


def _calibrate(road: Road, board: Recording) -> Calibration:
    story = "Lenses, camera places and clocks from the board recording alone, each with its uncertainty and verdict."
    with road.stage("Calibration", story) as stage:
        calibration = calibrate(board, progress=road.progress("Calibration"))
        save(calibration, road.workspace)
        for name, camera in calibration.cameras.items():
            stage.figures.append(
                Figure(
                    name,
                    f"{camera.rms_px:.3f} px rms",
                    f"fx {camera.model.fx:.2f} ± {camera.sigma[0]:.2f} px, {camera.views} views, {camera.verdict}",
                )
            )
        for name, mount in calibration.mounts.items():
            sigma = (
                "the rig frame's gauge"
                if not mount.sigma_m
                else f"sigma {mount.sigma_m * 1000:.1f} mm, {mount.sigma_deg:.3f} deg"
            )
            stage.figures.append(Figure(f"{name} placed", mount.verdict, sigma))
        for name, offset in calibration.time_offsets.items():
            stage.figures.append(
                Figure(
                    f"{name} clock",
                    f"± {offset.sigma_ns / 1e6:.3f} ms",
                    f"least latency {offset.latency_ns / 1e6:.1f} ms {offset.source}, {offset.verdict}",
                )
            )
        stage.figures.append(
            Figure("verdict", calibration.verdict, "; ".join(calibration.reasons), calibration.verdict != "refused")
        )
        stage.pictures += pictures.overlays(board, calibration, 2)
    return calibration
