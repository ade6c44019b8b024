"""What a running recorder says of itself, several times a second: for the page, the terminal and whoever else watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter

from devices.host_clock import HOST_CLOCK, since_boot_ns

Mode = Literal["standby", "recording", "paused", "closing", "snapshot"]
Outcome = Literal["success", "failure", "discard"]
OUTCOMES: tuple[Outcome, ...] = ("success", "failure", "discard")


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream. lost: before and in the queue; rejected: packets that are not as the sensor sends them; silent_s: since its newest packet, None before the first.

    jitter_ms: how far arrivals scatter about their steady distance (RFC 3550's estimate). clock_offset_ms: this machine's clock less the
    sensor's, None where it has none; clock_sigma_ms: its standard deviation. failure: why nothing comes, in one line.
    is_steady: whether it speaks all the time, so that its silence means something.
    """

    name: str
    encoding: str
    description: str = ""
    received: int = 0
    rate_hz: float = 0.0
    bytes_s: float = 0.0
    lost: int = 0
    rejected: int = 0
    jitter_ms: float = 0.0
    clock_source: str = "none"
    clock_offset_ms: float | None = None
    clock_sigma_ms: float | None = None
    silent_s: float | None = None
    connected: bool = True
    failure: str = ""
    is_steady: bool = True


@dataclass(frozen=True, slots=True)
class EpisodeState:
    """The episode under way, if one is, and how many have ended how in this recording."""

    open: bool = False
    task: str = ""
    since_s: float = 0.0
    done: dict[str, int] = field(default_factory=dict)

    @property
    def cut_in_words(self) -> str:
        """What is said behind "paused" where a pause cuts into an episode."""
        return f", in the middle of the episode '{self.task}': what is left out is missing in it" if self.open else ""


@dataclass(frozen=True, slots=True)
class StatedMark:
    """A mark as it was taken down."""

    t_ns: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Sound:
    """The newest event that deserves a sound, and how many there have been: whoever plays them sees what it has missed."""

    count: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class RecorderState:
    """A recorder at one instant. alarms: what is wrong now, one line each with what to do; unseen_alarms: those that nobody has acknowledged.

    kept_s: in snapshot mode, how far back the memory reaches; kept_asked_s: how far it ought to once that much has passed.
    free_bytes: None while the disk does not say. recording_id: of the recording under way; last_folder: of the one finished last.
    now_ns: that instant, host time. boot_ns: since_boot_ns() when it was asked for: of two states that is the newer which was asked for later.
    """

    mode: Mode
    rig: str
    streams: tuple[StreamState, ...] = ()
    recording_id: str = ""
    folder: str = ""
    last_folder: str = ""
    elapsed_s: float = 0.0
    operator: str = ""
    site: str = ""
    task: str = ""
    order: str = ""
    order_lines: tuple[str, ...] = ()
    consent_ids: tuple[str, ...] = ()
    queue_bytes: int = 0
    queue_bound_bytes: int = 0
    queue_age_ms: float = 0.0
    file_bytes: int = 0
    segment: int = 0
    free_bytes: int | None = None
    disk_left_s: float | None = None
    synced_s_ago: float | None = None
    kept_s: float = 0.0
    kept_asked_s: float = 0.0
    episode: EpisodeState = EpisodeState()
    marks: tuple[StatedMark, ...] = ()
    alarms: tuple[str, ...] = ()
    unseen_alarms: tuple[str, ...] = ()
    sound: Sound = Sound()
    now_ns: int = field(default_factory=HOST_CLOCK.now_ns)
    boot_ns: int = field(default_factory=since_boot_ns)


_ADAPTER = TypeAdapter(RecorderState)


def state_to_json(state: RecorderState) -> bytes:
    """One line, without its end."""
    return _ADAPTER.dump_json(state)


def state_from_json(line: bytes) -> RecorderState:
    """Raises pydantic's ValidationError for anything else."""
    return _ADAPTER.validate_json(line)
