"""A recorder's file cut at random bytes: what repair makes of it, beside what the readers of others find."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from benchmarks.table import Row
from capture.bag.salvage import finish_file
from capture.bag.writer import BagWriter
from devices.device import Stream
from devices.samples import Packet, Stamps

_STREAMS = [Stream("a/data", "raw"), Stream("b/data", "raw")]
_MESSAGES, _A_CHUNK, _BYTES = 2000, 20, 1500


def truncations(times: int, place: str | None) -> list[Row]:
    chance = random.Random(2)
    all_chunks, beyond, by_mcap, opened_by_rosbags = 0, 0, 0, 0
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        data = _unfinished(folder / "whole.mcap")
        for _ in range(times):
            cut = data[: chance.randrange(len(data))]
            path = folder / "cut.mcap"
            path.write_bytes(cut)
            opened_by_rosbags += _rosbags_opens(path)
            finish_file(path)
            if not _rosbags_opens(path):
                raise AssertionError(f"rosbags does not open what was repaired at byte {len(cut)}")
            found, due = _numbers(path), _in_whole_chunks(cut)
            all_chunks += found[: len(due)] == due and found == list(range(len(found)))
            beyond += len(found) - len(due)
            by_mcap += _read_by_mcap(cut) == len(due)
            for left in folder.glob("cut.mcap.*"):
                left.unlink()
        sqlite_messages, sqlite_opened = _rosbags_killed(folder, StoragePlugin.SQLITE3)
        mcap_messages, mcap_opened = _rosbags_killed(folder, StoragePlugin.MCAP)
    return [
        Row("truncation: all whole chunks recovered", f"{all_chunks} of {times}", "all", all_chunks == times),
        Row("truncation: messages rescued from torn chunks, mean", f"{beyond / times:.1f} of at most {_A_CHUNK - 1}"),
        Row("the same, mcap's StreamReader: whole chunks read (peer)", f"{by_mcap} of {times}"),
        Row("the same, rosbags opens the cut file (peer)", f"{opened_by_rosbags} of {times}"),
        Row(
            "rosbags' sqlite3 writer, killed: messages left (peer)",
            f"{sqlite_messages} of {_MESSAGES}, {sqlite_opened}",
        ),
        Row("rosbags' mcap writer, killed: messages left (peer)", f"{mcap_messages} of {_MESSAGES}, {mcap_opened}"),
    ]


def _unfinished(path: Path) -> bytes:
    """A recorder's file without its end: chunks of 20 messages."""
    bag = BagWriter(path, _STREAMS)
    bag.add_health(1, [])
    bag.close_chunk()
    for number in range(_MESSAGES):
        bag._closed_at = time.monotonic()  # noqa: SLF001 (the chunk's age shall not close it)
        packet = Packet(
            _STREAMS[number % 2].name, Stamps(10**18 + number, 5 + number), struct.pack("<I", number) * (_BYTES // 4)
        )
        bag.add(number % 2, number // 2, packet, 0)
        if number % _A_CHUNK == _A_CHUNK - 1:
            bag.close_chunk()
    data = path.read_bytes()
    bag.finish()
    return data


def _numbers(path: Path) -> list[int]:
    """Of the messages that mcap's own reader finds, every CRC checked."""
    with path.open("rb") as file:
        messages = make_reader(file, validate_crcs=True).iter_messages()
        return [message.publish_time - 5 for _, channel, message in messages if channel.topic != "/fieldrig/health"]


def _in_whole_chunks(data: bytes) -> list[int]:
    """The messages of chunks that are there to their last byte, found by walking the bytes with nothing of fieldrig's."""
    numbers, at = [], 8
    while at + 9 <= len(data):
        opcode, length = struct.unpack_from("<BQ", data, at)
        if at + 9 + length > len(data):
            break
        if opcode == 0x06:
            numbers += list(_messages_of(data[at + 9 + 40 : at + 9 + length]))
        at += 9 + length
    return numbers


def _messages_of(chunk: bytes) -> Iterator[int]:
    at = 0
    while at < len(chunk):
        opcode, length = struct.unpack_from("<BQ", chunk, at)
        if opcode == 0x05:
            *_, published = struct.unpack_from("<HIQQ", chunk, at + 9)
            if published != 1:  # the health message's
                yield published - 5
        at += 9 + length


def _read_by_mcap(data: bytes) -> int:
    """As `mcap recover` does: read on until it fails."""
    count = 0
    try:
        for record in StreamReader(BytesIO(data), record_size_limit=None).records:
            count += isinstance(record, Message) and record.publish_time != 1
    except Exception:  # noqa: S110 (it always does, at the cut)
        pass
    return count


def _rosbags_opens(path: Path) -> bool:
    from rosbags.rosbag2.storage_mcap import McapReader

    try:
        reader = McapReader(path)
        reader.open()
        reader.close()
    except Exception:
        return False
    return True


def _rosbags_killed(folder: Path, plugin: StoragePlugin) -> tuple[int, str]:
    """(messages in what it had written by then, whether its own reader opens that): a copy is made before it is closed."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    bag, copy = folder / f"rosbags-{plugin.name}", folder / f"killed-{plugin.name}"
    with Writer(bag, version=9, storage_plugin=plugin) as writer:
        connection = writer.add_connection("/a", "std_msgs/msg/UInt8MultiArray", typestore=store)
        for number in range(_MESSAGES):
            writer.write(connection, number, bytes(_BYTES))
        shutil.copytree(bag, copy)
    try:
        with Reader(copy):
            opened = "opened"
    except Exception:
        opened = "refused"
    return _left_in(copy, plugin), opened


def _left_in(folder: Path, plugin: StoragePlugin) -> int:
    if plugin is StoragePlugin.MCAP:
        return sum(_read_by_mcap(path.read_bytes()) for path in folder.glob("*.mcap"))
    try:
        with sqlite3.connect(next(folder.glob("*.db3"))) as database:
            (count,) = database.execute("SELECT count(*) FROM messages").fetchone()
            return int(count)
    except sqlite3.DatabaseError:
        return 0
