"""The arrivals of a part of a second that nobody has looked at yet: a packet costs two appends."""

from __future__ import annotations

from capture.clock.window import Arrivals, arrivals

_STILL_NS = 1_000_000_000


class OpenSlot:
    """stopped: stamps passed over, since they equal the one before, that came while the sensor's clock stood still."""

    def __init__(self) -> None:
        self.stopped = 0
        self._shown_ns = self._still_ns = 0
        self.clear()

    def clear(self) -> None:
        """As before the first arrival; what was counted stands."""
        self._devices: list[int] = []
        self._hosts: list[int] = []
        self._last_ns: int | None = None
        self._opened_ns = self._due_ns = 0

    def __len__(self) -> int:
        return len(self._devices)

    @property
    def stands_still(self) -> bool:
        """Whether the newest stamp is one that was first seen a second before: no packet of one instant comes as late behind the first."""
        return self._still_ns >= _STILL_NS

    def add(self, device_ns: int, host_ns: int) -> bool:
        """Whether the slot is due."""
        if device_ns == self._last_ns:
            self._repeat(host_ns)
            return False
        self._last_ns, self._shown_ns, self._still_ns = device_ns, host_ns, 0
        self._devices.append(device_ns)
        self._hosts.append(host_ns)
        return not self._opened_ns <= host_ns < self._due_ns

    def _repeat(self, host_ns: int) -> None:
        self._still_ns = host_ns - self._shown_ns
        self.stopped += self.stands_still

    def take(self) -> tuple[Arrivals, int, int]:
        """(the arrivals, which are then gone from here; how many bore a number that is no time; when the newest came)."""
        taken, count, newest_ns = arrivals(self._devices, self._hosts), len(self), self._hosts[-1]
        self._devices, self._hosts = [], []
        return taken, count - len(taken), newest_ns

    def put_back(self, arrival: Arrivals) -> None:
        """To be looked at with what comes next."""
        self._devices, self._hosts = arrival.device_ns.tolist(), arrival.host_ns.tolist()

    def open(self, host_ns: int, length_ns: int) -> None:
        self._opened_ns, self._due_ns = host_ns, host_ns + length_ns
