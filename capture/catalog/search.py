"""What is looked for in the catalog, as conditions of SQL."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from capture.details import plain_text
from capture.errors import CaptureError

VERDICTS = ("good", "doubtful", "bad", "none")
_HOLDS = {"site": "site", "rig": "rig", "operator": "operator", "order": "customer_order"}


@dataclass(frozen=True, slots=True)
class Search:
    """All that is given must hold. Texts are parts of what is there, capitals aside; task: the recording's, or an episode's; sensor: its name or driver; verdict: one of VERDICTS.

    since_ns, until_ns: the recording began in [since_ns, until_ns). words: each occurs somewhere. limit: the newest so many.
    """

    site: str = ""
    task: str = ""
    rig: str = ""
    operator: str = ""
    order: str = ""
    sensor: str = ""
    consent: str = ""
    verdict: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    words: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.verdict and self.verdict not in VERDICTS:
            raise CaptureError(f"no verdict is '{self.verdict}'; they are: {', '.join(VERDICTS)}")
        for said in (self.site, self.task, self.rig, self.operator, self.order, self.sensor, self.consent, *self.words):
            plain_text("search", said)

    @property
    def is_empty(self) -> bool:
        return all(getattr(self, field.name) in {"", (), None} for field in fields(self))

    def conditions(self) -> tuple[str, list[str | int]]:
        """(a WHERE clause, its values)."""
        clauses, values = ["1"], list[str | int]()
        for name, column in _HOLDS.items():
            if wanted := getattr(self, name):
                clauses.append(f"contains({column}, ?)")
                values.append(wanted)
        if self.task:
            clauses.append("(contains(task, ?) OR folder IN (SELECT folder FROM tasks WHERE contains(tasks.task, ?)))")
            values += [self.task, self.task]
        for word in self.words:
            clauses.append("contains(words, ?)")
            values.append(word)
        if self.verdict:
            clauses.append("coalesce(verdict, 'none') = ?")
            values.append(self.verdict)
        if self.sensor:
            clauses.append("folder IN (SELECT folder FROM sensors WHERE contains(sensor, ?) OR contains(driver, ?))")
            values += [self.sensor, self.sensor]
        if self.consent:
            clauses.append("folder IN (SELECT folder FROM consents WHERE consent = ?)")
            values.append(self.consent)
        for operator, limit_ns in ((">=", self.since_ns), ("<", self.until_ns)):
            if limit_ns is not None:
                clauses.append(f"started_ns {operator} ?")
                values.append(limit_ns)
        return " AND ".join(clauses), values


def contains(text: str | None, part: str) -> bool:
    """Also beyond ASCII, where SQLite's LIKE minds capitals."""
    return text is not None and part.casefold() in text.casefold()


def moment_ns(text: str, *, is_end: bool = False, now: datetime | None = None) -> int:
    """``2026-01-31``, ``2026-01-31T10:15``, ``today``, ``yesterday``, or ``7d``, ``12h`` ago; UTC unless it says otherwise.

    is_end: a whole day means its end. Raises CaptureError on anything else.
    """
    now = now or datetime.now(UTC)
    words, day = text.strip().lower(), timedelta(days=1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if words in {"today", "yesterday"}:
            moment, is_day = today - (day if words == "yesterday" else timedelta()), True
        elif words[-1:] in {"d", "h"}:
            ago = timedelta(days=float(words[:-1])) if words.endswith("d") else timedelta(hours=float(words[:-1]))
            moment, is_day = now - ago, False
        else:
            moment, is_day = datetime.fromisoformat(text.strip()), len(words) <= len("2026-01-31")
    except (ValueError, OverflowError):
        raise CaptureError(f"'{text}' is no date; write it like 2026-01-31, 2026-01-31T10:15, today or 7d") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    moment += day if is_end and is_day else timedelta()
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
