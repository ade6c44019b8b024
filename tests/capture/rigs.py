"""Small rigs for the tests of capture, ports of their own, and somebody who sends to them."""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from devices.host_clock import HOST_CLOCK
from devices.rig import Rig, rig_from_dict

_OWN = 250  # ports a process
_HOLDERS: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Ports at which nobody listens, neither UDP nor TCP, and which no other process that runs tests is given."""
    return list(islice(filter(_is_free, _own_ports()), count))


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
    """Sends datagrams to several ports from a thread of its own, and remembers when each went out (host ns)."""

    def __init__(self, ports: dict[str, int], rate_hz: float, padding: int = 0) -> None:
        self.sent: dict[str, list[int]] = {topic: [] for topic in ports}
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

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self._period_s
                for topic, port in self._ports.items():
                    data = line(HOST_CLOCK.now_ns() - 7_000_000_000, topic, len(self.sent[topic]), self._padding)
                    sent_ns = HOST_CLOCK.now_ns()
                    out.sendto(data, ("127.0.0.1", port))
                    self.sent[topic].append(sent_ns)


def write_rig(path: Path, state: int, action: int) -> Path:
    path.write_text(
        f'name = "bench"\n[sensors.robot]\ndriver = "named_vector"\nports = {{ state = {state}, action = {action} }}\n',
        encoding="utf-8",
    )
    return path
