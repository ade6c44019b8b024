"""A recorder that says what a test has it say, behind the real control server: for states that real sensors do not fall into at will."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from capture.recorder_state import EpisodeState, Outcome, RecorderState, Sound, StatedMark
from devices.host_clock import HOST_CLOCK, since_boot_ns
from devices.samples import Packet, Stamps


class StatedRecorder:
    """Keeps to what Steered asks for. asked: the actions that came, with what they said."""

    def __init__(self, state: RecorderState, packets: Mapping[str, Sequence[bytes]] | None = None) -> None:
        self.said = state
        self.packets = dict(packets or {})
        self.asked: list[tuple[str, Any]] = []
        self.previews: dict[str, int] = {}
        self._started_s = time.monotonic() - state.elapsed_s

    def state(self) -> RecorderState:
        elapsed_s = time.monotonic() - self._started_s if self.said.mode in ("recording", "paused") else 0.0
        return replace(self.said, elapsed_s=elapsed_s, now_ns=HOST_CLOCK.now_ns(), boot_ns=since_boot_ns())

    def start(self, details: Mapping[str, Any]) -> None:
        self._started_s = time.monotonic()
        self._done("start", dict(details), mode="recording")

    def stop(self) -> Path:
        self._done("stop", None, mode="standby", last_folder="recordings/done")
        return Path("recordings/done")

    def pause(self) -> None:
        self._done("pause", None, mode="paused")

    def resume(self) -> None:
        self._done("resume", None, mode="recording")

    def mark(self, kind: str, text: str, boot_ns: int | None = None) -> None:
        marks = (*self.said.marks, StatedMark(HOST_CLOCK.now_ns(), kind, text))
        self._done("mark", (kind, text), marks=marks)

    def episode_start(self, task: str, boot_ns: int | None = None) -> None:
        self._done("episode_start", task, episode=replace(self.said.episode, open=True, task=task))

    def episode_stop(self, outcome: Outcome, boot_ns: int | None = None) -> None:
        done = self.said.episode.done
        ended = EpisodeState(done={**done, outcome: done.get(outcome, 0) + 1})
        self._done(outcome, None, episode=ended)

    def snapshot(self) -> Path:
        self._done("snapshot", None)
        return Path("recordings/snapshot")

    def describe(self, details: Mapping[str, Any]) -> None:
        changes = {key: tuple(value) if isinstance(value, list) else value for key, value in details.items()}
        self.asked.append(("describe", dict(details)))
        self.said = replace(self.said, **changes)

    def preview(self, stream: str) -> Sequence[Packet]:
        self.previews[stream] = self.previews.get(stream, 0) + 1
        return [packet(stream, data) for data in self.packets.get(stream, ())]

    def _done(self, name: str, with_: Any, **changes: Any) -> None:
        self.asked.append((name, with_))
        self.said = replace(self.said, sound=Sound(self.said.sound.count + 1, name), **changes)


def packet(stream: str, data: bytes) -> Packet:
    return Packet(stream, Stamps(HOST_CLOCK.now_ns()), data)
