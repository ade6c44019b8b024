"""`make bench-capture`: the recorder's benchmarks one after the other, and one table of targets and of ratios to peers.

Exit code 1 when a benchmark could not be carried out; a target that is missed is said, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.table import ROWS_FILE, Row, print_table

NAMES = ("load", "writing", "decoding", "clock", "recovery", "proofs")
QUICK = {"load": ["--seconds", "15"], "recovery": ["--quick"]}
WHOLE = {"load": ["--seconds", "60"]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="60 s each under load, and every kill; about an hour")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES, default=NAMES, help=" ".join(NAMES))
    chosen = parser.parse_args()
    options = WHOLE if chosen.whole else QUICK
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.jsonl"
        rows_file.touch()
        failed = [name for name in chosen.only if not _has_found(name, options.get(name, []), rows_file)]
        _print_all(rows_file)
    if failed:
        sys.stderr.write(f"could not be carried out: {', '.join(failed)}\n")
    return 1 if failed else 0


def _has_found(name: str, options: list[str], rows_file: Path) -> bool:
    """Runs a benchmark; whether it got as far as its table."""
    before = rows_file.stat().st_size
    environment = os.environ | {ROWS_FILE: str(rows_file)}
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False, env=environment)
    return rows_file.stat().st_size > before


def _print_all(rows_file: Path) -> None:
    rows = [_row(json.loads(line)) for line in rows_file.read_text(encoding="utf-8").splitlines()]
    if rows:
        print_table("targets, and ratios to peers", (row for row in rows if row.met is not None or row.is_ratio))


def _row(said: dict[str, Any]) -> Row:
    title = said.pop("title")
    return Row(**said | {"what": f"{title}: {said['what']}"})


if __name__ == "__main__":
    sys.exit(main())
