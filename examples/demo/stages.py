"""The stages that the virtual rig's road and a real drive's share: labels out, labels in, dataset, checks."""

from __future__ import annotations

from annotate.label_studio.pull import PullReport, pull
from annotate.label_studio.push import PushReport, push
from calibration.calibration import Calibration
from capture.recording import Recording
from capture.verify import Verified, verify
from examples.demo import pictures
from examples.demo.report import Figure, Stage
from examples.demo.road import Road
from export.check import check
from export.publish import export_recordings
from export.report import Report

FORMATS = ("lerobot", "nuscenes")


def tell_recording(stage: Stage, recording: Recording) -> Verified:
    """Verify a recording and put what it holds into the stage's table."""
    verified = verify(recording.folder, decode=False)  # the stages to come decode all of it
    for stream in verified.streams:
        stage.figures.append(
            Figure(stream.name, f"{stream.messages} messages", f"{stream.missing} missing between them")
        )
    stage.figures.append(
        Figure(
            f"verify {recording.id}",
            verified.verdict,
            "hashes, counts, gaps and stamps; none damaged",
            not verified.damage,
        )
    )
    return verified


def send_labels_out(
    road: Road, project: str, recording: Recording, calibration: Calibration, every_ns: int | None
) -> PushReport:
    story = (
        "Keyframes go to the real Label Studio server, each with a metric bird's-eye picture, the cameras, and pre-labels: ground "
        "removed, the rest clustered, a box around each cluster."
    )
    with road.stage("Labels out", story) as stage:
        report = push(
            road.server, road.workspace, project, recording, calibration, every_ns, progress=road.progress("Labels out")
        )
        stage.figures += [
            Figure("keyframes on the server", str(report.sent + report.already_there)),
            Figure("pre-labels", str(report.prelabels)),
        ]
        stage.pictures += pictures.labelling_screen(road.server, report.url)
    return report


def fetch_labels(road: Road, project: str) -> PullReport:
    story = (
        "Annotations come back as cuboids in the lidar's frame, each with the messages it was seen in, the calibration, the "
        "annotator and the guideline. Height comes from the points inside the box. Pulling again makes no new revision."
    )
    with road.stage("Labels in", story) as stage:
        report = pull(road.server, road.workspace, project, progress=road.progress("Labels in"))
        again = pull(road.server, road.workspace, project)
        stage.figures += [
            Figure("labelled keyframes", str(report.frames)),
            Figure("cuboids", str(report.cuboids)),
            Figure("broken annotations", str(len(report.broken)), "0", not report.broken),
            Figure("made by a second pull", str(int(again.is_new)), "0", not again.is_new),
        ]
    road.scorecard["broken_annotations"] = len(report.broken)
    return report


def write_dataset(road: Road, name: str, project: str, recordings: list[Recording]) -> list[Report]:
    story = "One view of recordings, calibration and labels, written as LeRobot v3.0 and as nuScenes."
    with road.stage("Dataset", story) as stage:
        reports = export_recordings(
            road.workspace,
            [recording.folder for recording in recordings],
            name=name,
            formats=FORMATS,
            project=project,
            progress=road.progress("Dataset"),
        )
        for report in reports:
            stage.figures.append(Figure(report.format, "written", _told(report)))
    return reports


def check_dataset(road: Road, written: list[Report]) -> list[Report]:
    story = (
        "Each export is opened by its real consumer in an environment of its own, and its counts, times and a known cuboid's "
        "points are reconciled with what went in."
    )
    with road.stage("Checks", story) as stage:
        reports = [check(report.folder) for report in written]
        for report in reports:
            told = "; ".join(report.problems) or _told(report)
            stage.figures.append(Figure(f"{report.format} check", report.verdict, told, report.verdict == "pass"))
    return reports


def _told(report: Report) -> str:
    return ", ".join(f"{what.replace('_', ' ')} {value}" for what, value in report.figures.items())
