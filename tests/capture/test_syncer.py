"""Beside the writer: what is brought to the disk, and what of it stays in memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from pathlib import Path

import pytest

from capture.bag.syncer import SYNC_S, Syncer

WRITTEN_BYTES = 32 << 20


def bytes_in_memory(path: Path) -> int:
    """Of a file: the pages that the system holds of it (mincore(2)); asking brings none in."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE))()
        start = ctypes.c_ubyte.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(mapped)), pages)
        del start  # else the map could not be closed
    assert not failed
    return mmap.PAGESIZE * sum(page & 1 for page in pages)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets go of what it is told to")
@pytest.mark.parametrize("needed_bytes", [0, WRITTEN_BYTES // 4])
def test_what_is_on_the_disk_and_needed_no_more_is_let_go_from_memory(
    needed_bytes: int, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("syncer")  # on the disk of this checkout: a file system in memory lets nothing go
    path = folder / f"{os.getpid()}.bin"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(descriptor, os.urandom(WRITTEN_BYTES))
        assert bytes_in_memory(path) == WRITTEN_BYTES
        syncer = Syncer(descriptor, folder, needed_from=lambda: WRITTEN_BYTES - needed_bytes)
        until_s = time.monotonic() + 60 * SYNC_S
        while bytes_in_memory(path) > needed_bytes and time.monotonic() < until_s:
            time.sleep(0.1)
        syncer.stop()
        assert bytes_in_memory(path) == needed_bytes
        assert path.stat().st_size == WRITTEN_BYTES
    finally:
        os.close(descriptor)
        path.unlink()
