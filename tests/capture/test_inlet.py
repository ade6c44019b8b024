"""What a stream's sources say of themselves, told once each, however often the sensor is opened anew and whoever asks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from capture.border import Border
from capture.inlet import Inlet
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps


class Telling:
    """A source that has lost one packet, and rejected another."""

    stream = Stream("lidar/points", "raw")
    clock_source = ClockSource.PTP
    remark = "its profile is not decodable yet"
    lost = 1
    is_broken = False

    @property
    def rejected(self) -> dict[str, int]:
        if self.is_broken:
            raise OSError("a defect")
        return {"wrong size": 1}


class Asked(Inlet):
    """Somebody asks it at every step of its being renewed."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name.endswith("_earlier") and hasattr(self, "border"):
            asking = threading.Thread(target=lambda: (self.lost, self.rejected))
            asking.start()
            asking.join(0.2)  # it may have to wait


def test_whoever_asks_while_the_sensor_is_opened_anew_counts_no_source_twice() -> None:
    inlet, fresh = Asked(0, Telling()), Telling()  # type: ignore[arg-type]
    fresh.lost = 0
    assert (inlet.lost, inlet.rejected) == (1, {"wrong size": 1})
    inlet.renew(fresh)  # type: ignore[arg-type]
    assert (inlet.lost, inlet.rejected) == (1, {"wrong size": 2})
    fresh.lost = 1
    assert inlet.lost == 2


class Hurried(Inlet):
    """The writing thread draws the next border just when somebody has looked at the last one."""

    def __getattribute__(self, name: str) -> object:
        value = super().__getattribute__(name)
        if name == "border" and value.at_ns == 10:
            super().draw_border(20)
        return value


class Slow(Telling):
    """The writing thread draws the next border while this one is asked."""

    def __init__(self) -> None:
        self.inlets: list[Inlet] = []

    @property
    def lost(self) -> int:  # type: ignore[override]
        for inlet in self.inlets:
            self.inlets = []
            inlet.draw_border(20)
        return 1


@pytest.mark.parametrize("hurry", ["between two looks", "while a driver is asked"])
def test_a_border_that_is_drawn_while_the_last_one_is_passed_is_not_passed_with_it(hurry: str) -> None:
    """What arrived before it has not been read yet."""
    source = Slow()
    inlet = (Hurried if hurry == "between two looks" else Inlet)(0, source)  # type: ignore[arg-type]
    last = inlet.border = Border(10, is_passed=False)
    source.inlets = [inlet] if hurry == "while a driver is asked" else []
    inlet.catch_up(15)
    assert (last.is_passed, last.lost) == (True, 1)
    assert (inlet.border.at_ns, inlet.border.is_passed) == (20, False)
    inlet.catch_up(20)
    assert inlet.border.is_passed


def test_what_a_source_said_stands_when_it_cannot_say_any_more() -> None:
    source = Telling()
    inlet = Inlet(0, source)  # type: ignore[arg-type]
    assert (inlet.lost, inlet.rejected, inlet.remark) == (1, {"wrong size": 1}, Telling.remark)
    source.is_broken = True
    assert (inlet.lost, inlet.rejected, inlet.remark) == (1, {"wrong size": 1}, Telling.remark)
    inlet.renew(Telling())  # type: ignore[arg-type]
    assert (inlet.lost, inlet.rejected) == (2, {"wrong size": 2})


def noted(inlet: Inlet, arrivals_s: Iterable[float]) -> None:
    for at_s in arrivals_s:
        inlet.note(Packet("lidar/points", Stamps(HOST_CLOCK.anchor_ns + round(at_s * 1e9)), b""))


def test_what_is_unusual_goes_by_how_a_stream_speaks_now_and_not_by_its_hours_in_standby() -> None:
    inlet = Inlet(0, Telling())  # type: ignore[arg-type]
    noted(inlet, (5.0 * n for n in range(7200)))
    at_s = 36_000.0
    noted(inlet, (at_s + n / 100 for n in range(12_000)))
    inlet.silences.clear()
    noted(inlet, (at_s + 120 + 1.5 + n / 100 for n in range(100)))
    (gap,) = inlet.silences
    assert gap.ns == pytest.approx(1.51e9)


def test_an_arrival_that_seems_to_lie_before_the_last_one_makes_no_other_unusual() -> None:
    inlet = Inlet(0, Telling())  # type: ignore[arg-type]
    noted(inlet, (1.0 + n for n in range(100)))
    noted(inlet, [-3600.0])
    inlet.silences.clear()
    noted(inlet, (-3599.0 + n for n in range(100)))
    assert inlet.silences == []
