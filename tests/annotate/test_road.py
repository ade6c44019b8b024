"""Frames out to the real server and labels back."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from annotate.errors import AnnotateError
from annotate.iou import iou_3d
from annotate.label_studio import shown
from annotate.label_studio.client import Client
from annotate.label_studio.pull import pull
from annotate.label_studio.push import push
from annotate.label_studio.tasks import region_from_cuboid
from annotate.store import LabelStore
from calibration.errors import CalibrationError
from tests.annotate.builders import STREET, cuboid

PERSON = "ann@example.org"


@pytest.fixture(scope="module")
def pushed(server, street):
    """Project ``road``: every sweep of the street, pushed once."""
    return push(server, street.workspace, "road", street.recording, street.calibration, every_ns=None)


@pytest.fixture(scope="module")
def client(server):
    return Client(server)


@pytest.fixture
def tasks(client, pushed):
    return client.tasks_with_predictions(client.project("road"))


def hand_in(client, project, tasks, things=STREET, **changes):
    """The true street as a person's annotation of each task."""
    number = client.project(project)
    drawn = [t.cuboid for t in things if t.category != "wall"]
    results = [
        [
            result
            for k, c in enumerate(drawn)
            for result in region_from_cuboid(replace(c, id=f"o{k}", **changes), task.view)
        ]
        for task in tasks
    ]
    client.submit_annotations(number, [(task.id, r) for task, r in zip(tasks, results, strict=True)], PERSON)


def test_every_frame_arrives_once_with_its_pictures_and_pre_labels(pushed, tasks, server):
    assert (pushed.sent, pushed.already_there) == (4, 0)
    assert len({task.uid for task in tasks}) == 4
    for task in tasks:
        boxes = [r for r in task.predictions if r["type"] == "rectanglelabels"]
        assert len(boxes) >= 4
        assert all("pts" in box["meta"]["text"][0] for box in boxes)
        for name in ("birdseye", "cameras"):
            answer = httpx.get(
                server.url + task.data[name], headers={"Authorization": f"Token {server.token}"}, trust_env=False
            )
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("image/")
            assert len(answer.content) > 10_000


def test_an_object_keeps_its_track_through_all_frames(tasks):
    tracks = [set(task.data["tracks"].values()) for task in tasks]
    assert len(set.intersection(*tracks)) >= 4


def test_pushing_again_sends_nothing_and_doubles_nothing(server, street, client, pushed):
    again = push(server, street.workspace, "road", street.recording, street.calibration, every_ns=None)
    assert (again.sent, again.already_there, again.doubles) == (0, 4, 0)
    assert len(client.tasks(client.project("road"))) == 4


def test_an_import_that_was_cut_short_and_repeated_is_reconciled_by_uid(server, street, client):
    push(server, street.workspace, "cut", street.recording, street.calibration, every_ns=200_000_000)
    number = client.project("cut")
    (first, second) = client.tasks_with_predictions(number)
    client.import_tasks(number, [{"data": dict(first.data)}, {"data": dict(second.data)}])
    doubled = [task for task in client.tasks(number) if task.uid == first.uid]
    hand_in(client, "cut", doubled[1:])  # somebody has worked on the copy
    again = push(server, street.workspace, "cut", street.recording, street.calibration, every_ns=200_000_000)
    assert again.doubles == 2
    left = {task.uid: task.id for task in client.tasks(number)}
    assert len(left) == 2
    assert left[first.uid] == doubled[1].id, "the one that somebody worked on stays"


def test_labels_come_back_as_the_true_boxes_once_however_often_they_are_pulled(server, street, client, tasks):
    hand_in(client, "road", tasks)
    first = pull(server, street.workspace, "road")
    again = pull(server, street.workspace, "road")
    assert (first.is_new, again.is_new, again.revision) == (True, False, first.revision)
    assert (first.frames, first.cuboids, first.broken, first.open) == (4, 16, (), 0)
    assert again.export == first.export
    for got in LabelStore(street.workspace, "road").load():
        truth = max((t.cuboid for t in STREET), key=lambda c: iou_3d(got, c))
        assert iou_3d(got, truth) > 0.88, "plan as drawn, height from the points"
        assert np.abs(got.center_m[:2] - truth.center_m[:2]).max() < 1e-9
        assert abs(got.yaw_rad - truth.yaw_rad) < 1e-9
        assert got.num_points > 50
        assert got.attributes["height"] == "measured"


