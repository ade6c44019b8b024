"""What a crew says of a recording: who, where, what, for whom, and by whose consent."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from capture.errors import CaptureError

TEXT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Details:
    """order: the NAME of orders/NAME.toml that the recording counts for."""

    operator: str = ""
    site: str = ""
    task: str = ""
    order: str = ""
    consent_ids: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def with_(self, said: Mapping[str, Any]) -> Details:
        """What is said replaces what was. Raises CaptureError for what is no line of text, and for an order that is no NAME."""
        known = {each.name for each in fields(self)}
        changes: dict[str, Any] = {}
        for key, value in said.items():
            if key not in known:
                raise CaptureError(f"a recording has no '{key}'; it has: {', '.join(sorted(known))}")
            changes[key] = _ids(key, value) if key == "consent_ids" else one_line(key, value)
        _check_order(changes.get("order", ""))
        return replace(self, **changes)


def one_line(key: str, value: object) -> str:
    """Raises CaptureError for what is no plain text, or has several lines."""
    text = plain_text(key, value)
    if "\n" in text:
        raise CaptureError(f"{key}: {text!r} has several lines; say it in one")
    return text


def plain_text(key: str, value: object) -> str:
    """Raises CaptureError for what is no text, too long, or holds what UTF-8 cannot say or a terminal would obey."""
    text = value.replace("\r\n", "\n").strip() if isinstance(value, str) else None
    if text is None or len(text) > TEXT_MAX:
        raise CaptureError(f"{key}: give a text of at most {TEXT_MAX} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CaptureError(f"{key}: {text!r} is no text in UTF-8; check the terminal's encoding") from None
    if any(unicodedata.category(each) == "Cc" and each not in "\n\t" for each in text):
        raise CaptureError(f"{key}: {text!r} holds control characters; leave them out")
    return text


def _ids(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CaptureError(f"{key}: give a list of them")
    return tuple(dict.fromkeys(one_line(key, each) for each in value))


def _check_order(name: str) -> None:
    if name.startswith(".") or "/" in name or "\\" in name:
        raise CaptureError(f"order: '{name}' is not the NAME of orders/NAME.toml; leave folders and leading dots out")
