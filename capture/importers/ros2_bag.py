"""A ROS 2 bag as its files hold it: MCAP or SQLite, compressed by file, message or chunk, or not at all; read as a stream.

metadata.yaml and files that are decompressed as a whole are rosbags' work; ros2_storage.py reads the files themselves.
"""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from capture.errors import CaptureError
from capture.importers.ros2_storage import BagMessage, McapStorage, SqliteStorage, Storage
from capture.importers.ros_topics import RosTopic
from devices.errors import FieldrigError

METADATA = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3")
_BESIDE = re.compile(r"(\.zstd|-shm|-wal)$")


@dataclass(slots=True)
class Ros2Bag:
    """topics: each (name, type) once. left_out: topic and encoding -> messages that are no ROS 2 messages. total: messages of the topics.

    stated: messages by the word of metadata.yaml, None without one. read: the names of the files that were opened, once decompressed.
    lacking: where the files state other counts than were read, a line each; it grows while the bag is read.
    """

    path: Path
    storages: list[Storage]
    stated: int | None = None
    read: frozenset[str] = frozenset()
    lacking: list[str] = field(default_factory=list)
    topics: list[RosTopic] = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        found = {(topic.name, topic.type_name): topic for each in reversed(self.storages) for topic in each.topics}
        self.topics = sorted(found.values(), key=lambda topic: (topic.name, topic.type_name))
        self.total = sum(storage.total for storage in self.storages)

    @property
    def left_out(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for storage in self.storages:
            for name, count in storage.left_out.items():
                counts[name] = counts.get(name, 0) + count
        return counts

    @property
    def files(self) -> list[Path]:
        """Those that the messages lie in, with what SQLite puts beside its own."""
        return [file for file in bag_files(self.path) if _BESIDE.sub("", file.name) in self.read]

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        """What else lies in the files: a name that stays in its folder, and the content."""
        for storage in self.storages:
            with readable(self.path):
                yield from storage.attachments()

    def messages(self) -> Iterator[BagMessage]:
        """File by file, in each by log time. Raises CaptureError where the bag cannot be read."""
        for storage in self.storages:
            read: Counter[str] = Counter()
            with readable(self.path):
                for message in storage.messages():
                    read[message.topic.name] += 1
                    yield message
            self.lacking += _lacking(storage, read)

    def first(self, topic: RosTopic) -> bytes | None:
        for storage in self.storages:
            with readable(self.path):
                for message in storage.messages(topic):
                    return message.data
        return None


def _lacking(storage: Storage, read: Counter[str]) -> list[str]:
    """What the file's own counts say against what was read of it: damage that no checksum covers shows here alone."""
    lines = [
        f"{topic}: {storage.name} states {count} messages, {read[topic]} could be read"
        for topic, count in storage.stated.items()
        if count != read[topic]
    ]
    held = read.total() + sum(storage.left_out.values())
    if not lines and held != storage.stated_total:
        lines = [f"{storage.name} states {storage.stated_total} messages in all, {held} could be read"]
    return lines


@contextmanager
def open_ros2(path: Path) -> Iterator[Ros2Bag]:
    """Raises CaptureError when the path is no ROS 2 bag, or a damaged one."""
    from rosbags.rosbag2 import Reader

    with ExitStack() as stack:
        with readable(path):
            _check_moved_in(path)
            whole = (path / METADATA).is_file()
            storages: list[Storage] = []
            stated: int | None = None
            read: set[str] = set()
            for each in [path] if whole else [file for file in bag_files(path) if is_ros2(file)]:
                file = _unpacked(each, stack) if each.suffix == ".zstd" else each
                if file.suffix == ".mcap":
                    storages.append(McapStorage(stack.enter_context(file.open("rb")), file.name, compressed=False))
                    read.add(file.name)
                    continue
                _check_name(file)
                reader = stack.enter_context(Reader(file))
                stated = reader.message_count if whole else None
                parts: list[Any] = getattr(reader.storage, "storages", [reader.storage])
                read |= {Path(part.path).name for part in parts}
                storages += [_storage(part, reader.compression_mode == "message", stack) for part in parts]
        yield Ros2Bag(path, storages, stated, frozenset(read))


def _unpacked(file: Path, stack: ExitStack) -> Path:
    """A file of a bag that was compressed as a whole and has no metadata.yaml to say so: its recorder was killed."""
    import zstandard

    whole = Path(stack.enter_context(TemporaryDirectory())) / file.stem
    with file.open("rb") as packed, whole.open("wb") as plain:
        zstandard.ZstdDecompressor().copy_stream(packed, plain)
    return whole


def _check_name(path: Path) -> None:
    """SQLite is given the path as a URI, in which these letters mean something else: another file, or none, would be read."""
    files = [path] if path.is_file() else list(path.glob("*.db3"))
    odd = sorted({letter for file in files for letter in str(file) if letter in "#?%" and file.suffix == ".db3"})
    if odd:
        raise CaptureError(f"{path} has {' and '.join(odd)} in its name, by which SQLite cannot open it; rename it")


def _check_moved_in(path: Path) -> None:
    """SQLite's journal of a recorder that was killed holds messages that rosbags would not see."""
    for journal in [path.with_name(f"{path.name}-wal")] if path.is_file() else sorted(path.glob("*.db3-wal")):
        if journal.is_file() and journal.stat().st_size:
            file = journal.with_name(journal.name.removesuffix("-wal"))
            raise CaptureError(
                f"{journal} holds messages that its recorder has not moved into {file.name}; "
                f"run: sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)', then import again; nothing was imported"
            )


def bag_files(path: Path) -> list[Path]:
    """The files that a bag consists of, a folder's by the number in their names."""
    if path.is_file():
        return [path]
    files = [each for each in path.iterdir() if each.is_file()]
    return sorted(files, key=lambda file: (_number(file), file.name))


def is_ros2(path: Path) -> bool:
    if path.is_file():
        return _is_storage(path)
    return path.is_dir() and any(map(_is_storage, path.iterdir()))


def _is_storage(file: Path) -> bool:
    return file.name.removesuffix(".zstd").endswith(_SUFFIXES)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What readers raise at damaged places becomes a CaptureError."""
    try:
        yield
    except FieldrigError:
        raise
    except OSError as error:  # a file that may not be read; no room where a compressed one is unpacked
        room = "; TMPDIR names where bags are unpacked" if error.errno == errno.ENOSPC else ""
        raise CaptureError(f"cannot read the bag {path}: {error}; nothing was imported{room}") from None
    except Exception as error:  # rosbags, mcap, apsw and zstd each raise errors of their own
        bare = "its parts contradict each other" if isinstance(error, AssertionError) else type(error).__name__
        said = (str(error) or bare).replace("\n", " ")
        mend = "`rosbag reindex`" if path.suffix == ".bag" else "`ros2 bag reindex` or `mcap recover`"
        raise CaptureError(f"cannot read the bag {path}: {said}; {mend} may mend it, nothing was imported") from None


def _number(file: Path) -> int:
    tail = file.name.partition(".")[0].rpartition("_")[2]
    return int(tail) if tail.isdecimal() else -1


def _storage(part: Any, compressed: bool, stack: ExitStack) -> Storage:
    path = Path(part.path)
    if path.suffix == ".mcap":
        return McapStorage(stack.enter_context(path.open("rb")), path.name, compressed)
    return SqliteStorage(part, compressed)