def test_provenance_leads_back_to_the_bytes(server, street, client, tasks):
    hand_in(client, "road", tasks)
    report = pull(server, street.workspace, "road")
    got = LabelStore(street.workspace, "road").load()[0]
    assert got.provenance.annotator == PERSON
    assert got.provenance.task == tasks[0].uid
    assert got.provenance.calibration_id == street.calibration.id
    assert got.provenance.origin == "human"
    assert 0 < got.provenance.revision <= report.revision
    assert {span.stream for span in got.provenance.spans} == {"lidar/points", "camera_02/image"}
    for span in got.provenance.spans:
        assert span.recording_id == street.recording.id
        digest = hashlib.sha256()
        for recorded in street.recording.packets([span.stream]):
            if span.first_sequence <= recorded.sequence <= span.last_sequence:
                digest.update(recorded.packet.data)
        assert digest.hexdigest() == span.sha256


def test_an_edited_annotation_makes_the_next_revision_in_which_only_it_is_new(server, street, client, tasks):
    hand_in(client, "road", tasks)
    before = pull(server, street.workspace, "road")
    drawn = [t.cuboid for t in STREET if t.category != "wall"]
    moved = replace(drawn[0], center_m=drawn[0].center_m + np.array([0.5, 0, 0]))
    results = [
        r for k, c in enumerate([moved, *drawn[1:]]) for r in region_from_cuboid(replace(c, id=f"o{k}"), tasks[0].view)
    ]
    client.submit_annotations(client.project("road"), [(tasks[0].id, results)], PERSON)
    after = pull(server, street.workspace, "road")
    assert after.revision == before.revision + 1
    store = LabelStore(street.workspace, "road")
    changed = [c for c in store.load() if c.provenance.revision == after.revision]
    assert [(c.provenance.task, c.id) for c in changed] == [(tasks[0].uid, "o0")]
    assert len(store.load(before.revision)) == 16


def test_a_flipped_box_faces_the_other_way(server, street, client, tasks):
    hand_in(client, "road", tasks)
    pull(server, street.workspace, "road")
    car = replace(STREET[0].cuboid, id="o0")
    box, front = region_from_cuboid(car, tasks[0].view)
    front["value"]["choices"] = ["flip"]
    client.submit_annotations(client.project("road"), [(tasks[0].id, [box, front])], PERSON)
    pull(server, street.workspace, "road")
    (got,) = [c for c in LabelStore(street.workspace, "road").load() if c.provenance.task == tasks[0].uid]
    assert got.yaw_rad == pytest.approx(-np.pi)
    assert got.attributes["front"] == "flipped"


def test_a_broken_annotation_is_named_and_its_frame_keeps_what_it_had(server, street, client, tasks):
    hand_in(client, "road", tasks)
    pull(server, street.workspace, "road")
    box, _ = region_from_cuboid(cuboid("o9"), tasks[1].view)
    box["value"]["rectanglelabels"] = ["dragon"]
    client.submit_annotations(client.project("road"), [(tasks[1].id, [box])], PERSON)
    report = pull(server, street.workspace, "road")
    assert len(report.broken) == 1
    assert f"task {tasks[1].id}" in report.broken[0]
    assert "dragon" in report.broken[0]
    assert (report.kept, report.frames, report.cuboids) == (1, 4, 16)
    said = fieldrig(street, "pull")
    assert "1 frames keep the labels that they had" in said
    assert f"passed over: {report.broken[0]}" in said


def test_an_empty_annotation_is_a_labelled_frame_without_cuboids(server, street, client, tasks):
    hand_in(client, "road", tasks)
    client.submit_annotations(client.project("road"), [(tasks[2].id, [])], PERSON)
    report = pull(server, street.workspace, "road")
    store = LabelStore(street.workspace, "road")
    assert (report.frames, report.cuboids) == (4, 12)
    assert tasks[2].uid in {frame.uid for frame in store.keyframes()}


