"""What a camera says that it streams: a session description (SDP, RFC 4566) of H.264 (RFC 6184) or H.265 (RFC 7798)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from devices.cameras.access_unit import Codec
from devices.rtsp.error import RtspError


@dataclass(frozen=True, slots=True)
class Media:
    """The first H.264 or H.265 stream of a session description (RFC 4566)."""

    codec: Codec
    payload_type: int
    ticks_hz: int
    parameter_sets: tuple[bytes, ...]
    control: str
    rate_hz: float | None = None  # where it is stated


def described_media(description: str) -> Media:
    """Raises RtspError, naming what there is, when the description holds no H.264 and no H.265."""
    sections = re.split(r"^m=", description, flags=re.MULTILINE)[1:]
    seen = []
    for section in sections:
        for kind, name, ticks_hz in re.findall(r"^a=rtpmap:(\d{1,3}) +([\w.-]+)/(\d{1,9})\b", section, re.MULTILINE):
            seen.append(name)
            codec = {"H264": Codec.H264, "H265": Codec.H265, "HEVC": Codec.H265}.get(name.upper())
            if codec is None or not int(ticks_hz):
                continue
            control = re.search(r"^a=control:(.+?)\s*$", section, re.MULTILINE)
            parameters = re.search(rf"^a=fmtp:{kind} +(.+?)\s*$", section, re.MULTILINE)
            sets = _parameter_sets(codec, parameters[1] if parameters else "")
            rate = re.search(r"^a=(?:x-)?framerate: *(\d{1,4}(?:\.\d{1,6})?)\s*$", section, re.MULTILINE)
            rate_hz = float(rate[1]) if rate and float(rate[1]) else None
            return Media(codec, int(kind), int(ticks_hz), sets, control[1] if control else "", rate_hz)
    raise RtspError(f"it sends {', '.join(seen) or 'nothing that it describes'}, and fieldrig takes H264 or H265")


def _parameter_sets(codec: Codec, parameters: str) -> tuple[bytes, ...]:
    """``sprop-parameter-sets`` (RFC 6184 8.1), ``sprop-vps``, ``-sps``, ``-pps`` (RFC 7798 7.1); what is no base64 is passed over."""
    pairs = (part.strip().partition("=") for part in parameters.split(";"))
    said = {key.lower(): value for key, _, value in pairs}
    names = ("sprop-parameter-sets",) if codec is Codec.H264 else ("sprop-vps", "sprop-sps", "sprop-pps")
    sets = []
    for text in (word for name in names for word in said.get(name, "").split(",")):
        try:
            sets.append(base64.b64decode(text, validate=True))
        except ValueError:
            continue
    return tuple(nal for nal in sets if nal and codec.is_parameter_set(nal))
