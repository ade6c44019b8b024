"""A command's end is never lost, wherever in Python its signal comes."""

import signal
import time
import weakref

import pytest

from annotate.interrupt import ended_like_ctrl_c


def deleted(act):
    type("Gone", (), {"__del__": lambda _: act()})()


def watched(act):
    """As an import's lock is."""
    gone = type("Gone", (), {})()
    watch = weakref.ref(gone, lambda _: act())
    del gone
    assert watch() is None


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
@pytest.mark.parametrize("what_is_forgotten", [deleted, watched])
def test_a_signal_that_comes_where_python_ignores_what_is_raised_comes_again(what_is_forgotten, ended_by):
    told = []

    def comes():
        told.append("it comes")
        signal.raise_signal(ended_by)
        told.append("it did not raise")

    try:
        with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():  # noqa: PT012
            what_is_forgotten(comes)
            told.append("what was under way goes on")
            time.sleep(5)
    finally:  # they are ignored until a process has ended, and by what it starts
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
    assert told == ["it comes", "what was under way goes on"]
