"""What a recorder says of its sensors: the same to everybody who asks."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from capture.recorder import Recorder
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK
from tests.capture.rigs import Sender, free_ports, robot_rig

SECOND = 1_000_000_000


class Look(NamedTuple):
    """What a recorder said of a stream, asked from then to then."""

    from_s: float
    to_s: float
    received: int
    rate_hz: float


def fewest_in_a_second(sent_ns: list[int], now_ns: int) -> int:
    """Of the last two and a half."""
    starts = range(now_ns - 5 * SECOND // 2, now_ns - SECOND, SECOND // 20)
    return min(sum(start <= each < start + SECOND for each in sent_ns) for start in starts)


def test_a_rate_is_of_the_last_seconds_whoever_asks_and_how_often(tmp_path: Path) -> None:
    state, action = free_ports(2)
    seen: list[list[Look]] = []
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:

        def ask() -> None:
            looks: list[Look] = []
            while not over.wait(0.005):
                before_s, stream = time.monotonic(), recorder.state().streams[0]
                looks.append(Look(before_s, time.monotonic(), stream.received, stream.rate_hz))
            seen.append(looks)

        over = threading.Event()
        recorder.run()
        time.sleep(3)
        with Sender({"state": state, "action": action}, 100) as sender:
            time.sleep(2.6)
            rate_hz, now_ns = recorder.state().streams[0].rate_hz, HOST_CLOCK.now_ns()
            assert rate_hz > 0.6 * fewest_in_a_second(sender.sent["state"], now_ns), "whoever asks first sees the past"
            crowd = [threading.Thread(target=ask) for _ in range(6)]
            for each in crowd:
                each.start()
            time.sleep(4)
            over.set()
            for each in crowd:
                each.join()
    assert len(seen) == 6
    for looks in seen:
        news = [at for at in range(1, len(looks) - 1) if looks[at].rate_hz != looks[at - 1].rate_hz]
        assert 2 <= len(news) <= looks[-1].to_s - looks[0].from_s + 1
        for first, last in pairwise(news):
            longest_s, shortest_s = (
                looks[last].to_s - looks[first - 1].from_s,
                looks[last - 1].from_s - looks[first].to_s,
            )
            most = looks[last + 1].received - looks[first - 1].received
            least = looks[last - 1].received - looks[first + 1].received
            assert least <= looks[last].rate_hz * longest_s
            assert looks[last].rate_hz * shortest_s <= most
