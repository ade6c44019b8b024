"""Other writers of MCAP files, fed the same packets as fieldrig's: uncompressed, chunks of 1 MB, with CRC where they can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from capture.bag.packing import Packing
from capture.bag.rosbag import topic_of
from devices.device import Stream
from devices.samples import Packet

CHUNK_BYTES = 1 << 20


class PeerWriter(Protocol):
    """Packs a packet as fieldrig does, then writes it."""

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None: ...

    def add(self, stream: int, sequence: int, packet: Packet) -> None: ...

    def finish(self) -> None: ...


def _packed(packing: Packing, sequence: int, packet: Packet) -> bytes:
    stamps = packet.stamps
    return packing.pack(stamps.host_ns, stamps.device_ns or 0, sequence, packet.data)


class McapWriter:
    """The `mcap` package's writer, as its documentation has it: a file opened for writing, a CRC for each chunk."""

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None:
        from mcap.writer import CompressionType, Writer

        self._packings = [Packing(stream) for stream in streams]
        self._file = path.open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE, enable_crcs=True)
        self._writer.start(profile="ros2", library="benchmark")
        self._channels = []
        for stream, packing in zip(streams, self._packings, strict=True):
            schema = self._writer.register_schema(packing.type.name, "ros2msg", packing.type.definition.encode())
            self._channels.append(self._writer.register_channel(topic_of(stream.name), "cdr", schema))

    def add(self, stream: int, sequence: int, packet: Packet) -> None:
        message = _packed(self._packings[stream], sequence, packet)
        stamps = packet.stamps
        self._writer.add_message(self._channels[stream], stamps.host_ns, message, stamps.own_ns, sequence)

    def finish(self) -> None:
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.close()


class RosbagsWriter:
    """rosbags' ROS 2 writer with its MCAP storage, which writes no CRC; its file is ``path`` without the suffix, a folder."""

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._packings = [Packing(stream) for stream in streams]
        self._writer = Writer(path.with_suffix(""), version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = [
            self._writer.add_connection(
                topic_of(stream.name), packing.type.name, msgdef=packing.type.definition, rihs01=packing.type.type_hash
            )
            for stream, packing in zip(streams, self._packings, strict=True)
        ]

    def add(self, stream: int, sequence: int, packet: Packet) -> None:
        message = _packed(self._packings[stream], sequence, packet)
        self._writer.write(self._connections[stream], packet.stamps.host_ns, message)

    def finish(self) -> None:
        self._writer.close()


class FoxgloveWriter:
    """foxglove-sdk's writer, in Rust."""

    def __init__(self, path: Path, streams: Sequence[Stream]) -> None:
        import foxglove
        from foxglove.mcap import MCAPWriteOptions

        self._packings = [Packing(stream) for stream in streams]
        self._context = context = foxglove.Context()  # its channels close with it
        options = MCAPWriteOptions(compression=None, chunk_size=CHUNK_BYTES, calculate_data_section_crc=False)
        self._writer = foxglove.open_mcap(path, context=context, writer_options=options)
        self._channels = [
            foxglove.Channel(
                topic_of(stream.name),
                message_encoding="cdr",
                schema=foxglove.Schema(
                    name=packing.type.name, encoding="ros2msg", data=packing.type.definition.encode()
                ),
                context=context,
            )
            for stream, packing in zip(streams, self._packings, strict=True)
        ]

    def add(self, stream: int, sequence: int, packet: Packet) -> None:
        self._channels[stream].log(_packed(self._packings[stream], sequence, packet), log_time=packet.stamps.host_ns)

    def finish(self) -> None:
        self._writer.close()


PEER_WRITERS: Mapping[str, type[PeerWriter]] = {
    "mcap": McapWriter,
    "rosbags": RosbagsWriter,
    "foxglove": FoxgloveWriter,
}
