"""Every stage beside the virtual rig's truth: demo/scorecard.json, and what it must reach."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from annotate.iou import iou_3d
from annotate.label_studio import shown
from annotate.labels import Cuboid, Provenance
from annotate.store import LabelStore
from calibration.calibration import Calibration
from capture.clock.filter import fit_at
from capture.recording import Recording
from capture.workspace import Workspace
from devices.virtual.truth import PlayedTake, Truth, TruthBox, load_played, load_truth
from examples.demo.report import Figure

WELL_SEEN_POINTS = 50
LABELLED_RANGE_M = 29.0  # along either axis: the smaller of the bird's-eye views reaches 30 m

# name -> (how it must compare, with what, in words)
LIMITS: Mapping[str, tuple[str, float | str, str]] = {
    "camera_frames_lost": ("<=", 0, "frames"),
    "broken_annotations": ("<=", 0, "annotations"),
    "intrinsics_rms_px": ("<=", 0.3, "px"),
    "focal_error_percent": ("<=", 0.3, "%"),
    "lidar_camera_rotation_error_deg": ("<=", 0.3, "deg"),
    "lidar_camera_translation_error_mm": ("<=", 15.0, "mm"),
    "clock_offset_error_ms": ("<=", 2.0, "ms"),
    "cuboid_mean_iou": (">=", 0.75, f"objects with at least {WELL_SEEN_POINTS} points within {LABELLED_RANGE_M:.0f} m"),
    "episodes": (">=", 5, "episodes"),
    "lerobot_check": ("==", "pass", ""),
    "nuscenes_check": ("==", "pass", ""),
}


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A recording of a take, and what was true while it was played."""

    recording: Recording
    truth: Truth
    played: PlayedTake
    sent: Mapping[str, int]


def scored(cache: Path, take: str, recording: Recording) -> Scored:
    folder = cache / take
    sent = json.loads(sent_file(cache, take).read_text(encoding="utf-8"))
    return Scored(recording, load_truth(folder / "truth.json"), load_played(folder / "play.json"), sent)


def sent_file(cache: Path, take: str) -> Path:
    """Where the player says how many packets it sent on each stream."""
    return cache / f"{take}.sent.json"


def score_recordings(takes: Sequence[Scored]) -> dict[str, Any]:
    """Whether everything that was sent is in the recordings, and how far off each sensor's clock was estimated."""
    sent = sum(sum(take.sent.values()) for take in takes)
    recorded = sum(take.recording.counts.get(stream, 0) for take in takes for stream in take.sent)
    frames = [(take, stream) for take in takes for stream in take.sent if stream.endswith("/image")]
    frames_recorded = sum(take.recording.counts.get(stream, 0) for take, stream in frames)
    errors: dict[str, float] = {}
    for take in takes:
        for sensor, error_ms in _clock_errors_ms(take).items():
            errors[sensor] = max(errors.get(sensor, 0.0), error_ms)
    return {
        "packets_sent": sent,
        "packets_recorded": recorded,
        "frames_recorded": frames_recorded,
        "camera_frames_lost": sum(take.sent[stream] for take, stream in frames) - frames_recorded,
        "clock_offset_error_ms": {sensor: round(error, 4) for sensor, error in sorted(errors.items())},
    }


def score_calibration(calibration: Calibration, truth: Truth, lidar: str = "lidar") -> dict[str, Any]:
    """The worst camera counts."""
    focal, turned, shifted, in_sigmas = [], [], [], []
    for name, camera in calibration.cameras.items():
        real = truth.cameras[name]
        focal += [abs(camera.model.fx / real.fx - 1) * 100, abs(camera.model.fy / real.fy - 1) * 100]
        found, wanted = calibration.between(name, lidar), truth.between(name, lidar)
        turned.append(found.angle_to_deg(wanted))
        shifted.append(found.inverse().distance_to_m(wanted.inverse()) * 1000)
        sigma_m = calibration.mounts[name].sigma_m
        if sigma_m:
            in_sigmas.append(shifted[-1] / 1000 / sigma_m)
    return {
        "calibration_verdict": calibration.verdict,
        "intrinsics_rms_px": round(max(camera.rms_px or np.inf for camera in calibration.cameras.values()), 4),
        "focal_error_percent": round(max(focal), 4),
        "lidar_camera_rotation_error_deg": round(max(turned), 4),
        "lidar_camera_translation_error_mm": round(max(shifted), 2),
        "lidar_camera_translation_error_sigmas": round(max(in_sigmas), 2) if in_sigmas else None,
    }


