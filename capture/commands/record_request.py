"""What `fieldrig record` was asked for, checked before anything is begun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capture.bag.segments import Split
from capture.commands.amounts import seconds, size_bytes
from capture.control.address import refuse_a_second
from capture.details import Details
from capture.errors import CaptureError
from capture.limits import Limits
from capture.orders.orders import check_order
from capture.workspace import Workspace
from devices.rig import Rig, load_rig

_SPLIT_LEAST_BYTES, _SPLIT_LEAST_S = 1_000_000, 1.0  # below that it is files all over


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """rig_file: where the rig is described. duration_s None: until somebody ends it; snapshot_s None: nothing is held in memory."""

    rig_file: Path
    rig: Rig
    place: Workspace
    details: Details
    limits: Limits
    duration_s: float | None
    snapshot_s: float | None
    stands_by: bool


def record_request(
    rig_file: Path,
    workspace: Path | None,
    said: Mapping[str, Any],
    limits: Limits,
    *,
    for_: str,
    standby: bool,
    snapshot: str,
) -> RecordRequest:
    """said: the details. Raises CaptureError or DeviceError for what cannot be done."""
    place, rig = Workspace.at(workspace), load_rig(rig_file)
    snapshot_s = seconds(snapshot, "--snapshot") if snapshot else None
    stands_by = standby or snapshot_s is not None
    duration_s = _duration_s(for_, stands_by=stands_by)
    details = Details().with_(said)
    check_order(place, details.order)
    _check_place(place)
    refuse_a_second(place, rig.name)
    return RecordRequest(rig_file, rig, place, details, limits, duration_s, snapshot_s, stands_by)


def record_limits(keep: str, split_size: str, split_time: str) -> Limits:
    least = _SPLIT_LEAST_BYTES
    keep_bytes = size_bytes(keep, "--keep", 5 * least) if keep else None
    usual = Split()
    # Old files are given up one by one: they are to be much smaller than what is kept.
    bytes_max = min(usual.bytes_max, keep_bytes // 5) if keep_bytes else usual.bytes_max
    split = Split(
        size_bytes(split_size, "--split-size", least) if split_size else bytes_max,
        seconds(split_time, "--split-time", _SPLIT_LEAST_S) if split_time else usual.seconds_max,
    )
    if keep_bytes is not None and 2 * split.bytes_max > keep_bytes:
        raise CaptureError(
            f"--split-size {split_size} is more than half of --keep {keep}: whole files are given up; make them smaller"
        )
    return Limits(split=split, keep_bytes=keep_bytes)


def _duration_s(for_: str, *, stands_by: bool) -> float | None:
    if for_ and stands_by:
        raise CaptureError(
            f"--for {for_} goes with neither --standby nor --snapshot: there a key, the page, or `fieldrig recorder stop` ends a recording; "
            "leave one out"
        )
    return seconds(for_, "--for") if for_ else None


def _check_place(place: Workspace) -> None:
    """Raises CaptureError where no recording can be written: before a sensor is opened."""
    nearest = next(each for each in (place.recordings, *place.recordings.parents) if each.exists())
    if not nearest.is_dir():
        raise CaptureError(f"--workspace {place.root}: {nearest} is a file; give a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CaptureError(
            f"--workspace {place.root}: {nearest} cannot be written to; give another folder, or mount it writable"
        )
