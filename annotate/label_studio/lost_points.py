"""Points that are no longer kept beside the pictures that were made of them: made anew from their recording."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.errors import AnnotateError
from annotate.keyframes import keyframes
from annotate.label_studio import shown
from devices.errors import FieldrigError
from devices.progress import Progress

if TYPE_CHECKING:
    from calibration.calibration import Calibration
    from capture.recording import Recording
    from capture.workspace import Workspace


def restore(
    uids: Collection[str],
    recording_id: str,
    calibration_id: str,
    folder: Path,
    workspace: Workspace,
    progress: Progress | None = None,
) -> str:
    """Keep the points of some keyframes of a recording anew, in a project's folder; why not of all of them, or nothing."""
    lost = set(uids)
    try:
        recording, calibration = _recording(recording_id, workspace), _calibration(calibration_id, workspace)
        folder.mkdir(parents=True, exist_ok=True)
        for keyframe in keyframes(recording, calibration, only=uids):
            shown.save(shown.shown_in(keyframe), shown.points_file(folder, keyframe.uid))
            lost.discard(keyframe.uid)
            if progress is not None:
                done = (keyframe.t_ns - recording.start_ns) / max(recording.end_ns - recording.start_ns, 1)
                progress(f"reading {recording_id} again", min(max(done, 0.0), 1.0))
    except FieldrigError as error:
        return str(error)
    except OSError as error:
        return f"{error}; see whether you may, and the disk is well"
    if lost:
        return (
            f"through calibration {calibration_id} {recording_id} has no frame of {min(lost)} any more: its times are other ones "
            "than when it was pushed; push it under another project's name and label it anew"
        )
    return ""


def _recording(recording_id: str, workspace: Workspace) -> Recording:
    from capture.recording import open_recording

    folder = workspace.recording(Path(recording_id))
    recording = open_recording(folder)
    if recording.id != recording_id:
        raise AnnotateError(
            f"{folder} holds recording {recording.id}, not {recording_id}; put the right one in its place"
        )
    return recording


def _calibration(calibration_id: str, workspace: Workspace) -> Calibration:
    from calibration.calibration import load

    for path in sorted(workspace.calibrations.glob("*/*.json")):
        if path.stem == calibration_id:
            return load(path)
    raise AnnotateError(
        f"no calibration {calibration_id} in {workspace.calibrations}; copy its file back from where it was pushed"
    )
