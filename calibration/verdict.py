"""How a verdict comes about: findings in words, the gravest of which decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from calibration.calibration import Verdict, worst


@dataclass(slots=True)
class Findings:
    """What speaks against a result. Nothing: it is good."""

    found: list[tuple[Verdict, str]] = field(default_factory=list)

    def refuse_if(self, condition: bool, words: str) -> None:
        if condition:
            self.found.append(("refused", words))

    def doubt_if(self, condition: bool, words: str) -> None:
        if condition:
            self.found.append(("doubtful", words))

    @property
    def verdict(self) -> Verdict:
        return worst(verdict for verdict, _ in self.found)

    @property
    def reasons(self) -> list[str]:
        """The words, gravest first."""
        return [words for wanted in ("refused", "doubtful") for verdict, words in self.found if verdict == wanted]
