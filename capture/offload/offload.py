"""Moves recordings off the field laptop: copied, read back, compared, and only then, if asked, deleted.

A file goes to the destination under another name, is read back from there and compared with the hash that its recording states, and
takes its own name last. recording.json comes behind all files and SHA256SUMS behind that: a folder that has both is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capture.errors import CaptureError
from capture.offload.destination import Destination
from capture.offload.folder import FolderDestination
from capture.offload.move import Move, Offloaded
from capture.offload.progress import OffloadProgress
from capture.offload.remote import RemoteDestination
from capture.offload.removal import finish_removals, remove
from capture.offload.source import Source, opened_source


def offload(
    folder: Path,
    to: str,
    *,
    zstd: bool = False,
    replace: bool = False,
    delete: bool = False,
    same_disk: bool = False,
    progress: Callable[[OffloadProgress], None] | None = None,
) -> Offloaded:
    """Brings a finished recording to ``to``/ID, a folder or an fsspec URL; goes on where an earlier run was interrupted.

    zstd: MCAP files get larger, compressed chunks there, each message compared. replace: those that are there whole in the other form
    are brought anew; else they are kept. delete: the recording is deleted here once every file
    was read back in this run and is what SHA256SUMS says; on one and the same disk only with ``same_disk``. Raises CaptureError,
    having deleted nothing, when anything at all is not as it should be.
    """
    finish_removals(folder.parent)
    if delete and folder.is_symlink():
        real = folder.resolve()
        raise CaptureError(f"{folder} is a link to {real}, and --delete deletes nothing through a link; give {real}")
    with opened_source(folder) as source:
        destination = destination_for(to, source.folder.name)
        _check_place(source, destination, delete=delete, same_disk=same_disk)
        move = Move(source, destination, zstd=zstd, replace=replace, delete=delete, progress=progress)
        move.bring_files()
        move.finish()
        if delete:
            source.check_unchanged()
            remove(source.folder, source.info, move.is_complete, destination.where)
        return move.result(deleted=delete)


def destination_for(to: str, recording_id: str) -> Destination:
    """The folder of a recording below a folder or URL. Raises CaptureError when it cannot be reached."""
    scheme, found, path = to.partition("://")
    if not to.strip():
        raise CaptureError("no destination was named; give a folder, or a URL like sftp://host/folder")
    if found and scheme not in {"file", "local"}:
        return RemoteDestination(to, recording_id)
    return FolderDestination(Path(path or to), recording_id)


def _check_place(source: Source, destination: Destination, *, delete: bool, same_disk: bool) -> None:
    if destination.holds(source.folder):
        raise CaptureError(f"{destination.where} is the recording itself; name another folder or disk")
    if delete and not same_disk and destination.shares_disk_with(source.folder):
        raise CaptureError(
            f"{destination.where} lies on the same disk as the recording, which would be its only copy; mount the other disk, "
            "or say --same-disk"
        )
