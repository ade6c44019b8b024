"""What of a recording has arrived at its destination and was verified there: kept at the destination, so that any run can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from capture import checksums, recording_info
from capture.checksums import parse_sums
from capture.errors import CaptureError
from capture.offload.destination import Destination

NAME = "offload.partial.json"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that was read back whole. sha256 differs from source_sha256 when its chunks were compressed on the way."""

    source_sha256: str
    sha256: str
    size_bytes: int

    @property
    def is_rechunked(self) -> bool:
        return self.sha256 != self.source_sha256


@dataclass(slots=True)
class Journal:
    """File name -> how it arrived."""

    destination: Destination
    arrived: dict[str, Arrived] = field(default_factory=dict)

    def note(self, name: str, arrived: Arrived) -> None:
        self.arrived[name] = arrived
        self._write()

    def reopen(self) -> None:
        """Before files are changed in a folder that is complete: what SHA256SUMS says of them goes into the journal, and it goes."""
        if self.destination.size_of(checksums.NAME) is not None:
            self._write()
            self.destination.remove(checksums.NAME)

    def close(self) -> None:
        self.destination.remove(NAME)

    def _write(self) -> None:
        entries = {name: asdict(each) for name, each in self.arrived.items()}
        self.destination.put(NAME, json.dumps(entries, indent=1).encode())


def load_journal(destination: Destination) -> Journal:
    """What an interrupted run has left, or a finished one. Entries that make no sense are none: their files are brought again."""
    journal = Journal(destination)
    finished = _read(destination, checksums.NAME)
    if finished is not None:
        journal.arrived.update(_from_sums(destination, finished))
    unfinished = _read(destination, NAME)
    if unfinished is not None:
        journal.arrived.update(_from_json(unfinished))
    return journal


def _read(destination: Destination, name: str) -> str | None:
    if destination.size_of(name) is None:
        return None
    with destination.read(name) as file:
        return file.read().decode(errors="replace")


def _from_json(text: str) -> Mapping[str, Arrived]:
    try:
        return {name: Arrived(**entry) for name, entry in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _from_sums(destination: Destination, text: str) -> Mapping[str, Arrived]:
    try:
        sums = parse_sums(text, destination.where)
        originals = json.loads(_read(destination, recording_info.NAME) or "{}").get("rechunked_from", {})
    except (CaptureError, ValueError, AttributeError):
        return {}
    sizes = {name: destination.size_of(name) for name in sums}
    return {
        name: Arrived(originals.get(name, sha256), sha256, size)
        for name, sha256 in sums.items()
        if (size := sizes[name]) is not None
    }
