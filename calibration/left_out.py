"""What is left out of a recording, for want of its time, of the rig's place then, or of its size: counted once, and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capture.recording import Recorded, Recording


@dataclass(slots=True)
class LeftOut:
    """Filled by what reads a recording; a thing that is read several times counts once."""

    _mistimed: dict[str, set[tuple[int, int]]] = field(default_factory=dict)  # stream -> (last sequence, its own time)
    _unplaced: dict[str, set[int]] = field(default_factory=dict)  # what they are -> their instants
    _poses: dict[str, str] = field(default_factory=dict)  # stream -> the one whose poses were taken instead
    _resized: dict[str, set[int]] = field(default_factory=dict)  # stream -> last sequences

    def add_mistimed(self, recorded: Recorded) -> None:
        """A sample whose stamp no fit of its sensor's clock brings near its packets' arrival."""
        identity = recorded.span.last_sequence, recorded.sample.t_ns
        self._mistimed.setdefault(recorded.span.stream, set()).add(identity)

    def add_unplaced(self, what: str, t_ns: int) -> None:
        """One of ``what`` (``frames``, ``pictures of camera_left``) at an instant at which the rig's motion is unknown."""
        self._unplaced.setdefault(what, set()).add(t_ns)

    def add_poses(self, stream: str, taken: str) -> None:
        """The poses of a stream, since the rig's motion is that of another one, ``taken``."""
        self._poses[stream] = taken

    def add_resized(self, recorded: Recorded) -> None:
        """A picture of another size than its stream's first."""
        self._resized.setdefault(recorded.span.stream, set()).add(recorded.span.last_sequence)

    def take(self, other: LeftOut) -> None:
        """All that another one holds, too."""
        for stream, identities in other._mistimed.items():
            self._mistimed.setdefault(stream, set()).update(identities)
        for what, instants in other._unplaced.items():
            self._unplaced.setdefault(what, set()).update(instants)
        for stream, sequences in other._resized.items():
            self._resized.setdefault(stream, set()).update(sequences)
        self._poses.update(other._poses)

    @property
    def mistimed(self) -> Mapping[str, int]:
        """Stream -> how many of its samples."""
        return {stream: len(identities) for stream, identities in self._mistimed.items()}

    @property
    def unplaced(self) -> Mapping[str, int]:
        """What they are -> how many."""
        return {what: len(instants) for what, instants in self._unplaced.items()}

    def lines(self, recording: Recording) -> list[str]:
        """How many of what, why, and what to do: a line for each reason, none where nothing was left out."""
        lines = []
        if self._mistimed:
            lines.append(
                f"left out: {_counted({f'samples of {stream}': n for stream, n in self.mistimed.items()})}: no fit of the "
                "sensor's clock brings their stamps near their packets' arrival; to see what is wrong with these clocks, run: "
                f"fieldrig verify {recording.id}"
            )
        if self._unplaced:
            instants = set[int]().union(*self._unplaced.values())
            first_s, last_s = ((t_ns - recording.start_ns) * 1e-9 for t_ns in (min(instants), max(instants)))
            lines.append(
                f"left out: {_counted(self.unplaced)}, {first_s:.1f} s to {last_s:.1f} s after the recording's start: no pose "
                "within 0.5 s tells where the rig was then; a pose that is reported from before the first sweep until after the "
                "last one places them all"
            )
        if self._resized:
            resized = {f"pictures of {stream}": len(sequences) for stream, sequences in self._resized.items()}
            lines.append(
                f"left out: {_counted(resized)}: they are of another size than the first one, and a camera is calibrated at one size; "
                "set it in rig.toml, and record the board anew if the first size is not the one that is used"
            )
        if self._poses:
            lines.append(
                f"left out: the poses of {', '.join(sorted(self._poses))}: the rig's motion is that of {next(iter(self._poses.values()))}, "
                "which reports the most, and each may speak of a world of its own"
            )
        return lines


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(numbers.items()))
