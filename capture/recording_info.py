"""recording.json: everything about a recording that is not in its messages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from capture.clock.filter import ClockFit
from capture.errors import CaptureError
from capture.whole_file import write_whole
from devices.device import Stream
from devices.rig import Rig

NAME = "recording.json"
NOTE = "note"  # the kind of a mark whose words stand in notes, too
_LIST = "; to see the recordings that there are, run: fieldrig list"
_ADVICE = "; put it back from a copy: nothing else says all that it said"
Verdict = Literal["good", "doubtful", "bad"]

_STRICT = ConfigDict(extra="forbid", frozen=True)
Nanoseconds = Annotated[int, Field(ge=0, lt=1 << 63)]  # UTC, up to the year 2262


class Losses(BaseModel):
    """Packets of one stream that are known to be missing, by where they went.

    before_read: lost before fieldrig read them (the kernel's drops, gaps that the source knows of). queue: dropped because the disk
    could not keep up. not_written: refused by the disk.
    """

    model_config = _STRICT
    before_read: int = 0
    queue: int = 0
    not_written: int = 0

    @property
    def total(self) -> int:
        return self.before_read + self.queue + self.not_written


class StreamInfo(BaseModel):
    """A stream as its driver described it."""

    model_config = _STRICT
    encoding: str
    description: str = ""
    sensor: str = ""  # whose it is, where its name does not begin with that


class SegmentInfo(BaseModel):
    """One finished file. counts: topic -> messages. deleted: it was verified, and then given up for newer ones, or somebody had
    taken it away before its turn came.
    """

    model_config = _STRICT
    name: str = Field(pattern=r"^[A-Za-z0-9._-]+\.mcap$")  # of a file in the recording's own folder
    sha256: str
    size_bytes: int
    start_ns: Nanoseconds
    end_ns: Nanoseconds
    counts: dict[str, int]
    deleted: bool = False


class Interruption(BaseModel):
    """A sensor was gone, or said nothing, in [from_ns, to_ns); to_ns None: it did not come back. stream: the one of its streams, where others spoke.

    times: how often it was gone without a word in between; why is the last one's. changed: which keys of its streams' descriptions
    differ since, in words. described: those streams -> what they are described by since.
    """

    model_config = _STRICT
    sensor: str
    stream: str = ""
    from_ns: Nanoseconds
    to_ns: Nanoseconds | None
    why: str
    times: int = 1
    changed: str = ""
    described: dict[str, str] = Field(default_factory=dict)


class Pause(BaseModel):
    """Nothing was written of what arrived in [from_ns, to_ns); to_ns None: it lasts."""

    model_config = _STRICT
    from_ns: Nanoseconds
    to_ns: Nanoseconds | None

    def ended(self, at_ns: int) -> Pause:
        """Itself, where it has ended already."""
        return self if self.to_ns is not None else Pause(from_ns=self.from_ns, to_ns=max(at_ns, self.from_ns))


class EpisodeInfo(BaseModel):
    """One try at a task, as the crew marked it. outcome: discard ones are no part of any dataset; empty: it was never ended."""

    model_config = _STRICT
    task: str
    start_ns: Nanoseconds
    stop_ns: Nanoseconds | None
    outcome: Literal["success", "failure", "discard", ""] = ""


class MarkInfo(BaseModel):
    """An instant that the crew took down, or a note."""

    model_config = _STRICT
    t_ns: Nanoseconds
    kind: str
    text: str = ""


class RecordingInfo(BaseModel):
    """recording.json, field by field; docs/FORMATS.md explains each."""

    model_config = _STRICT
    format: Literal["fieldrig.recording/2"] = "fieldrig.recording/2"
    id: str
    state: Literal["recording", "finished", "repaired"] = "recording"
    rig: Rig
    operator: str = ""
    site: str = ""
    task: str = ""
    order: str = ""
    consent_ids: tuple[str, ...] = ()
    software: dict[str, str] = Field(default_factory=dict)
    started_ns: Nanoseconds
    ended_ns: Nanoseconds | None = None
    streams: dict[str, StreamInfo]
    counts: dict[str, int] = Field(default_factory=dict)
    losses: dict[str, Losses] = Field(default_factory=dict)
    clocks: dict[str, tuple[ClockFit, ...]] = Field(default_factory=dict)
    segments: tuple[SegmentInfo, ...] = ()
    rechunked_from: dict[str, str] = Field(
        default_factory=dict
    )  # file -> its SHA-256 before its chunks were compressed
    interruptions: tuple[Interruption, ...] = ()
    pauses: tuple[Pause, ...] = ()
    episodes: tuple[EpisodeInfo, ...] = ()
    marks: tuple[MarkInfo, ...] = ()
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_older(cls, table: Any) -> Any:
        """Format 1 had one fit a stream."""
        if not isinstance(table, dict) or table.get("format") != "fieldrig.recording/1":
            return table
        clocks = table.get("clocks", {})
        return {
            **table,
            "format": "fieldrig.recording/2",
            "clocks": {name: [fit] if isinstance(fit, dict) else fit for name, fit in clocks.items()},
        }

    @property
    def crew_notes(self) -> tuple[str, ...]:
        return tuple(mark.text for mark in self.marks if mark.kind == NOTE)

    def save(self, folder: Path) -> None:
        write_whole(folder / NAME, self.model_dump_json(indent=2) + "\n")

    def stream_list(self) -> list[Stream]:
        return [Stream(name, info.encoding, info.description, info.sensor) for name, info in self.streams.items()]


def load_info(folder: Path) -> RecordingInfo:
    """Raises CaptureError when the folder is no recording."""
    path = folder / NAME
    try:
        return RecordingInfo.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaptureError(
            f"no recording at {folder}: it holds no {NAME}{_ADVICE if any(folder.glob('*.mcap')) else _LIST}"
        ) from None
    except NotADirectoryError:
        advice = f"; give its folder: {folder.parent}" if (folder.parent / NAME).is_file() else _LIST
        raise CaptureError(f"no recording at {folder}: it is a file{advice}") from None
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}; see whether you may") from None
    except UnicodeDecodeError:
        raise CaptureError(f"{path} is no text{_ADVICE}") from None
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("format",):
            raise CaptureError(
                f"{path}: format: this fieldrig does not know {first['input']!r}; use the one that recorded it"
            ) from None
        where = ".".join(map(str, first["loc"]))
        raise CaptureError(f"{path}: {f'{where}: ' if where else ''}{first['msg']}{_ADVICE}") from None


def software() -> dict[str, str]:
    """The versions of what takes part in making a recording."""
    versions = {"python": platform.python_version(), "system": platform.platform()}
    for package in ("fieldrig", "mcap"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
