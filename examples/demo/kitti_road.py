"""The road on a real drive: a KITTI folder, from its files to two datasets that load."""

from __future__ import annotations

from pathlib import Path

from annotate.label_studio.client import Client
from calibration.calibration import save
from calibration.files import import_kitti_calibration
from capture.importers.kitti import import_kitti
from capture.recording import open_recording
from examples.demo import annotator, pictures
from examples.demo.report import Figure
from examples.demo.road import Road
from examples.demo.stages import check_dataset, fetch_labels, send_labels_out, tell_recording, write_dataset


def walk_kitti(road: Road, drive: Path) -> Path:
    """Import, calibrate by import, label, export, check; returns the report."""
    with road.stage("Import", "The drive's own bytes go into a recording, image by image and cloud by cloud.") as stage:
        recording = open_recording(import_kitti(drive, road.workspace))
        verified = tell_recording(stage, recording)
        road.notes += recording.info.notes
        road.scorecard |= {
            "recording": recording.id,
            "frames_recorded": min(check.messages for check in verified.streams),
            "recording_verdict": verified.verdict,
        }
    with road.stage(
        "Calibration", "Imported from the calibration files that came with the drive; fieldrig measured none of it."
    ) as stage:
        calibration = import_kitti_calibration(drive)
        save(calibration, road.workspace)
        stage.figures.append(
            Figure("calibration", calibration.id, f"verdict {calibration.verdict}: {'; '.join(calibration.reasons)}")
        )
        stage.pictures += pictures.overlays(recording, calibration, 4)
    project = f"kitti-{recording.id}"
    road.server.start(lambda what, seconds: road.progress("Label Studio")(what, min(seconds / 120, 1.0)))
    sent = send_labels_out(road, project, recording, calibration, every_ns=None)
    with road.knowing("Annotator", annotator.ACCEPTS) as stage:
        handed_in = annotator.accept_all(Client(road.server), project)
        stage.figures.append(Figure("frames handed in", str(handed_in)))
    road.notes.append(annotator.ACCEPTS)
    fetched = fetch_labels(road, project)
    written = write_dataset(road, "kitti-demo", project, [recording])
    checked = check_dataset(road, written)
    road.scorecard |= {f"{report.format}_check": report.verdict for report in checked}
    road.scorecard |= {
        "keyframes_pushed": sent.sent,
        "keyframes_labelled": fetched.frames,
        "cuboids_labelled": fetched.cuboids,
    }
    with road.knowing(
        "What the labels look like", "The pulled cuboids, drawn on the pictures and the clouds that they belong to."
    ) as stage:
        stage.pictures += pictures.labelled_frames(road.workspace, project, recording, calibration, 3)
    return road.finish(f"fieldrig on {drive.name}")
