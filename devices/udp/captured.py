"""Datagrams that come out of a packet capture instead of a socket: the drivers open their sources as ever, and listen at no port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devices.udp.source import UdpSource

_MADE: ContextVar[list[UdpSource] | None] = ContextVar("made", default=None)


@contextmanager
def out_of_a_capture() -> Iterator[list[UdpSource]]:
    """Within it no UdpSource takes the port that it is asked for; those made are listed. Their datagrams come out of a file, by packet()."""
    made: list[UdpSource] = []
    token = _MADE.set(made)
    try:
        yield made
    finally:
        _MADE.reset(token)


def comes_out_of_a_capture() -> bool:
    """Whether what a driver opens now is fed from a file, so that no sensor is to be spoken to."""
    return _MADE.get() is not None


def list_made(source: UdpSource) -> None:
    """Of a source that is being made, within out_of_a_capture()."""
    if (made := _MADE.get()) is not None:
        made.append(source)
