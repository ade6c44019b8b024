"""What a person wrote in TOML, as it was meant: an editor's mark at a file's beginning is none of it, and a number is no text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, field_validator


def text_of(path: Path) -> str:
    """A file's text; the byte order mark that editors on Windows put before it is left out. Raises OSError, UnicodeDecodeError."""
    return path.read_text(encoding="utf-8-sig")


class Written(BaseModel):
    """A table that somebody wrote: no key may be unknown, and nothing is taken for a number or for true but what is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _is_what_it_says(cls, given: Any, read: ValidatorFunctionWrapHandler) -> Any:
        meant = read(given)
        if wrong := _taken_for_another(given, meant):
            raise ValueError(wrong)
        return meant


def _taken_for_another(given: Any, meant: Any) -> str:
    """What is wrong where a text became a number, or true and false one, or the other way round."""
    if isinstance(given, Mapping) and isinstance(meant, Mapping):
        pairs = [(given[key], meant[key]) for key in given.keys() & meant.keys()]
    elif isinstance(given, Sequence) and isinstance(meant, Sequence) and not isinstance(given, str):
        pairs = list(zip(given, meant, strict=False))
    elif type(meant) is bool:
        return "" if type(given) is bool else "give true or false, without quotes"
    elif type(meant) in {int, float}:
        return "" if type(given) in {int, float} else "give a number, without quotes"
    else:
        return ""
    return next((wrong for one, other in pairs if (wrong := _taken_for_another(one, other))), "")
