"""A script in an annotator's chair: it hands in labels through Label Studio's own API, as a person's browser would."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from annotate.iou import iou_birdseye
from annotate.label_studio import shown
from annotate.label_studio.client import Client, Task
from annotate.label_studio.results import plan_from_rectangle, regions
from annotate.label_studio.screen import BOX
from annotate.label_studio.tasks import Result, region_from_prelabel
from annotate.labels import Cuboid, Provenance
from annotate.prelabel.boxes import PreLabel
from capture.recording import Recording
from devices.virtual.truth import TruthBox, load_played, load_truth
from examples.demo.report import Figure

EMAIL = "scripted.annotator@demo.example"
CENTER_SIGMA_M, SIZE_SIGMA_M, HEADING_SIGMA_DEG = 0.05, 0.05, 1.0
FEWEST_POINTS = 10
SAME_OBJECT_IOU = 0.1

ACCEPTS = (
    "No person labelled this drive: a script handed in every pre-label as it was, unseen. The labels show that the road works, "
    "not that the boxes are right."
)
CORRECTS = (
    "No person labelled this drive: a script did, through Label Studio's API. It knows the virtual rig's truth, as a careful person "
    f"would see it, and draws each box from above with an error of its own: {CENTER_SIGMA_M * 100:.0f} cm in place and "
    f"{SIZE_SIGMA_M * 100:.0f} cm in length and width (one sigma, each axis), {HEADING_SIGMA_DEG:.0f} degree in heading. It boxes what shows at least "
    f"{FEWEST_POINTS} points. Height and level are fieldrig's, from the points. So the labels' score says what fieldrig adds to a "
    "person's error, not how good a person is."
)


@dataclass(slots=True)
class Corrections:
    """What the annotator did to the pre-labels; easy: objects with 50 points or more."""

    frames: int = 0
    corrected: int = 0
    added: int = 0
    deleted: int = 0
    easy: int = 0
    easy_found: int = 0
    distances_m: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        middle = f"{float(np.median(self.distances_m)):.2f} m" if self.distances_m else "none"
        return [
            Figure("frames handed in", str(self.frames)),
            Figure(
                "pre-labels corrected", str(self.corrected), f"their middles lay {middle} off (median, seen from above)"
            ),
            Figure("boxes added", str(self.added), "objects that no pre-label touched"),
            Figure("pre-labels deleted", str(self.deleted), "bushes, poles, walls and the like"),
            Figure("found by pre-labels", f"{self.easy_found} of {self.easy}", "objects with at least 50 points"),
        ]


def accept_all(client: Client, project: str) -> int:
    """Hand in every task's pre-labels as they are; returns how many frames."""
    number = client.project(project)
    tasks = client.tasks_with_predictions(number)
    client.submit_annotations(number, [(task.id, task.predictions) for task in tasks], EMAIL)
    return len(tasks)


def correct_all(client: Client, project: str, files: Path, take: Path, recording: Recording) -> Corrections:
    """Hand in the truth of every task's instant with the stated error, moving pre-labels where there are some.

    files: the folder of the project's pictures and points. take: the rendered take, which holds the truth.
    """
    truth, start_host_ns = load_truth(take / "truth.json"), load_played(take / "play.json").start_host_ns
    number = client.project(project)
    done = Corrections()
    annotations = []
    for task in client.tasks_with_predictions(number):
        if task.data["recording"] == recording.id:
            boxes = truth.boxes(truth.take_ns(task.t_ns, start_host_ns), str(task.data["lidar"]))
            annotations.append((task.id, _corrected(task, boxes, files, done)))
    client.submit_annotations(number, annotations, EMAIL)
    return done


def _corrected(task: Task, boxes: Sequence[TruthBox], files: Path, done: Corrections) -> list[Result]:
    hand = np.random.default_rng(zlib.crc32(task.uid.encode()))
    seen = shown.load(shown.points_file(files, task.uid))
    points = np.zeros((0, 3)) if seen is None else seen.points_m
    guesses = {name: _cuboid(name, region, task) for name, region in regions(task.predictions).items()}
    free = dict(guesses)
    results: list[Result] = []
    for box in boxes:
        count = int(box.contains(points, margin_m=0.05).sum())
        if count < FEWEST_POINTS or not task.view.shows(box.center_m[None, :2]).all():
            continue
        wanted = PreLabel(box.category, box.center_m, np.array(box.size_m), box.yaw_rad, count, 1.0)
        name = _guess_of(wanted, free)
        done.easy += count >= 50
        done.easy_found += count >= 50 and name is not None
        if name is None:
            name = f"a-{box.id}"
            done.added += 1
        else:
            done.distances_m.append(float(np.linalg.norm(free.pop(name).center_m[:2] - box.center_m[:2])))
            done.corrected += 1
        results += region_from_prelabel(name, _drawn(wanted, hand), task.view)
    done.frames += 1
    done.deleted += len(free)
    return results


def _drawn(box: PreLabel, hand: np.random.Generator) -> PreLabel:
    """The box as the annotator's hand draws it."""
    return replace(
        box,
        center_m=np.add(box.center_m, (*hand.normal(0, CENTER_SIGMA_M, 2), 0.0)),
        size_m=np.maximum(np.add(box.size_m, (*hand.normal(0, SIZE_SIGMA_M, 2), 0.0)), 0.2),
        yaw_rad=box.yaw_rad + np.radians(hand.normal(0, HEADING_SIGMA_DEG)),
    )


def _guess_of(box: PreLabel, guesses: Mapping[str, Cuboid]) -> str | None:
    """The pre-label that overlaps a box most, seen from above."""
    wanted = _as_cuboid("truth", box)
    best = max(guesses, key=lambda name: iou_birdseye(guesses[name], wanted), default=None)
    return best if best is not None and iou_birdseye(guesses[best], wanted) > SAME_OBJECT_IOU else None


def _cuboid(name: str, region: Sequence[Result], task: Task) -> Cuboid:
    """A pre-label as the annotator sees it: a rectangle from above."""
    (box,) = (result for result in region if result["from_name"] == BOX)
    plan = plan_from_rectangle(box["value"], task.view)
    size = np.array([plan.length_m, plan.width_m, 1.0])
    return _as_cuboid(name, PreLabel("car", np.array([*plan.middle_m, 0.0]), size, plan.yaw_rad, 0, 1.0))


def _as_cuboid(name: str, box: PreLabel) -> Cuboid:
    nobody = Provenance(spans=(), calibration_id="", annotator="", task="", guideline="", made_ns=0, origin="prelabel")
    return Cuboid(
        id=name,
        category=box.category,
        t_ns=0,
        center_m=box.center_m,
        size_m=box.size_m,
        yaw_rad=box.yaw_rad,
        num_points=box.num_points,
        provenance=nobody,
    )
