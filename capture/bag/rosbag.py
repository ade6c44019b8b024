"""metadata.yaml: what makes a recording's folder a ROS 2 bag.

Version 8 of rosbag2's metadata: it names the type hashes, and readers from Humble on understand it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from capture.bag.mcap_file import FileSummary
from capture.bag.message_types import CLOCK_SAMPLE, DIAGNOSTIC_ARRAY, MessageType, message_type
from capture.whole_file import write_whole
from devices.device import Stream

NAME = "metadata.yaml"
HEALTH_TOPIC = "/fieldrig/health"
CLOCK_TOPIC = "/fieldrig/clock"
_OWN_TOPICS = {HEALTH_TOPIC: DIAGNOSTIC_ARRAY, CLOCK_TOPIC: CLOCK_SAMPLE}


def topic_of(stream: str) -> str:
    return "/" + stream


def message_counts(streams: Iterable[str], files: Iterable[FileSummary]) -> dict[str, int]:
    """Stream -> its messages in all of a recording's files."""
    held = list(files)
    return {name: sum(file.counts.get(topic_of(name), 0) for file in held) for name in streams}


def unnamed_topics(streams: Iterable[str], files: Iterable[Mapping[str, int]]) -> list[str]:
    """A line for each topic of which there are messages, but that is of none of these streams. files: topic -> messages, of each."""
    named = {*map(topic_of, streams), *_OWN_TOPICS}
    counts: dict[str, int] = {}
    for held in files:
        for topic in held.keys() - named:
            counts[topic] = counts.get(topic, 0) + held[topic]
    return [
        f"{topic}: {count} messages of a stream that recording.json does not name"
        for topic, count in sorted(counts.items())
        if count
    ]


def write_metadata(folder: Path, streams: Sequence[Stream], files: Mapping[str, FileSummary]) -> None:
    """``files``: what each MCAP file of the folder holds, by name, in the order of time."""
    topics = {topic_of(stream.name): message_type(stream) for stream in streams} | _OWN_TOPICS
    full = [file for file in files.values() if file.messages]
    start_ns = min((file.start_ns for file in full), default=0)
    end_ns = max((file.end_ns for file in full), default=0)
    lines = [
        "rosbag2_bagfile_information:",
        "  version: 8",
        "  storage_identifier: mcap",
        f"  duration: {{nanoseconds: {end_ns - start_ns}}}",
        f"  starting_time: {{nanoseconds_since_epoch: {start_ns}}}",
        f"  message_count: {sum(file.messages for file in files.values())}",
        "  topics_with_message_count:",
    ]
    for topic, kind in topics.items():
        lines += _topic(topic, kind, sum(file.counts.get(topic, 0) for file in files.values()))
    lines += ['  compression_format: ""', '  compression_mode: ""', "  relative_file_paths:"]
    lines += [f"    - {json.dumps(name)}" for name in files]
    lines += ["  files:"]
    for name, file in files.items():
        lines += [
            f"    - path: {json.dumps(name)}",
            f"      starting_time: {{nanoseconds_since_epoch: {file.start_ns}}}",
            f"      duration: {{nanoseconds: {file.end_ns - file.start_ns}}}",
            f"      message_count: {file.messages}",
        ]
    lines += ["  custom_data: ~", "  ros_distro: fieldrig"]
    write_whole(folder / NAME, "\n".join(lines) + "\n")


def _topic(topic: str, kind: MessageType, count: int) -> list[str]:
    return [
        "    - topic_metadata:",
        f"        name: {json.dumps(topic)}",
        f"        type: {kind.name}",
        "        serialization_format: cdr",
        f"        offered_qos_profiles: {json.dumps(kind.qos)}",
        f"        type_description_hash: {json.dumps(kind.type_hash)}",
        f"      message_count: {count}",
    ]
