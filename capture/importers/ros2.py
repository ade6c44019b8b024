"""ROS 2 bags: every message's bytes, times, topic and schema as they are."""

from __future__ import annotations

from pathlib import Path

from capture.errors import CaptureError
from capture.importers import Progress
from capture.importers.import_session import ImportSession
from capture.importers.ros2_bag import METADATA, is_ros2, open_ros2
from capture.importers.ros_topics import device_clock, looked_into, notes_on, rig_of, streams_of
from capture.recording_info import NAME as RECORDING
from capture.workspace import Workspace
from devices.rig import Rig
from devices.samples import Packet, Stamps


class Ros2Importer:
    """A bag's folder, or one MCAP or SQLite file of it."""

    line = "Import a ROS 2 bag (MCAP or SQLite, any compression)."
    example = "rosbag2_2026_01_31"
    needs_rig = False

    def recognises(self, path: Path) -> bool:
        return is_ros2(path) and not (path / RECORDING).is_file()

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """A stream a topic, in messages equal to the bag's; log_time and publish_time are the bag's, sequence counts anew.

        A rig is not needed: the bag names its topics.
        """
        _check(path, rig)
        with open_ros2(path) as bag:
            topics = looked_into(bag.topics, bag.first)
            streams = streams_of(topics)
            clocks = [device_clock(topic) for topic in topics]
            index = {(topic.name, topic.type_name): number for number, topic in enumerate(topics)}
            session = ImportSession(
                workspace, rig_of(path, streams), streams, path, bag.files, total=bag.total, progress=progress
            )
            with session:
                for text in notes_on(topics, streams):
                    session.note(text)
                for name, count in bag.left_out.items():
                    session.doubt(f"{name}: {count} messages are no ROS 2 messages and were left out")
                held = bag.total + sum(bag.left_out.values())
                if bag.stated not in (None, held):
                    session.doubt(f"{METADATA} states {bag.stated} messages, the bag's files hold {held}")
                for message in bag.messages():
                    number = index[message.topic.name, message.topic.type_name]
                    published_ns = None if message.publish_ns == message.log_ns else message.publish_ns
                    packet = Packet(streams[number].name, Stamps(message.log_ns, published_ns), message.data)
                    session.add(number, packet, clock_ns=clocks[number](message.data))
                for text in bag.lacking:
                    session.doubt(text)
                for name, content in bag.attachments():
                    session.keep_bytes(content, name)
        return session.folder


def _check(path: Path, rig: Rig | None) -> None:
    if not path.exists():
        raise CaptureError(f"no ROS 2 bag at {path}: there is no such file or folder")
    if (path / RECORDING).is_file():
        raise CaptureError(f"{path} is a recording of fieldrig already; copy the folder into recordings/")
    if not is_ros2(path):
        raise CaptureError(f"{path} is no ROS 2 bag: give its folder, or a file that ends with .mcap or .db3")
    if rig is not None:
        raise CaptureError("a ROS 2 bag names its own topics; leave --rig out")


IMPORTER = Ros2Importer()
