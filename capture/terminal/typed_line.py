"""Words that are typed at a prompt, while everything else goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from capture.terminal.keyboard import ERASE, ERASE_ALL


@dataclass(slots=True)
class TypedLine:
    """entered: does something with the words, and says what it has done."""

    prompt: str
    entered: Callable[[str], str]
    text: str = ""

    def take(self, key: str) -> None:
        if key == ERASE:
            self.text = self.text[:-1]
        elif key == ERASE_ALL:
            self.text = ""
        elif key.isprintable():
            self.text += key
