"""However the demo is ended, nothing that it started runs on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from annotate.environment import VARIABLE

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_a_demo_that_is_ended_while_its_labelling_server_boots_ends_at_once_and_takes_it_along(
    tmp_path: Path, ended_by: signal.Signals
) -> None:
    program = tmp_path / "label-studio" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec sleep 120\n")
    program.chmod(0o755)
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--folder", str(tmp_path / "demo")],
        cwd=ROOT,
        env={**os.environ, VARIABLE: str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server = psutil.Process(_server_pid(tmp_path / "demo/workspace/label-studio/server.json"))
        time.sleep(0.5)  # the boot is being waited for, the take is being rendered
        demo.send_signal(ended_by)
        _, said = demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert said == "demo: interrupted; run it again, what was rendered is kept\n"
    assert demo.returncode == 130
    assert not server.is_running()


def _server_pid(state: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return int(json.loads(state.read_text())["pid"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError(f"no server was started: {state} is not there")
