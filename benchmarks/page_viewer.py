"""Somebody who has the crew's page open: its states are read as they come, every stream's picture is asked for again and again."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

_LOOKS_EVERY_S = 1.0  # about what the page itself asks for
_PATIENCE_S = 20.0


class PageViewer:
    """states, pictures: how many of each have come."""

    def __init__(self, port: int) -> None:
        self.states = 0
        self.pictures = 0
        self._address = f"http://127.0.0.1:{port}"
        self._state: dict[str, Any] | None = None
        self._over = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def looking(cls, port: int) -> Iterator[PageViewer]:
        viewer = cls(port)
        threads = [threading.Thread(target=work, daemon=True) for work in (viewer._read_states, viewer._look)]
        for thread in threads:
            thread.start()
        try:
            yield viewer
        finally:
            viewer._over.set()
            for thread in threads:
                thread.join(_PATIENCE_S)

    def _read_states(self) -> None:
        while not self._over.is_set():
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self._address}/events", timeout=_PATIENCE_S) as page,
            ):
                while not self._over.is_set() and (line := page.readline()):
                    if line.startswith(b"data: {"):
                        self._state = json.loads(line[6:]).get("state")
                        self.states += 1
            time.sleep(0.2)

    def _look(self) -> None:
        while not self._over.wait(_LOOKS_EVERY_S):
            for stream in (self._state or {}).get("streams", ()):
                with contextlib.suppress(OSError):
                    self.pictures += self._is_shown(stream["name"])

    def _is_shown(self, stream: str) -> bool:
        address = f"{self._address}/preview/{quote(stream)}"
        try:
            with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
                return bool(answer.read())
        except urllib.error.HTTPError:  # not of a kind that can be shown
            return False
