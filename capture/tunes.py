"""What a crew hears: a short tune for every action, and an alarm."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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


def _tone(hz: int, ms: int) -> NDArray[np.float64]:
    """A sine with a little of its octave, which carries better over wind than a sine alone; 0 Hz is silence."""
    t_s = np.arange(round(_RATE_HZ * ms / 1000)) / _RATE_HZ
    if hz == 0:
        return np.zeros(len(t_s))
    ramp = np.clip(np.minimum(t_s, t_s[::-1]) / _RAMP_S, 0.0, 1.0)
    return np.asarray(ramp * (0.75 * np.sin(2 * np.pi * hz * t_s) + 0.25 * np.sin(4 * np.pi * hz * t_s)))
