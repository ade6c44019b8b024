"""That the benchmarks can be carried out; their figures are not for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


def rows_of(name: str, *options: str, folder: Path) -> dict[str, Any]:
    """What was measured -> its row."""
    rows = folder / "rows.jsonl"
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=ROOT, env=os.environ | {"FIELDRIG_BENCH_ROWS": str(rows)}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return {row["what"]: row for row in map(json.loads, rows.read_text().splitlines())}


def test_a_recorder_under_load_is_fed_watched_and_held_against_what_was_sent(tmp_path: Path) -> None:
    rows = rows_of(
        "load", "--seconds", "1", "--runs", "1", "--rigs", "1", "--peers", "drain", "--workspace", str(tmp_path),
        folder=tmp_path,
    )  # fmt: skip
    lost = [row for what, row in rows.items() if what.endswith(": lost")]
    assert len(lost) == 2, "with the page closed, and with it open"
    assert all(row["figure"].endswith(" of 1770") for row in lost)  # how many are lost is the machine's business
    (cpu,) = (row for what, row in rows.items() if what.endswith(": CPU"))
    assert 0 < float(cpu["figure"].split()[0]) < 8
    (drained,) = (row for what, row in rows.items() if "sockets emptied" in what)
    assert drained["is_ratio"]
    assert 0 <= int(drained["figure"].split(", ")[1].split()[0]) < 900
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_every_writer_writes_every_message(tmp_path: Path) -> None:
    rows = rows_of("writing", "--seconds", "1", "--repeats", "1", "--disk", str(tmp_path), folder=tmp_path)
    for writer in ("fieldrig", "mcap, CRC", "rosbags, without CRC", "foxglove-sdk, CRC"):
        assert float(rows[f"to disk: {writer}"]["figure"].split()[0]) > 0
