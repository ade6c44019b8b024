"""`make bench-capture`: the recorder's benchmarks one after the other, and one table of what they found.

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

from benchmarks.table import ROWS_FILE, Row, print_table

QUICK = (
    ("load", ["--seconds", "20", "--runs", "3"]),
    ("writing", []),
    ("decoding", []),
    ("clock", []),
    ("recovery", []),
)
WHOLE = (("load", ["--seconds", "60", "--runs", "3"]), *QUICK[1:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="60 s each under load instead of 20 s")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these: " + " ".join(name for name, _ in QUICK))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.jsonl"
        rows_file.touch()
        failed = [
            name
            for name, options in (WHOLE if chosen.whole else QUICK)
            if (not chosen.only or name in chosen.only) and not _ran(name, options, rows_file)
        ]
        _print_all(rows_file)
    if failed:
        sys.stderr.write(f"could not be carried out: {', '.join(failed)}\n")
    return 1 if failed else 0


def _ran(name: str, options: list[str], rows_file: Path) -> bool:
    environment = os.environ | {ROWS_FILE: str(rows_file)}
    return (
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False, env=environment).returncode
        == 0
    )


def _print_all(rows_file: Path) -> None:
    lines = [json.loads(line) for line in rows_file.read_text(encoding="utf-8").splitlines()]
    rows = [Row(f"{line['title']}: {line['what']}", line["figure"], line["target"], line["met"]) for line in lines]
    if rows:
        print_table("all targets", (row for row in rows if row.met is not None))


if __name__ == "__main__":
    sys.exit(main())
