"""Tunes played on this machine, by whatever it has; the page plays the same ones itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from capture.tunes import wav
from capture.whole_file import write_whole

_LONGEST_S = 10.0
_PLAYERS = (
    ("pw-play", ()),
    ("paplay", ()),
    ("aplay", ("-q",)),
    ("afplay", ()),
    ("ffplay", ("-nodisp", "-autoexit", "-loglevel", "quiet")),
)


class Player(Protocol):
    def __call__(self, path: Path) -> None:
        """Plays a WAV file to its end. Raises OSError or subprocess.SubprocessError when it cannot."""
        ...


class Speaker:
    """Plays tunes one after another on a thread of its own. ``play`` never waits and never raises: recording goes on without a sound.

    Where no player works, the terminal's bell rings instead. Tunes that come faster than they can be played are left out, the oldest first.
    """

    def __init__(self, players: Sequence[Player] | None = None) -> None:
        self._players = list(installed_players() if players is None else players)
        self._waiting: queue.Queue[str] = queue.Queue(maxsize=3)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-sounds", daemon=True)
        self._thread.start()

    def play(self, name: str) -> None:
        if not self._closed.is_set():
            self._put(name)

    def close(self) -> None:
        """What is being played is not waited for."""
        self._closed.set()
        self._put("")

    def _put(self, name: str) -> None:
        while True:
            try:
                self._waiting.put_nowait(name)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()

    def _run(self) -> None:
        while not self._closed.is_set():
            name = self._waiting.get()
            if name and not self._closed.is_set():
                self._sound(name)

    def _sound(self, name: str) -> None:
        for player in self._players:
            try:
                player(sound_file(name))
                return
            except (OSError, subprocess.SubprocessError):
                continue  # no sound card, no sound server: the next may have one
        with contextlib.suppress(OSError, ValueError):  # the terminal, too, may have gone
            if sys.stderr is not None and sys.stderr.isatty():
                sys.stderr.write("\a")
                sys.stderr.flush()


def installed_players() -> list[Player]:
    """The players that this machine has, the likeliest first."""
    found: list[Player] = [
        _Program((path, *arguments)) for name, arguments in _PLAYERS if (path := shutil.which(name)) is not None
    ]
    if sys.platform == "win32":
        found.append(_winsound)
    return found


class _Program:
    """A program that plays the file named last."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def __call__(self, path: Path) -> None:
        subprocess.run(
            [*self._command, str(path)],
            check=True,
            timeout=_LONGEST_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def sound_file(name: str) -> Path:
    """The tune as a file in the user's cache: written once, so that a recorder which is killed leaves nothing lying about.

    Raises OSError when it cannot be written.
    """
    content = wav(name)
    path = _cache() / "sounds" / f"{hashlib.sha256(content).hexdigest()[:16]}.wav"
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path


def _cache() -> Path:
    """This user's, of fieldrig. Raises OSError where no user has a home."""
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError(str(error)) from None
    usual = {"win32": home / "AppData" / "Local", "darwin": home / "Library" / "Caches"}.get(
        sys.platform, home / ".cache"
    )
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "fieldrig"


def _winsound(path: Path) -> None:
    if sys.platform == "win32":
        import winsound

        winsound.PlaySound(str(path), winsound.SND_FILENAME)
