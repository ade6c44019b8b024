"""Packets of a lidar, put in order by their times, gathered into sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from devices.device import Rejections
from devices.lidars.succession import Succession
from devices.samples import Packet, Sweep

Read = TypeVar("Read")


class Gathering(Protocol[Read]):
    """What differs between lidars: what a packet holds, and where a sweep ends."""

    def read(self, packet: Packet) -> tuple[int, Read] | str:
        """The packet's time, ns on the sensor's clock, and what it holds; or why it is not to be used."""
        ...

    def add(self, read: Read, *, leapt: bool) -> Iterable[Sweep]:
        """The sweeps that a packet ends. leapt: time has leapt before it, so that no sweep goes on."""
        ...

    def finish(self) -> Iterable[Sweep]:
        """The sweep in hand, unfinished as it is."""
        ...


class SweepDecoder(Generic[Read]):
    """The Decoder of a lidar's packets: every one is used in its turn, or counted."""

    carries_over = True

    def __init__(self, gathering: Gathering[Read]) -> None:
        self._gathering = gathering
        self._rejections = Rejections()
        self._succession: Succession[Read] = Succession(self._rejections)

    def decode(self, packet: Packet) -> Iterable[Sweep]:
        found = self._gathering.read(packet)
        if isinstance(found, str):
            self._rejections.add(found)
            return []
        admitted = self._succession.admit(*found)
        return [sweep for leapt, read in admitted for sweep in self._gathering.add(read, leapt=leapt)]

    def flush(self) -> Iterable[Sweep]:
        self._succession.settle()
        return list(self._gathering.finish())

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts
