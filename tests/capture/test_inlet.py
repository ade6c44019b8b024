"""What a stream's sources say of themselves, told once each, however often the sensor is opened anew and whoever asks meanwhile."""

from __future__ import annotations

import threading

from capture.inlet import Inlet
from devices.device import ClockSource, Stream


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


def test_what_a_source_said_stands_when_it_cannot_say_any_more() -> None:
    source = Telling()
    inlet = Inlet(0, source)  # type: ignore[arg-type]
    assert (inlet.lost, inlet.rejected, inlet.remark) == (1, {"wrong size": 1}, Telling.remark)
    source.is_broken = True
    assert (inlet.lost, inlet.rejected, inlet.remark) == (1, {"wrong size": 1}, Telling.remark)
    inlet.renew(Telling())  # type: ignore[arg-type]
    assert (inlet.lost, inlet.rejected) == (2, {"wrong size": 2})
