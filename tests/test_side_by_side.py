"""Tests that share something run on one worker, and not twice."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["annotate/test_geometry.py", "annotate/test_iou.py", "devices/test_authorization.py", "devices/test_rig.py"]


def test_the_tests_of_a_file_and_of_a_folder_that_shares_something_stay_on_one_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-v", "--numprocesses", "2", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, f"--basetemp={tmp_path}/inside", *(f"tests/{file}" for file in QUICK)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    workers = defaultdict(set)
    for worker, file in re.findall(r"^\[(gw\d)\] .*PASSED tests/(.+?)::", run.stdout, re.MULTILINE):
        workers[file].add(worker)
    assert sorted(workers) == QUICK
    assert all(len(each) == 1 for each in workers.values()), "a file's tests stay together"
    assert workers["annotate/test_geometry.py"] == workers["annotate/test_iou.py"], "a folder's, where they share"
    assert set().union(*workers.values()) == {"gw0", "gw1"}
