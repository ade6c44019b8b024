"""What is wrong with a TOML file that a person wrote, in words: the key, the value, the choices."""

from __future__ import annotations

from pydantic import ValidationError


def mistakes(error: ValidationError) -> str:
    """The keys that are unknown or missing, which together often are one typing error; else the first wrong value. One line."""
    found = [(each["type"], each["loc"]) for each in error.errors()]
    keys = [f"unknown key '{_dotted(loc)}'" for kind, loc in found if kind == "extra_forbidden"]
    keys += [f"no key '{_dotted(loc)}'" for kind, loc in found if kind == "missing" and isinstance(loc[-1], str)]
    if keys:
        return f"{', '.join(keys)}; docs/FORMATS.md lists the keys"
    first = error.errors()[0]
    said = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "string_pattern_mismatch":
        said = "use lower case letters, digits, dash and underscore"
    if first["type"] == "value_error" and not first["loc"]:  # about the whole file: its words say which keys
        return said.removeprefix("value error, ")
    said = said.removeprefix("value error, ")
    return f"'{_dotted(first['loc'])}': {said} (it says {first.get('input')!r})"


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)
