"""An alarm as the page shows it: what happened and what to do in a few words, and the recorder's own for whoever asks why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capture.control.seen_alarms import alarm_key
from capture.recorder_state import StreamState


@dataclass(frozen=True, slots=True)
class ShortAlarm:
    """key: the same for as long as it lasts. remedy: may be empty. text: the alarm as the recorder tells it."""

    key: str
    what: str
    remedy: str
    text: str


def in_short(alarms: Sequence[str], streams: Sequence[StreamState]) -> list[ShortAlarm]:
    """Of a sensor that is gone its name says enough: why, and why it cannot be opened anew, is long and changes while one looks."""
    return [_in_short(alarm, streams) for alarm in alarms]


def _in_short(alarm: str, streams: Sequence[StreamState]) -> ShortAlarm:
    said, *more = alarm.split("; ")
    gone = _gone(alarm, streams)
    what = f"{gone} is gone" if gone else said
    return ShortAlarm(what if gone else alarm_key(alarm), what, more[-1] if more else "", alarm)


def _gone(alarm: str, streams: Sequence[StreamState]) -> str:
    """The stream whose failure this is, or the sensor where it is that of all its streams; empty where it is another alarm."""
    gone = [stream.name for stream in streams if stream.failure == alarm]
    return gone[0] if len(gone) == 1 else ", ".join(dict.fromkeys(name.partition("/")[0] for name in gone))
