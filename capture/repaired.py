"""What a repair found and did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Repaired:
    """messages: in all streams, health included. rescued: of them, from the chunk that was cut off.

    done: False when nothing could be done or was to be. mended: what was made anew, and what was not to be had any more, a line each.
    reasons: all that speaks against the recording by now. left: what no repair can bring back, in the words of verify.
    """

    folder: Path
    done: bool
    messages: int
    rescued: int = 0
    cut_bytes: int = 0
    mended: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def after(self, line: str) -> Repaired:
        """This repair behind another step, of which the line tells."""
        return replace(self, done=True, mended=(line, *self.mended))

    def and_then(self, other: Repaired) -> Repaired:
        """This repair and one behind it, as one."""
        return Repaired(
            self.folder,
            done=self.done or other.done,
            messages=other.messages,
            rescued=self.rescued + other.rescued,
            cut_bytes=self.cut_bytes + other.cut_bytes,
            mended=tuple(dict.fromkeys((*self.mended, *other.mended))),
            reasons=other.reasons,
            left=other.left,
        )
