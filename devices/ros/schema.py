"""What a ROS 2 message type is made of, as a bag tells it and recording.json keeps it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from devices.errors import DeviceError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

_ENCODING = re.compile(r"(?P<type>[A-Za-z]\w*/msg/[A-Za-z]\w*)(\((?P<holds>[\w.]+)\))?")
_HEADER_FIRST = re.compile(r"\s*(?:(?:#[^\n]*|\w+ +\w+ *=[^\n]*)?\n\s*)*(?:std_msgs/(?:msg/)?)?Header[ \t]+\w+")
_RULE = "=" * 80 + "\n"


@dataclass(frozen=True, slots=True)
class RosSchema:
    """The description of a stream whose packets are ROS 2 messages as they are.

    definition: the message definition with all that it uses; "" where the bag does not tell. format: ``ros2msg``, ``ros2idl`` or "".
    type_hash: RIHS01 (REP 2016). qos: the offered QoS profiles as YAML, as rosbag2 keeps them. inside: what a decoder needs beside the
    message, e.g. the metadata of the Ouster whose packets it carries.
    """

    definition: str = ""
    format: str = ""
    type_hash: str = ""
    qos: str = ""
    inside: str = ""

    @staticmethod
    def parse(description: str) -> RosSchema:
        """Raises DeviceError when this is no description that dump() made."""
        try:
            return RosSchema(**json.loads(description or "{}"))
        except (TypeError, ValueError):
            raise DeviceError(f"no schema of a ROS message: {description[:60]!r}") from None

    def dump(self) -> str:
        return json.dumps({key: value for key, value in asdict(self).items() if value})

    @property
    def begins_with_header(self) -> bool:
        """Whether the message's first field is a std_msgs/Header, so that it tells its own time."""
        return self.format == "ros2msg" and _HEADER_FIRST.match(self.definition) is not None

    def typestore(self, type_name: str) -> Typestore:
        """A store that (de)serialises messages of this type. Raises DeviceError when the definition cannot be read."""
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.EMPTY)
        try:
            store.register(self._types(type_name))
            store.get_msgdef(type_name)
        except Exception as error:  # rosbags' parser raises what it comes across
            raise DeviceError(f"the definition of {type_name} cannot be read: {error}") from None
        return store

    def _types(self, type_name: str) -> Any:
        from rosbags.typesys import get_types_from_idl, get_types_from_msg

        if self.format != "ros2idl":
            return get_types_from_msg(self.definition, type_name)
        types: dict[str, Any] = {}
        parts = self.definition.split(_RULE)
        for part in parts[1:] if len(parts) > 1 else parts:
            types.update(get_types_from_idl(part.partition("\n")[2] if part.startswith("IDL: ") else part))
        return types


def message_type_of(encoding: str) -> str | None:
    """The ROS type that packets of this encoding are messages of; None when they are something else."""
    match = _ENCODING.fullmatch(encoding)
    return match["type"] if match else None


def content_of(encoding: str) -> str:
    """What such messages hold where their type alone does not say it: ``sensor_msgs/msg/Image(depth)`` -> ``depth``."""
    match = _ENCODING.fullmatch(encoding)
    return (match["holds"] if match else None) or ""
