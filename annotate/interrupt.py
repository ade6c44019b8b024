"""However a person or the system ends a command that keeps another program running, it ends like Ctrl+C: in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # a service's stop, a closed terminal; Windows knows only the first
_AGAIN_S = 0.02


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise KeyboardInterrupt, the first of them only: what is being closed then is closed in peace.

    Whoever has them ignored (nohup) has his way. Outside of the main thread, which alone may take signals, nothing changes.
    """
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    newest, tell = int(signal.SIGINT), sys.unraisablehook

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal newest
        newest = number
        for each in taken:
            signal.signal(each, signal.SIG_IGN)  # until the process has ended
        raise KeyboardInterrupt

    def ignored(what: sys.UnraisableHookArgs) -> None:
        """Python ignores what is raised in a callback or a ``__del__``: the signal comes again."""
        if what.exc_type is not KeyboardInterrupt:
            tell(what)
            return
        for each in taken:
            signal.signal(each, end)
        again = threading.Timer(_AGAIN_S, os.kill, [os.getpid(), newest])
        again.daemon = True
        again.start()

    for number in taken:
        signal.signal(number, end)
    if taken:
        sys.unraisablehook = ignored
    try:
        yield
    finally:
        if taken:
            sys.unraisablehook = tell
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)
