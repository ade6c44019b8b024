"""What is not a figure but holds or does not: losses counted to the packet, bags that others open. The tests that show it, run and counted.

python -m benchmarks.proofs
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.table import ROWS_FILE, Row, show

PROOFS: dict[str, Sequence[str]] = {
    "UDP loss by a small buffer is what was sent less what was recorded": (
        "tests/capture/test_losses.py",
        "-k",
        "buffer",
    ),
    "a full disk: files complete, what was not written counted": ("tests/capture", "-k", "full_disk"),
    "a slow disk: nothing lost until the queue's bound, then counted": (
        "tests/capture/test_losses.py",
        "-k",
        "slow_disk",
    ),
    "recordings opened by rosbags, mcap and rerun": ("tests/capture", "-k", "rosbags or mcap or rerun"),
    "ROS bags in and out": ("tests/capture/importers/test_ros_bags.py",),
}


def main() -> int:
    rows = [_row(what, tests) for what, tests in PROOFS.items()]
    show("proofs", rows)
    return 1 if any(row.met is False for row in rows) and ROWS_FILE not in os.environ else 0


def _row(what: str, tests: Sequence[str]) -> Row:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {
        kind: int(count) for count, kind in re.findall(r"(\d+) (passed|failed|error|skipped)", said.splitlines()[-1])
    }
    wrong = found.get("failed", 0) + found.get("error", 0) + found.get("skipped", 0)
    told = ", ".join(f"{count} {kind}" for kind, count in found.items())
    return Row(f"{what}: tests", told, "all pass", wrong == 0 and found.get("passed", 0) > 0)


if __name__ == "__main__":
    sys.exit(main())
