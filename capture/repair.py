"""Brings a recording back after an accident: a killed recorder, a power cut, a disk or a hand that changed its files."""

from __future__ import annotations

import errno
from pathlib import Path

from capture.bag.asides import put_back_files
from capture.cut_off import finish_cut_off
from capture.errors import CaptureError
from capture.flipped_bit import unflipped_info
from capture.lock import FolderLock
from capture.mend import mend
from capture.recording_info import NAME, load_info
from capture.repaired import Repaired
from capture.whole_file import write_whole


def repair(folder: Path, *, thorough: bool = False) -> Repaired:
    """Makes a recording readable again, in place; does nothing to a whole one. Never takes away an intact message.

    What was damaged is set aside, and what is missing is said in recording.json. thorough: a recording that was cut off is read through,
    too, so that damage in the midst of its files is found: it takes as long as verify() does, and no crew that wants to record waits for it.
    Raises CaptureError when the folder is no recording, is being recorded at this moment, or cannot be read or written.
    """
    if not (folder / NAME).is_file():
        load_info(folder)  # says what there is instead
    try:
        with FolderLock(folder):
            restored = unflipped_info(folder)
            if restored is not None:
                write_whole(folder / NAME, restored)
            info = load_info(folder)
            put_back_files(folder)
            if info.state != "recording":
                mended = mend(folder, info)
                return mended.after(f"{NAME} is the file again that was recorded") if restored else mended
            finished = finish_cut_off(folder, info)
            return finished.and_then(mend(folder, load_info(folder))) if thorough else finished
    except OSError as error:
        where = error.filename or folder
        is_full = error.errno == errno.ENOSPC
        advice = "free as much as its largest file takes" if is_full else "see whether you may write there"
        raise CaptureError(f"cannot repair {folder}: {where}: {error.strerror or error}; {advice}") from None
