"""What the process holds of memory, after many threads had much of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ONE_RECEIVES_AND_ANOTHER_FREES = """
import sys, threading
from capture import heap

if "one heap" in sys.argv:
    heap.keep_little()

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

large = bytearray(30 << 20)
del large  # freed at once: from here on the C library keeps blocks of this size in its heaps
began_mb, held, over = resident_mb(), [], threading.Event()

def receive():
    for _ in range(1000):
        held.append(b"." * 24_832)
    received.release()
    over.wait()

received = threading.Semaphore(0)
for _ in range(12):
    threading.Thread(target=receive, daemon=True).start()
    received.acquire()
    held.clear()
kept_mb = resident_mb() - began_mb
heap.give_back_quickly()
print(kept_mb, resident_mb() - began_mb)
"""


def resident_mb(*words: str) -> tuple[float, float]:
    """Before and after memory was given back, over what it was at the beginning."""
    command = [sys.executable, "-c", ONE_RECEIVES_AND_ANOTHER_FREES, *words]
    before, after = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    return before, after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_what_packets_have_left_is_used_again_and_goes_back_to_the_system() -> None:
    before, after = resident_mb("one heap")
    assert before < 40, "25 MB each came to twelve threads, one after the other"
    assert after < 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_without_that_each_thread_keeps_what_it_had() -> None:
    before, _ = resident_mb()
    assert before > 150