def score_labels(
    workspace: Workspace, files: Path, project: str, drive: Scored, lidar: str = "lidar"
) -> dict[str, Any]:
    """Every object with enough points in every labelled keyframe against the cuboid that overlaps it most; one without any counts 0."""
    store = LabelStore(workspace, project)
    ious: list[float] = []
    by_frame: dict[str, list[Cuboid]] = {}
    for cuboid in store.load():
        by_frame.setdefault(cuboid.provenance.task, []).append(cuboid)
    for frame in store.keyframes():
        seen = shown.load(shown.points_file(files, frame.uid))
        if seen is None or frame.recording_id != drive.recording.id:
            continue
        for box in drive.truth.boxes(drive.truth.take_ns(frame.t_ns, drive.played.start_host_ns), lidar):
            inside = int(box.contains(seen.points_m, margin_m=0.05).sum())
            if inside >= WELL_SEEN_POINTS and np.abs(box.center_m[:2]).max() < LABELLED_RANGE_M:
                real = _true_cuboid(box)
                ious.append(max((iou_3d(real, cuboid) for cuboid in by_frame.get(frame.uid, [])), default=0.0))
    return {
        "cuboids_labelled": sum(map(len, by_frame.values())),
        "cuboids_scored": len(ious),
        "cuboid_mean_iou": round(float(np.mean(ious)), 4) if ious else 0.0,
    }


def count_episodes(lerobot: Path) -> int:
    """As LeRobot's own index has it."""
    return int(json.loads((lerobot / "meta" / "info.json").read_text(encoding="utf-8"))["total_episodes"])


def missed(scorecard: Mapping[str, Any]) -> list[str]:
    """What falls short, a line each; nothing that the scorecard does not hold is asked of it."""
    short = []
    if scorecard.get("packets_sent") != scorecard.get("packets_recorded"):
        short.append(
            f"packets_recorded is {scorecard.get('packets_recorded')}, packets_sent {scorecard.get('packets_sent')}"
        )
    for name in LIMITS:
        if name in scorecard and not _met(name, scorecard[name]):
            relation, limit, unit = LIMITS[name]
            short.append(f"{name} is {scorecard[name]}, it must be {relation} {limit} {unit}".rstrip())
    return short


def figures(scorecard: Mapping[str, Any]) -> list[Figure]:
    """The scorecard as rows of the report, a row a sensor where a figure has one for each."""
    rows = []
    for name, value in scorecard.items():
        if name == "packets_recorded":
            rows.append(Figure(name, str(value), "== packets_sent", value == scorecard["packets_sent"]))
            continue
        relation, limit, unit = LIMITS.get(name, ("", "", ""))
        for part, figure in value.items() if isinstance(value, dict) else [("", value)]:
            met = _met(name, figure) if name in LIMITS else None
            rows.append(Figure(f"{name} {part}".strip(), str(figure), f"{relation} {limit} {unit}".strip(), met))
    return rows


def print_scorecard(console: Console, scorecard: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="scorecard")
    for heading in ("figure", "value", "asked", ""):
        table.add_column(heading, no_wrap=heading == "figure")
    for row in figures(scorecard):
        mark = "" if row.met is None else Text("met", "green") if row.met else Text("missed", "red")
        table.add_row(row.name, row.value, row.beside, mark)
    console.print(table)


def _met(name: str, value: Any) -> bool:
    relation, limit, _ = LIMITS[name]
    values = list(value.values()) if isinstance(value, dict) else [value]
    if relation == "==":
        return all(part == limit for part in values)
    return bool(values) and all(part <= limit if relation == "<=" else part >= limit for part in values)


def _clock_errors_ms(take: Scored) -> dict[str, float]:
    """Per sensor, the largest error of an instant's host time as worked out from its clock, at the take's start, middle and end."""
    errors: dict[str, float] = {}
    for stream, fits in take.recording.clocks.items():
        sensor = stream.partition("/")[0]
        latency_ns = take.recording.rig.sensors[sensor].least_latency_ns
        for share in (0.0, 0.5, 1.0):
            host_ns = take.played.start_host_ns + round(share * take.truth.length_ns)
            clock = fit_at(fits, host_ns) or fits[-1]
            device_ns = take.truth.device_ns(sensor, host_ns, take.played.start_host_ns)
            error_ms = abs(clock.host_from_device(device_ns) - latency_ns - host_ns) / 1e6
            errors[sensor] = max(errors.get(sensor, 0.0), error_ms)
    return errors


def _true_cuboid(box: TruthBox) -> Cuboid:
    nobody = Provenance(spans=(), calibration_id="", annotator="", task="", guideline="", made_ns=0, origin="human")
    return Cuboid(
        id=box.id,
        category=box.category,
        t_ns=0,
        center_m=box.center_m,
        size_m=np.array(box.size_m),
        yaw_rad=box.yaw_rad,
        num_points=0,
        provenance=nobody,
    )
