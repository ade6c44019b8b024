"""fieldrig preflight: its words on the terminal. The command line composes it with the checks of other stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from capture.preflight.finding import Colour, Finding, by_gravity, worst

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_COLOURS = {Colour.GREEN: "green", Colour.AMBER: "yellow", Colour.RED: "bold red"}
_VERDICTS = {
    Colour.GREEN: "ready to record",
    Colour.AMBER: "can be recorded; what is amber will be missing or uncertain",
    Colour.RED: "do not record before what is red is put right",
}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Green first, red last; what to do stands below what was measured, in lines as long as the terminal's."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, pad_edge=False, box=None)
    for finding in by_gravity(findings):
        style = _COLOURS[finding.colour]
        said = Text(f"{finding.subject}: {finding.measured}")
        if finding.advice:
            said.append(f"\n-> {finding.advice}", style=style)
        table.add_row(Text(str(finding.colour), style=style), finding.check, said)
    return table


def verdict_line(rig: str, findings: Sequence[Finding]) -> Text:
    from rich.text import Text

    colour = worst(findings)
    counts = ", ".join(f"{sum(each.colour is one for each in findings)} {one}" for one in Colour)
    return Text.assemble(f"{rig}: ", (str(colour), _COLOURS[colour]), f" ({counts}): {_VERDICTS[colour]}")


def findings_json(rig: str, findings: Sequence[Finding]) -> str:
    """{rig, verdict, findings: [{check, colour, subject, measured, advice}]}"""
    told = [
        {"check": each.check, "colour": each.colour, "subject": each.subject, "measured": each.measured, "advice": each.advice}
        for each in findings
    ]  # fmt: skip
    return json.dumps({"rig": rig, "verdict": worst(findings), "findings": told}, indent=2, ensure_ascii=False)
