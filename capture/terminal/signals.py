"""What the system tells a recorder to do: to end, which it does in order, or to be suspended, which would lose packets."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_ENDING = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP")  # the last: its terminal was closed
_SUSPENDING = ("SIGTSTP", "SIGTTIN", "SIGTTOU")


@contextlib.contextmanager
def ended_in_order() -> Iterator[threading.Event]:
    """Gives what Ctrl+C, a kill and a closed terminal set; Ctrl+Z does nothing. nohup's wish stands."""
    stop = threading.Event()
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            signal.signal(number, lambda *_: stop.set())
    for name in _SUSPENDING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; an impatient finger must not make a failure of it