def test_points_that_were_deleted_from_the_cache_are_made_anew_from_the_recording(server, street, client, tasks):
    hand_in(client, "road", tasks)
    before = pull(server, street.workspace, "road")
    for path in (server.files / "road").glob("*.points.npz"):
        path.unlink()
    after = pull(server, street.workspace, "road")
    assert (after.revision, after.is_new, after.broken) == (before.revision, False, ())


def test_points_whose_file_is_damaged_are_made_anew_as_well(server, street, client, tasks):
    hand_in(client, "road", tasks)
    before = pull(server, street.workspace, "road")
    damaged = min((server.files / "road").glob("*.points.npz"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:500] + bytes(500) + whole[1000:])  # its table of contents is whole
    after = pull(server, street.workspace, "road")
    assert (after.revision, after.is_new, after.broken) == (before.revision, False, ())


@contextmanager
def lost(path: Path, damaged: Callable[[Path], None] | None = None) -> Iterator[None]:
    """A file or folder that is not in its place for a while, or damaged."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        if damaged is not None:
            shutil.copytree(aside, path)
            damaged(path)
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)


def cut_short(recording: Path) -> None:
    (bag,) = recording.glob("*.mcap")
    bag.write_bytes(bag.read_bytes()[:-1000])


def spoil_the_middle(recording: Path) -> None:
    (bag,) = recording.glob("*.mcap")
    content = bytearray(bag.read_bytes())
    content[len(content) // 2] ^= 1
    bag.write_bytes(content)


def swap(recording: Path) -> None:
    """Another recording's folder, copied to the place of this one."""
    other = "20200101T000000Z-other-aaaa"
    info = json.loads((recording / "recording.json").read_text())
    (recording / "recording.json").write_text(json.dumps({**info, "id": other}))
    (bag,) = recording.glob("*.mcap")
    bag.rename(recording / f"{other}_0.mcap")


@pytest.mark.parametrize(
    ("which", "damage", "why"),
    [
        ("recording", None, "no recording {recording}"),
        ("recording", cut_short, "is cut short; run: fieldrig repair"),
        (
            "recording",
            spoil_the_middle,
            "_0.mcap is damaged: crc validation failed .*`fieldrig verify` says what is left",
        ),
        (
            "recording",
            swap,
            "holds recording 20200101T000000Z-other-aaaa, not {recording}; put the right one in its place",
        ),
        ("calibration", None, "no calibration {calibration} in .*; copy its file back from where it was pushed"),
    ],
    ids=["gone", "cut short", "spoilt", "swapped", "no calibration"],
)
def test_why_points_cannot_be_made_anew_is_told_once_and_all_else_is_pulled(which, damage, why, server, street):
    project = f"lost-{which}-{damage.__name__ if damage else 'gone'}"
    client = Client(server)
    push(server, street.workspace, project, street.recording, street.calibration, every_ns=None)
    tasks = client.tasks_with_predictions(client.project(project))
    hand_in(client, project, tasks)
    for task in tasks[1:]:
        shown.points_file(server.files / project, task.uid).unlink()
    calibration = street.workspace.calibrations / street.recording.rig.name / f"{street.calibration.id}.json"
    with lost(street.recording.folder if which == "recording" else calibration, damage):
        report = pull(server, street.workspace, project)
    names = {"recording": street.recording.id, "calibration": street.calibration.id}
    (told,) = report.broken
    assert "\n" not in told
    assert told.startswith(
        f"3 annotations (tasks {tasks[1].id}, {tasks[2].id}, {tasks[3].id}) of {street.recording.id}: "
    )
    assert re.search(why.format(**names), told), told
    assert "pull again" in told
    assert (report.frames, report.cuboids) == (1, 4)
    again = pull(server, street.workspace, project)
    assert (again.frames, again.cuboids, again.broken) == (4, 16, ())


