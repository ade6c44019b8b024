"""What a crew hears: a short tune for every action, and an alarm. Played here by whatever the machine has; the page plays the same tunes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import queue
import shutil
import subprocess
import sys
import threading
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from capture.whole_file import write_whole

Tune = tuple[tuple[int, int], ...]  # (Hz, ms) after one another; 0 Hz is a pause

# Rising: something begins. Falling: it ends. Two that must never be mixed up differ in more than pitch.
TUNES: Mapping[str, Tune] = {
    "start": ((523, 120), (659, 120), (784, 240)),
    "stop": ((784, 120), (659, 120), (523, 240)),
    "pause": ((659, 120), (0, 60), (494, 200)),
    "resume": ((494, 120), (0, 60), (659, 200)),
    "mark": ((1319, 90),),
    "note": ((1319, 60), (0, 40), (1319, 60)),
    "snapshot": ((1047, 60), (1319, 60), (1568, 60), (1319, 60), (1047, 60)),
    "episode_start": ((880, 100), (0, 40), (880, 100), (0, 40), (1175, 200)),
    "success": ((784, 100), (988, 100), (1175, 100), (1568, 300)),
    "failure": ((392, 250), (0, 50), (311, 400)),
    "discard": ((330, 80), (262, 80), (208, 80), (165, 160)),
    "refused": ((220, 120), (0, 60), (220, 120)),
    "alarm": ((988, 150), (740, 150), (988, 150), (740, 150), (988, 150), (740, 150)),
}
ALARM_EVERY_S = 2.0
_RATE_HZ = 44_100
_VOLUME = 0.6
_RAMP_S = 0.006  # a tone that begins or ends at once clicks
_LONGEST_S = 10.0
_PLAYERS = (
    ("pw-play", ()),
    ("paplay", ()),
    ("aplay", ("-q",)),
    ("afplay", ()),
    ("ffplay", ("-nodisp", "-autoexit", "-loglevel", "quiet")),
)


def samples(name: str) -> NDArray[np.int16]:
    """(N,) mono at 44.1 kHz. A name that is not known sounds like a mark."""
    parts = [_tone(hz, ms) for hz, ms in TUNES.get(name, TUNES["mark"])]
    return (np.concatenate(parts) * _VOLUME * np.iinfo(np.int16).max).astype(np.int16)


def wav(name: str) -> bytes:
    """The tune as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE_HZ)
        out.writeframes(samples(name).astype("<i2").tobytes())
    return file.getvalue()


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


def _tone(hz: int, ms: int) -> NDArray[np.float64]:
    """A sine with a little of its octave, which carries better over wind than a sine alone; 0 Hz is silence."""
    t_s = np.arange(round(_RATE_HZ * ms / 1000)) / _RATE_HZ
    if hz == 0:
        return np.zeros(len(t_s))
    ramp = np.clip(np.minimum(t_s, t_s[::-1]) / _RAMP_S, 0.0, 1.0)
    return np.asarray(ramp * (0.75 * np.sin(2 * np.pi * hz * t_s) + 0.25 * np.sin(4 * np.pi * hz * t_s)))
