"""One recording on its way: which of its files are still to be brought, each sent, read back and compared, and what is there then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

from capture import checksums, recording_info
from capture.checksums import sums_text
from capture.errors import CaptureError
from capture.offload.destination import Destination
from capture.offload.journal import Arrived, load_journal
from capture.offload.progress import Meter, OffloadProgress
from capture.offload.rechunk import can_be_rechunked, compared_with, rechunk
from capture.offload.source import Source

_BLOCK_BYTES = 1 << 20
_TRIES = 2
Form = Literal["", "compressed", "uncompressed"]


@dataclass(frozen=True, slots=True)
class Offloaded:
    """files: of the recording, all of them; sent: of these, in this run. stored_bytes: what it takes up at the destination.

    kept: in which form files are there that an earlier run had brought in another than was asked for now.
    """

    where: str
    files: int
    sent: int
    sent_bytes: int
    stored_bytes: int
    deleted: bool
    kept: Form = ""


class Move:
    """Its methods raise CaptureError when anything at all is not as it should be."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        *,
        zstd: bool,
        replace: bool,
        delete: bool,
        progress: Callable[[OffloadProgress], None] | None,
    ) -> None:
        self._source = source
        self._destination = destination
        self._replace = replace
        self._journal = load_journal(destination)
        self._files = [name for name in source.sums if name != recording_info.NAME]
        asked = {name for name in self._files if zstd and _is_bag(name) and can_be_rechunked(source.folder / name)}
        present = [name for name in self._files if self._is_settled(name, asked if replace else None)]
        there = {name for name in present if self._journal.arrived[name].is_rechunked}
        self._rechunked = (asked - set(present)) | there
        self._kept: Form = "compressed" if there - asked else "uncompressed" if (asked & set(present)) - there else ""
        self._sent: dict[str, int] = {}  # file -> its bytes here
        self._put_bytes = 0
        missing = [name for name in self._files if name not in present]
        self._to_check = present if delete else []
        self._missing = missing
        self._meter = Meter(
            2 * sum(source.sizes[name] for name in missing) + sum(source.sizes[name] for name in self._to_check),
            progress,
        )

    def bring_files(self) -> None:
        """Everything but recording.json and SHA256SUMS, which say that the rest is there."""
        if not self._replace:
            self._check_original()
        self._check_room()
        if any(self._destination.size_of(name) is not None for name in self._missing):
            self._journal.reopen()
        for name in self._missing:
            arrived = self._found_there(name) or self._bring(name)
            self._journal.note(name, arrived)
        for name in self._to_check:
            if self._check(name, self._destination.read(name)) != self._journal.arrived[name]:
                raise CaptureError(
                    f"{self._destination.where}: {name} is no longer what arrived; nothing was deleted. Remove it there, "
                    "then run the same command again"
                )

    def finish(self) -> None:
        """recording.json, which names what was rechunked, and SHA256SUMS over all that is there."""
        sums = {name: self._journal.arrived[name].sha256 for name in self._files}
        info = self._info()
        sums[recording_info.NAME] = hashlib.sha256(info).hexdigest()
        lines = sums_text(sums).encode()
        if not self._lies_there(checksums.NAME, lines):
            self._journal.reopen()
        self._put(recording_info.NAME, info)
        self._put(checksums.NAME, lines)
        self._journal.close()

    def is_complete(self) -> bool:
        sizes = {name: self._destination.size_of(name) for name in (*self._files, checksums.NAME)}
        return None not in sizes.values() and all(
            sizes[name] == self._journal.arrived[name].size_bytes for name in self._files
        )

    def result(self, *, deleted: bool) -> Offloaded:
        return Offloaded(
            where=self._destination.where,
            files=len(self._files) + 2,  # recording.json and SHA256SUMS, too
            sent=len(self._sent),
            sent_bytes=sum(self._sent.values()),
            stored_bytes=self._put_bytes + sum(self._journal.arrived[name].size_bytes for name in self._files),
            deleted=deleted,
            kept=self._kept,
        )

    def _is_settled(self, name: str, rechunked: set[str] | None) -> bool:
        """Whether an earlier run has brought this very file; as one of these that are to be rechunked or not, unless any form will do."""
        arrived = self._journal.arrived.get(name)
        return (
            arrived is not None
            and arrived.source_sha256 == self._source.sums[name]
            and (rechunked is None or arrived.is_rechunked == (name in rechunked))
            and self._destination.size_of(name) == arrived.size_bytes
        )

    def _check_original(self) -> None:
        """A recording that was compressed on an earlier move must not take the place of the one that it was made from."""
        made_from = self._source.info.rechunked_from
        there = {name: self._journal.arrived[name].sha256 for name in self._missing if name in self._journal.arrived}
        if any(made_from.get(name) == sha256 for name, sha256 in there.items()):
            raise CaptureError(
                f"{self._destination.where} holds this recording already, uncompressed as it was recorded, and was left so; "
                "--replace replaces it by this compressed one"
            )

    def _check_room(self) -> None:
        """Before an hour of copying, not behind it. What compression will save is not known."""
        free = self._destination.free_bytes()
        needed = sum(
            self._source.sizes[name] - self._destination.unfinished_bytes(name)
            for name in self._missing
            if name not in self._rechunked and self._destination.size_of(name) is None
        )
        if free is not None and needed > free:
            raise CaptureError(
                f"{self._destination.where}: {needed / 1e6:.0f} MB are to be copied, {free / 1e6:.0f} MB are free; "
                "make room there, or give another disk"
            )

    def _found_there(self, name: str) -> Arrived | None:
        """A file that arrived whole but was not noted before an interruption."""
        size = self._destination.size_of(name)
        if size is None or (name not in self._rechunked and size != self._source.sizes[name]):
            return None
        arrived = self._check(name, self._destination.read(name))
        if arrived is None or arrived.is_rechunked != (name in self._rechunked):
            self._meter.more(self._source.sizes[name])
            return None
        self._meter.less(self._source.sizes[name])
        return arrived

    def _bring(self, name: str) -> Arrived:
        for _ in range(_TRIES):
            self._send(name)
            arrived = self._check(name, self._destination.read_unfinished(name))
            if arrived is not None:
                self._destination.commit(name)
                return arrived
            self._destination.discard(name)
            self._meter.more(2 * self._source.sizes[name])
        raise CaptureError(
            f"{self._destination.where}: {name} came back with other bytes than were sent, {_TRIES} times; its disk, cable or "
            "server corrupts data. Nothing was deleted: offload to another one"
        )

    def _send(self, name: str) -> None:
        self._sent[name] = self._source.sizes[name]
        count = self._meter.counting(name, "sending")
        if name in self._rechunked:
            self._destination.write(name, lambda append: rechunk(self._source.folder / name, append, count.up_to), 0)
        else:
            start = self._destination.unfinished_bytes(name)
            start = start if start <= self._source.sizes[name] else 0
            fill = partial(self._source.send, name, start=start, progress=count.up_to)
            self._destination.write(name, fill, start)
        count.up_to(self._source.sizes[name])

    def _check(self, name: str, opened: AbstractContextManager[BinaryIO]) -> Arrived | None:
        """A file as it lies at the destination, read back; None when it is not the one that was sent."""
        count = self._meter.counting(name, "reading back")
        stated = self._source.sums[name]
        with opened as there:
            if name in self._rechunked:
                copy = compared_with(self._source.folder / name, stated, there, count.up_to)
                return None if copy is None else Arrived(stated, copy.sha256, copy.size_bytes)
            sha256, size = hashlib.sha256(), 0
            while block := there.read(_BLOCK_BYTES):
                sha256.update(block)
                size += len(block)
                count.up_to(size)
        return Arrived(stated, stated, size) if sha256.hexdigest() == stated else None

    def _info(self) -> bytes:
        arrived = {name: each for name in self._rechunked if (each := self._journal.arrived[name]).is_rechunked}
        if not arrived:
            return (self._source.folder / recording_info.NAME).read_bytes()
        info = self._source.info
        segments = tuple(
            segment.model_copy(
                update={"sha256": arrived[segment.name].sha256, "size_bytes": arrived[segment.name].size_bytes}
            )
            if segment.name in arrived
            else segment
            for segment in info.segments
        )
        originals = info.rechunked_from | {
            name: info.rechunked_from.get(name, each.source_sha256) for name, each in arrived.items()
        }
        changed = info.model_copy(update={"segments": segments, "rechunked_from": dict(sorted(originals.items()))})
        return (changed.model_dump_json(indent=2) + "\n").encode()

    def _put(self, name: str, content: bytes) -> None:
        """A small file that is read back at once; nothing is done where it lies there already."""
        for _ in range(_TRIES):
            if self._lies_there(name, content):
                self._put_bytes += len(content)
                return
            self._destination.put(name, content)
            self._sent[name] = len(content)
        raise CaptureError(
            f"{self._destination.where}: {name} does not come back as it was written; nothing was deleted"
        )

    def _lies_there(self, name: str, content: bytes) -> bool:
        if self._destination.size_of(name) != len(content):
            return False
        with self._destination.read(name) as file:
            return file.read() == content


def _is_bag(name: str) -> bool:
    return name.endswith(".mcap")
