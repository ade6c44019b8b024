"""Revisions of labels on disk."""

import os
from dataclasses import replace

import numpy as np
import pytest

from annotate.errors import AnnotateError
from annotate.store import LabelStore
from capture.workspace import Workspace
from tests.annotate.builders import PROVENANCE, SPAN, cuboid, labelled_frame


@pytest.fixture
def store(tmp_path):
    return LabelStore(Workspace.at(tmp_path), "yard")


def test_a_cuboid_comes_back_with_every_field_and_its_whole_provenance(store):
    provenance = replace(PROVENANCE, spans=(SPAN, replace(SPAN, stream="camera_02/image", sha256="cd" * 32)))
    put = cuboid(
        track="t0001",
        sigma_m=(0.1, 0.2, 1 / 3),
        center_m=(0.1 + 0.2, -1 / 7, np.pi),
        yaw_rad=-3.0,
        attributes={"front": "ok", "a": "ü"},
        provenance=provenance,
    )
    number = store.save_revision([put, cuboid("o002", sigma_m=None, track=None)], [labelled_frame()])
    got, other = store.load()
    for name in ("id", "track", "category", "t_ns", "frame", "yaw_rad", "num_points"):
        assert getattr(got, name) == getattr(put, name)
    for name in ("center_m", "size_m", "sigma_m"):
        assert np.array_equal(getattr(got, name), getattr(put, name))
    assert dict(got.attributes) == put.attributes
    assert got.provenance == replace(provenance, revision=number)
    assert other.sigma_m is None
    assert other.track is None


def test_frames_without_any_cuboid_are_kept(store):
    empty = labelled_frame("rec@2", t_ns=2)
    store.save_revision([cuboid()], [labelled_frame(), empty])
    assert store.keyframes() == [empty, labelled_frame()]


def test_saving_the_same_again_makes_no_revision_even_when_saved_at_another_time(store):
    assert store.save_revision([cuboid()], [labelled_frame()]) == 1
    later = cuboid(provenance=replace(PROVENANCE, made_ns=7))
    assert store.save_revision([later], [labelled_frame(made_ns=99)]) == 1
    assert store.revisions() == [1]


def test_a_change_makes_the_next_revision_and_the_old_one_stays_as_it_was(store):
    first = [cuboid(), cuboid("o002")]
    store.save_revision(first, [labelled_frame()])
    before = {path: path.read_bytes() for path in store.folder.rglob("*.parquet")}
    assert store.save_revision([cuboid(), cuboid("o002", yaw_rad=1.0)], [labelled_frame()]) == 2
    assert {path: path.read_bytes() for path in before} == before
    assert [c.yaw_rad for c in store.load(1)] == [0.3, 0.3]
    assert [c.yaw_rad for c in store.load()] == [0.3, 1.0]
    # each label says in which revision it took its present form
    assert [c.provenance.revision for c in store.load()] == [1, 2]


def test_a_frame_that_becomes_empty_is_a_change(store):
    store.save_revision([cuboid()], [labelled_frame()])
    assert store.save_revision([], [labelled_frame()]) == 2
    assert store.load() == []
    assert len(store.load(1)) == 1


def test_a_write_that_fails_leaves_no_revision_behind(store, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    store.save_revision([cuboid()], [labelled_frame()])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnnotateError, match="No space left"):
        store.save_revision([], [labelled_frame()])
    assert store.revisions() == [1]
    assert sorted(entry.name for entry in (store.folder / "revisions").iterdir()) == ["000001"]


def test_a_missing_store_and_a_missing_revision_are_told_in_one_line(store):
    with pytest.raises(AnnotateError, match="label pull"):
        store.load()
    store.save_revision([cuboid()], [labelled_frame()])
    with pytest.raises(AnnotateError, match="no revision 7; it has 1 to 1"):
        store.load(7)


def test_a_truncated_revision_is_named(store):
    store.save_revision([cuboid()], [labelled_frame()])
    (path,) = store.folder.rglob("cuboids.parquet")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(AnnotateError, match=r"cuboids\.parquet"):
        store.load()


def test_a_cuboid_of_no_frame_and_two_with_one_id_are_refused(store):
    with pytest.raises(AnnotateError, match="belongs to frame rec@1"):
        store.save_revision([cuboid()], [labelled_frame("rec@2")])
    with pytest.raises(AnnotateError, match="share the id o001"):
        store.save_revision([cuboid(), cuboid()], [labelled_frame()])


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".hidden"])
def test_a_project_name_cannot_lead_out_of_the_workspace(tmp_path, name):
    with pytest.raises(AnnotateError, match="cannot name a project"):
        LabelStore(Workspace.at(tmp_path), name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"size_m": (1, 0, 1)}, "positive"), ({"center_m": (1, np.nan, 1)}, "finite"), ({"yaw_rad": np.inf}, "finite")],
)
def test_a_cuboid_that_is_none_is_refused(changes, said):
    with pytest.raises(AnnotateError, match=said):
        cuboid(**changes)


def test_a_bit_that_flips_anywhere_in_a_revision_is_found_before_a_label_of_it_is_used(store):
    store.save_revision([cuboid(), cuboid("o002")], [labelled_frame()])
    for path in store.folder.rglob("*.parquet"):
        whole = path.read_bytes()
        for place in range(0, len(whole), 97):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(AnnotateError, match=r"it is not the file that was written.* `fieldrig label pull`"):
                store.load() if path.name == "cuboids.parquet" else store.keyframes()
        path.write_bytes(whole)
    assert len(store.load()) == 2


def test_a_revision_of_before_there_were_sums_is_read(store):
    store.save_revision([cuboid()], [labelled_frame()])
    (sums,) = store.folder.rglob("SHA256SUMS")
    sums.unlink()
    assert [c.id for c in store.load()] == ["o001"]
