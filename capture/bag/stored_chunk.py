"""A chunk record as it lies in an MCAP file, compressed or not."""

from __future__ import annotations

import struct

from mcap.records import Chunk
from mcap.stream_reader import get_chunk_data_stream

from capture.bag.mcap_records import CHUNK_HEAD


def chunk_data(content: bytes) -> tuple[str, bytes]:
    """(name of the compression, bytes as stored) of a chunk record's content. Raises struct.error or ValueError when it is cut short."""
    name_bytes = CHUNK_HEAD.unpack_from(content)[4]
    at = CHUNK_HEAD.size + name_bytes
    (stored,) = struct.unpack_from("<Q", content, at)
    if at + 8 + stored != len(content):
        raise ValueError(f"a chunk of {len(content)} bytes says that {stored} are its data")
    return content[CHUNK_HEAD.size : at].decode(), content[at + 8 :]


def unpacked(compression: str, data: bytes, size_bytes: int) -> bytes:
    """A chunk's records. Raises ValueError when they cannot be had."""
    if not compression:
        return data
    try:
        stream, length = get_chunk_data_stream(Chunk(compression, data, 0, 0, 0, size_bytes))
    except Exception as error:  # each compression's library has errors of its own
        raise ValueError(f"its {compression} data is damaged: {error}") from None
    return stream.read(length)
