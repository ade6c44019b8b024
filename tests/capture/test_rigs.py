"""Test processes that run side by side are never given the same port."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.capture.rigs import free_ports

ROOT = Path(__file__).parent.parent.parent


def test_processes_side_by_side_are_given_ports_of_their_own_and_none_at_which_somebody_listens() -> None:
    program = "from tests.capture.rigs import free_ports; print(free_ports(300), flush=True); input()"
    others = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    given = [set(free_ports(300)), *({*map(int, each.stdout.readline()[1:-2].split(","))} for each in others if each.stdout)]  # fmt: skip
    for each in others:
        each.communicate("\n")
    assert sum(map(len, given)) == len(set.union(*given)) > 4 * 200
    (port,) = free_ports(1)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as listening:
            listening.bind(("127.0.0.1", port))
            assert port not in free_ports(600)
