"""Which calibration a command uses, and what its user should know of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.calibration import Calibration, load
from calibration.errors import CalibrationError

if TYPE_CHECKING:
    from capture.workspace import Workspace

_ID = re.compile(r"[0-9a-f]{16}")


def look_up(workspace: Workspace, rig: str, named: str | None = None) -> Calibration:
    """The calibration of this file or ID, which may be another rig's; without a name the rig's latest.

    Raises CalibrationError when there is none, and as load() and latest() do.
    """
    if named is None:
        return latest(workspace, rig)
    if Path(named).is_file():
        return load(Path(named))
    stem = named.removesuffix(".json")
    kept = sorted(workspace.calibrations.glob(f"*/{stem}.json")) if _ID.fullmatch(stem) else []
    if not kept:
        raise CalibrationError(
            f"no calibration '{named}', neither a file nor an ID in {workspace.calibrations / rig}; give --calibration an ID that "
            "lies there, or the file itself"
        )
    return load(kept[0])


def latest(workspace: Workspace, rig: str) -> Calibration:
    """The calibration of a rig that was made last. Raises CalibrationError when there is none, or one that may be it is damaged."""
    folder = Path(workspace.calibrations) / rig
    made: list[Calibration] = []
    damaged: list[tuple[int, CalibrationError]] = []
    for path in sorted(folder.glob("*.json")):
        try:
            made.append(load(path))
        except CalibrationError as error:
            damaged.append((path.stat().st_mtime_ns, error))
    newest = max(made, key=lambda calibration: calibration.made_ns, default=None)
    for changed_ns, why in damaged:
        if newest is None or changed_ns >= newest.made_ns:  # else it was there before the newest was made
            raise CalibrationError(f"{why}; until then move it away, or name another one: --calibration ID|FILE")
    if newest is None:
        raise CalibrationError(f"rig '{rig}' has no calibration in {folder}; `fieldrig calibrate RECORDING` makes one")
    return newest


def caveats(calibration: Calibration, rig: str) -> list[str]:
    """What somebody who uses it for a rig should know, a line each."""
    lines = []
    if calibration.rig != rig:
        lines.append(f"calibration {calibration.id} was made of rig '{calibration.rig}', not of '{rig}'")
    if calibration.verdict != "good":
        lines.append(f"calibration {calibration.id} is {calibration.verdict}: {'; '.join(calibration.reasons)}")
    return lines
