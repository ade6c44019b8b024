"""Memory that packets have left goes back to the system, and does not stay with the thread that received them.

The C library gives threads heaps of their own and keeps what they free for them. A recorder receives in one thread and frees in another, and
each file is hashed and verified by a new one: after a busy hour it would hold hundreds of MB that nothing is in.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

_MALLOPT = {  # mallopt(3) of the GNU C library, malloc.h: parameter -> value
    -8: 1,  # M_ARENA_MAX: one heap for all threads; the interpreter's lock lets them allocate one at a time anyway
    -3: 4 << 20,  # M_MMAP_THRESHOLD, bytes: does not grow with what is freed when it is set
    -1: 1 << 30,  # M_TRIM_THRESHOLD, bytes: free() itself gives nothing back, since everybody waits for it meanwhile
}
_QUICK_BYTES = 100 << 20  # giving back so much takes 8 ms


class _Mallinfo2(ctypes.Structure):
    """malloc.h's struct of that name."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def keep_little() -> None:
    """For this process from here on, before its threads begin; nothing where the C library is another one."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            for parameter, value in _MALLOPT.items():
                ctypes.CDLL(None).mallopt(parameter, value)


def give_back_quickly() -> None:
    """What is free, if little is: a queue of a GiB that has been emptied would keep all threads waiting for 100 ms."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # of an older library
            library = ctypes.CDLL(None)
            library.mallinfo2.restype = _Mallinfo2
            if library.mallinfo2().fordblks <= _QUICK_BYTES:
                library.malloc_trim(0)


def give_back() -> None:
    """What is free, however long it takes."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
