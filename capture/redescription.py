"""What a stream's description says after its sensor came back, held against what it said before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 60  # characters of a value; interruptions keep the whole description beside


def redescribed_in_words(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Stream -> its description. Empty where nothing differs."""
    said = [
        f"{name} came back with {', '.join(_differences(before[name], text))}"
        for name, text in after.items()
        if text != before[name]
    ]
    return "; ".join([*said, "what followed is decoded as described before"]) if said else ""


def _differences(before: str, after: str) -> list[str]:
    """``key old -> new`` of each key that differs; of what is no JSON object, the whole."""
    old, new = _table(before), _table(after)
    if old is None or new is None:
        return [f"a description {_short(before)} -> {_short(after)}"]
    keys = [key for key in {**old, **new} if old.get(key, ...) != new.get(key, ...)]
    told = {
        key: (_short(old[key]) if key in old else "none", _short(new[key]) if key in new else "none") for key in keys
    }
    return [f"{key} {was} -> {now}" for key, (was, now) in told.items()] or ["the same, in other words"]


def _table(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
        return dict(_flat(said, "")) if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        return None


def _flat(said: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in said.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
