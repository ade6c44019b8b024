"""A sensor that cannot announce itself, as a person names it in one line: ``mjpeg url=http://192.168.1.31/stream name=front``."""

from __future__ import annotations

import tomllib
from typing import Any

from pydantic import ValidationError

from devices.device import Found, driver
from devices.errors import DeviceError
from devices.mistakes import mistakes


def sensor_from_words(words: str) -> tuple[str, Found]:
    """``mjpeg url=http://... name=front`` -> (its name, empty when not given; the sensor). Raises DeviceError on what does not fit.

    A value is read as TOML where it is some (9003, true, { state = 9001 }), as text otherwise.
    """
    driver_name, _, rest = words.strip().partition(" ")
    kind = driver(driver_name)
    config = dict(_pairs(rest, words))
    name = str(config.pop("name", ""))
    try:
        kind.config.model_validate(config)
    except ValidationError as error:
        raise DeviceError(f"'{words}': {mistakes(error)}") from None
    return name, Found(driver_name, "", config)


def _pairs(text: str, words: str) -> list[tuple[str, Any]]:
    pairs = []
    for word in _outside_brackets(text):
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise DeviceError(
                f"'{words}': '{word}' is no KEY=VALUE; write it like: mjpeg url=http://192.168.1.31/stream"
            )
        pairs.append((key.strip(), _read(value.strip())))
    return pairs


def _outside_brackets(text: str) -> list[str]:
    """Split at blanks, but for those within braces, brackets and quotes."""
    words, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "{[") - (letter in "}]")
        if letter.isspace() and depth <= 0 and not quoted:
            words.append("")
        else:
            words[-1] += letter
    return [word for word in words if word]


def _read(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return value