def test_an_empty_annotation_needs_no_points(server, street, client, tasks):
    hand_in(client, "road", tasks)
    client.submit_annotations(client.project("road"), [(tasks[3].id, [])], PERSON)
    shown.points_file(server.files / "road", tasks[3].uid).unlink()
    with lost(street.recording.folder):
        report = pull(server, street.workspace, "road")
    assert (report.frames, report.cuboids, report.broken) == (4, 12, ())


def test_of_two_peoples_annotations_of_a_frame_the_later_counts_and_the_other_is_counted(server, street, client, tasks):
    hand_in(client, "road", tasks)
    (box, front) = region_from_cuboid(replace(STREET[0].cuboid, id="o0"), tasks[0].view)
    client.submit_annotations(client.project("road"), [(tasks[0].id, [box, front])], "bob@example.org")
    report = pull(server, street.workspace, "road")
    assert (report.replaced, report.cuboids) == (1, 13)
    got = LabelStore(street.workspace, "road").load()
    assert {c.provenance.annotator for c in got if c.provenance.task == tasks[0].uid} == {"bob@example.org"}


def test_two_projects_of_one_name_are_told_apart_by_a_person(server, street):
    headers = {"Authorization": f"Token {server.token}"}
    for _ in range(2):
        made = httpx.post(f"{server.url}/api/projects", json={"title": "twice"}, headers=headers, trust_env=False)
        assert made.status_code == 201
    with pytest.raises(AnnotateError, match=r"2 projects called 'twice'.*rename all but one"):
        pull(server, street.workspace, "twice")


@pytest.mark.parametrize("other", [{"original_width": 1600, "original_height": 1600}, {"image_rotation": 90}], ids=str)
def test_a_box_drawn_on_another_picture_than_the_tasks_is_not_taken_for_metres(other, server, street, client, tasks):
    hand_in(client, "road", tasks)
    pull(server, street.workspace, "road")
    box, front = region_from_cuboid(replace(STREET[0].cuboid, id="o0"), tasks[0].view)
    assert box["original_width"] != 1600
    client.submit_annotations(client.project("road"), [(tasks[0].id, [box | other, front | other])], PERSON)
    report = pull(server, street.workspace, "road")
    (told,) = report.broken
    assert f"task {tasks[0].id}: region 'o0' was drawn on a picture of " in told
    assert "delete the task on the server, and push the recording again" in told
    assert (report.kept, report.cuboids) == (1, 16)


def test_raw_exports_are_kept_as_they_came(server, street, client, tasks):
    hand_in(client, "road", tasks)
    report = pull(server, street.workspace, "road")
    kept = json.loads(report.export.read_bytes())
    assert {task["data"]["uid"] for task in kept} == {task.uid for task in tasks}
    assert hashlib.sha256(report.export.read_bytes()).hexdigest().startswith(report.export.stem.rpartition("-")[2])


def test_a_refused_calibration_is_not_pushed(server, street, client):
    refused = replace(street.calibration, verdict="refused", reasons=("too few views",))
    with pytest.raises(CalibrationError, match="too few views"):
        push(server, street.workspace, "refused", street.recording, refused)
    assert client.find_project("refused") is None


def test_one_recording_is_not_pushed_with_two_calibrations_into_one_project(server, street, pushed):
    other = replace(street.calibration, made_ns=1)
    with pytest.raises(AnnotateError, match="push under another project's name"):
        push(server, street.workspace, "road", street.recording, other, every_ns=None)


def test_pulling_a_project_that_does_not_exist_says_what_to_do(server, street):
    with pytest.raises(AnnotateError, match="label push"):
        pull(server, street.workspace, "nowhere")


def fieldrig(street, *words) -> str:
    command = [sys.executable, "-m", "fieldrig", "label", *words, "--project", "road"]
    command += ["--workspace", str(street.workspace.root)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_commands_push_and_pull_say_in_one_line_what_they_did(server, street, client, tasks):
    hand_in(client, "road", tasks)
    assert "0 frames sent, 4 were there already" in fieldrig(street, "push", street.recording.id, "--every", "0")
    fieldrig(street, "pull")
    assert "no change since revision" in fieldrig(street, "pull")
    assert server.process is not None, "they use the running server and leave it"
