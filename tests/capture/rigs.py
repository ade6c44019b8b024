"""Small rigs for the tests of capture, ports of their own, and somebody who sends to them."""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count, cycle, islice
from pathlib import Path
from typing import Self

from devices.host_clock import HOST_CLOCK
from devices.rig import Rig, rig_from_dict

UNDERWAY_NS = 100_000_000  # how long what was sent may be on its way
_OWN = 250  # ports a process
_HOLDERS: list[socket.socket] = []


def free_ports(number: int) -> list[int]:
    """Ports at which nobody listens, neither UDP nor TCP, and which no other process that runs tests is given."""
    return list(islice(filter(_is_free, _own_ports()), number))


def free_port() -> int:
    return free_ports(1)[0]


@functools.cache
def _own_ports() -> Iterator[int]:
    """This process's, over and over: below those that the system itself gives to whoever asks for any."""
    first = next(filter(_taken_for_good, range(10_000, 21_000, _OWN)))
    return cycle(range(first + 1, first + _OWN))


def _taken_for_good(port: int) -> bool:
    """Whether nobody else had it; who holds the first of a block has the whole."""
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return False
    _HOLDERS.append(holder)
    return True


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


def robot_rig(state: int, action: int, marks: int | None = None) -> Rig:
    sensors: dict[str, object] = {
        "robot": {"driver": "named_vector", "least_latency_ms": 2.0, "ports": {"state": state, "action": action}}
    }
    if marks is not None:
        sensors["operator"] = {"driver": "marks", "port": marks}
    return rig_from_dict({"name": "bench", "sensors": sensors})


def line(t_ns: int, topic: str, value: int, padding: int = 0) -> bytes:
    """One datagram of a robot; ``value`` comes back as its first number."""
    names = ["count"] + [f"filling{i}" for i in range(padding)]
    values = [float(value)] + [0.5] * padding
    return json.dumps({"t_ns": t_ns, "topic": topic, "names": names, "values": values}).encode() + b"\n"


class Sender:
    """Sends datagrams to several ports from a thread of its own; what it could not send in time it makes up for.

    sent, out: topic -> when each datagram was about to be sent, and when it was, host ns: it arrives in between. A busy machine may let
    a second pass there.
    """

    def __init__(self, ports: dict[str, int], rate_hz: float, padding: int = 0) -> None:
        self.sent: dict[str, list[int]] = {topic: [] for topic in ports}
        self.out: dict[str, list[int]] = {topic: [] for topic in ports}
        self._ports = ports
        self._period_s = 1 / rate_hz
        self._padding = padding
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def surely_between(self, topic: str, from_ns: int, to_ns: int) -> list[int]:
        """Numbers of those that arrived then, whatever moment between its two times each was sent at."""
        return [n for n, sent_ns, out_ns in self._times(topic) if from_ns <= sent_ns and out_ns < to_ns - UNDERWAY_NS]

    def maybe_between(self, topic: str, from_ns: int, to_ns: int) -> list[int]:
        """Numbers of those that may have."""
        return [n for n, sent_ns, out_ns in self._times(topic) if from_ns - UNDERWAY_NS <= out_ns and sent_ns < to_ns]

    def _times(self, topic: str) -> list[tuple[int, int, int]]:
        return list(zip(count(), self.sent[topic], self.out[topic], strict=False))

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self._period_s
                for topic, port in self._ports.items():
                    data = line(HOST_CLOCK.now_ns() - 7_000_000_000, topic, len(self.sent[topic]), self._padding)
                    sent_ns = HOST_CLOCK.now_ns()
                    out.sendto(data, ("127.0.0.1", port))
                    self.out[topic].append(HOST_CLOCK.now_ns())
                    self.sent[topic].append(sent_ns)


def write_rig(path: Path, state: int, action: int) -> Path:
    path.write_text(
        f'name = "bench"\n[sensors.robot]\ndriver = "named_vector"\nports = {{ state = {state}, action = {action} }}\n',
        encoding="utf-8",
    )
    return path
