"""What a preflight check says: green, amber or red, what was measured, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """GREEN: as it should be. AMBER: data will be recorded, and something about it will be missing or uncertain. RED: do not record."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a preflight. check: what was looked at. subject: at which sensor, stream or device. measured: with its unit.

    advice: what to do, empty only when green.
    """

    check: str
    colour: Colour
    subject: str
    measured: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.colour is not Colour.GREEN and not self.advice:
            raise ValueError(f"{self.check} of {self.subject}: what is {self.colour} says what to do")


def green(check: str, subject: str, measured: str) -> Finding:
    return Finding(check, Colour.GREEN, subject, measured)


def amber(check: str, subject: str, measured: str, advice: str) -> Finding:
    return Finding(check, Colour.AMBER, subject, measured, advice)


def red(check: str, subject: str, measured: str, advice: str) -> Finding:
    return Finding(check, Colour.RED, subject, measured, advice)


_GRAVITY = tuple(Colour)


def worst(findings: Iterable[Finding]) -> Colour:
    """The gravest colour; green when there is nothing."""
    return max((finding.colour for finding in findings), key=_GRAVITY.index, default=Colour.GREEN)


def by_gravity(findings: Iterable[Finding]) -> list[Finding]:
    """Green first, red last, where a terminal leaves the eye; else in the order of the checks."""
    return sorted(findings, key=lambda finding: _GRAVITY.index(finding.colour))
