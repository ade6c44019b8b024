"""What the process holds of memory, after many threads had much of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

ONE_RECEIVES_AND_ANOTHER_FREES = """
import sys, threading
from capture import heap

if sys.argv[1] == "keep little":
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
heap.give_back()
print(resident_mb() - began_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the GNU C library")
def test_what_packets_have_left_goes_back_to_the_system() -> None:
    said = subprocess.run(
        [sys.executable, "-c", ONE_RECEIVES_AND_ANOTHER_FREES, "keep little"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(said.stdout) < 15, "25 MB each came to twelve threads, and went"
