"""GoPro videos: the picture's bytes and the telemetry's, on the camera's clock, which its GNSS receiver puts to UTC. The MP4 is kept."""

from __future__ import annotations

import datetime as dt
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capture.errors import CaptureError
from capture.importers import Progress, check_is_file
from capture.importers.import_session import ImportSession
from capture.importers.ros_topics import rig_name
from capture.workspace import Workspace
from devices.device import Stream
from devices.logs.gopro import GNSS, IMU, VECTORS, encoding_of
from devices.logs.gpmf import device_name, measured, streams, utc_ns
from devices.rig import Rig, Sensor
from devices.samples import Packet, Stamps

_SUFFIXES = (".mp4", ".360", ".lrv")
_TELEMETRY = "GoPro MET"  # the handler that GoPro gives its telemetry track
_CODECS = {"h264": ("h264", "h264_mp4toannexb"), "hevc": ("h265", "hevc_mp4toannexb")}
_SENSOR = "camera"
_PAYLOAD_NS = 1_000_000_000
# GPSU stands once a payload, and the format does not say of which of its fixes it is: a time that may lie anywhere in a second.
_SIGMA_NS_MIN = _PAYLOAD_NS / math.sqrt(12)
# A camera that rides at 10 m/s is then a metre from where another recording, which knows UTC, has it at that time.
_DOUBTFUL_NS = 100_000_000
_WHAT = {IMU: "imu", GNSS: "gnss", VECTORS: "telemetry"}


class GoProImporter:
    """One MP4 as a GoPro camera wrote it."""

    line = "Import a GoPro video with its telemetry (IMU, GNSS)."
    example = "GX010042.MP4"
    needs_rig = False

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() in _SUFFIXES

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """Streams camera/image, camera/imu, camera/gnss, camera/telemetry, of those that the file has.

        publish_time is the camera's clock. log_time is UTC by its GNSS receiver, or by the camera's date where that saw no satellites.
        """
        check_is_file(path, "video")
        if rig is not None:
            raise CaptureError("a GoPro video says itself what it holds; leave --rig out")
        video = _survey(path)
        rig = Rig(name=rig_name(path), sensors={_SENSOR: Sensor(name=_SENSOR, driver="gopro", own={"file": path.name})})
        session = ImportSession(workspace, rig, video.streams, path, [path], total=video.packets, progress=progress)
        with session:
            session.keep(path)
            index = {stream.encoding: number for number, stream in enumerate(video.streams)}
            for encoding, written_ns, newest_ns, data in _packets(path):
                stamps = Stamps(video.utc_minus_camera_ns + written_ns, newest_ns)
                number = index[encoding]
                session.add(number, Packet(video.streams[number].name, stamps, data), clock_ns=written_ns)
            session.time_known_to(video.utc_sigma_ns)
            for text in video.notes:
                session.note(text)
            for text in video.doubts:
                session.doubt(text)
        return session.folder


@dataclass(slots=True)
class _Video:
    """What a file holds. utc_minus_camera_ns: what the camera's clock lacks to UTC; utc_sigma_ns: of it, one standard deviation, 0 where it
    is no UTC. broken: telemetry payloads that are no GPMF.
    """

    streams: list[Stream]
    packets: int = 0
    utc_minus_camera_ns: int = 0
    utc_sigma_ns: float = 0.0
    broken: int = 0
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def _survey(path: Path) -> _Video:
    """Reads the telemetry through once: what there is, and which UTC the camera's clock is. Raises CaptureError when it is no GoPro's."""
    with _opened(path) as (container, pictures, telemetry):
        codec = pictures.codec_context.name if pictures is not None else ""
        firmware = container.metadata.get("firmware", "")
        created = container.metadata.get("creation_time", "")
        video = _Video([Stream(f"{_SENSOR}/image", _CODECS[codec][0])] if codec in _CODECS else [])
        if codec and codec not in _CODECS:
            video.doubts.append(f"{_SENSOR}/image: video of codec {codec} is not taken over; it is in the kept file")
        video.packets = pictures.frames if pictures is not None and video.streams else 0
        found, model, clocks = dict[str, int](), "", list[_Reading]()
        for packet in container.demux(telemetry):
            payload = bytes(packet)
            try:
                model = model or device_name(payload)
                parts = _parts(payload)
                clocks += _utc_minus_camera(payload)
            except ValueError:
                video.broken += bool(payload)
                continue
            for encoding in parts:
                found[encoding] = found.get(encoding, 0) + 1
        kept = [f"{each.type} {each.metadata.get('handler_name', '').strip()}" for each in container.streams]
    described = json.dumps({"model": model, "firmware": firmware})
    video.streams += [Stream(f"{_SENSOR}/{_WHAT[each]}", each, described) for each in _WHAT if each in found]
    video.packets += sum(found.values())
    video.notes.append(
        f"camera {model or 'of an unknown model'}, firmware {firmware or 'unknown'}; the file's tracks: {', '.join(kept)}"
    )
    if video.broken:
        video.doubts.append(f"{video.broken} telemetry payloads are no GPMF; they are in the kept file")
    _set_clock(video, clocks, created)
    return video


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a GNSS block says that the camera's clock lacks to UTC. of_a_fix: whether the time is that of one of its fixes."""

    utc_minus_camera_ns: int
    of_a_fix: bool


def _set_clock(video: _Video, readings: list[_Reading], created: str) -> None:
    if readings:
        clocks = [each.utc_minus_camera_ns for each in readings]
        middle_ns = int(statistics.median(clocks))
        scatter_ns = math.sqrt(statistics.fmean((each - middle_ns) ** 2 for each in clocks))
        told_twice = len(readings) > 1 and all(each.of_a_fix for each in readings)
        video.utc_minus_camera_ns = middle_ns
        video.utc_sigma_ns = scatter_ns if told_twice else max(scatter_ns, _SIGMA_NS_MIN)
        spread_ms = (max(clocks) - min(clocks)) / 1e6
        video.notes.append(
            f"UTC by the camera's GNSS receiver: the middle of {len(clocks)} readings that lie {spread_ms:.0f} ms apart"
        )
        if video.utc_sigma_ns > _DOUBTFUL_NS:
            video.doubts.append(
                f"UTC by the camera's GNSS receiver is known to {video.utc_sigma_ns / 1e6:.0f} ms only (doubtful above "
                f"{_DOUBTFUL_NS / 1e6:.0f} ms); all streams are off by the same, so against each other they are not"
            )
        return
    try:
        moment = dt.datetime.fromisoformat(created)
    except ValueError:
        moment = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    video.utc_minus_camera_ns = int(moment.timestamp()) * 1_000_000_000
    video.doubts.append(
        f"its times are no UTC: the camera's GNSS receiver saw no satellites; they count from {moment:%Y-%m-%d %H:%M:%S}, "
        "by the camera's own date and time zone"
    )


def _utc_minus_camera(payload: bytes) -> list[_Reading]:
    """What each GNSS block of the payload says; none where it has no fix."""
    readings = []
    for block in streams(payload):
        found = measured(block)
        if found is None or found.key != "GPS5" or found.stamp_us is None or (found.number("GPSF") or 0) < 2:
            if found is not None and found.key == "GPS9" and found.values is not None and found.stamp_us is not None:
                days, seconds, locked = found.values[0, 5], found.values[0, 6], found.values[0, 8]
                if locked >= 2:
                    t_ns = (10_957 + round(days)) * 86_400_000_000_000 + round(seconds * 1e9)  # days since 2000-01-01
                    readings.append(_Reading(t_ns - found.stamp_us * 1000, of_a_fix=True))
            continue
        t_ns = utc_ns(found.text("GPSU"))
        if t_ns is not None:
            readings.append(_Reading(t_ns - found.stamp_us * 1000, of_a_fix=False))
    return readings


def _parts(payload: bytes) -> dict[str, bytes]:
    """Encoding -> the STRM blocks that belong to it, as they stand. Raises ValueError."""
    parts: dict[str, bytes] = {}
    for block in streams(payload):
        found = measured(block)
        if found is not None:
            encoding = encoding_of(found.key)
            parts[encoding] = parts.get(encoding, b"") + block.whole
    return parts


def _packets(path: Path) -> Iterator[tuple[str, int, int, bytes]]:
    """(encoding, when it was written, newest instant in it, both on the camera's clock in ns, bytes), in the file's order.

    A picture that others rest on is written, and has to be decoded, before those that are shown earlier.
    """
    from av.bitstream import BitStreamFilterContext

    with _opened(path) as (container, pictures, telemetry):
        tracks = [telemetry]
        encoding, annex_b = "", None
        if pictures is not None and pictures.codec_context.name in _CODECS:
            encoding, name = _CODECS[pictures.codec_context.name]
            annex_b = BitStreamFilterContext(name, pictures)
            tracks.append(pictures)
        for packet in _whole(path, container, tracks):
            if packet.stream_index == telemetry.index:
                if packet.pts is None:
                    continue
                end_ns = max(0, _ns(packet.pts + (packet.duration or 0), telemetry))
                try:
                    yield from ((each, end_ns, end_ns, data) for each, data in _parts(bytes(packet)).items())
                except ValueError:
                    continue  # counted by _survey()
            elif annex_b is not None and packet.pts is not None:
                written_ns = _ns(packet.pts if packet.dts is None else packet.dts, pictures)
                shown_ns = max(0, _ns(packet.pts, pictures))
                yield from ((encoding, written_ns, shown_ns, bytes(whole)) for whole in annex_b.filter(packet))


def _whole(path: Path, container: Any, tracks: Sequence[Any]) -> Iterator[Any]:
    """The tracks' packets. Raises CaptureError when they are fewer than the file's index says, or end in the midst of one."""
    read = dict.fromkeys((track.index for track in tracks), 0)
    for packet in container.demux(tracks):
        if packet.is_corrupt:
            raise _cut_short(path)
        read[packet.stream_index] += bool(packet.size)
        yield packet
    if any(read[track.index] < track.frames for track in tracks):
        raise _cut_short(path)


def _cut_short(path: Path) -> CaptureError:
    return CaptureError(f"{path} ends before its index does; copy it from the camera again, nothing was imported")


def _ns(ticks: int, track: Any) -> int:
    base = track.time_base
    return int(ticks) * int(base.numerator) * 1_000_000_000 // int(base.denominator)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """The container, its video track or None, its telemetry track. Raises CaptureError where it is no GoPro's."""
    import av

    try:
        with av.open(str(path)) as container:
            telemetry = [each for each in container.streams if _TELEMETRY in each.metadata.get("handler_name", "")]
            if not telemetry:
                raise CaptureError(
                    f"{path} holds no telemetry of a GoPro (no track '{_TELEMETRY}'); give the file as the camera wrote it"
                )
            yield container, next(iter(container.streams.video), None), telemetry[0]
    except av.FFmpegError as error:
        raise CaptureError(
            f"cannot read {path}: {error.strerror or error}; copy it from the camera again, nothing was imported"
        ) from None


IMPORTER = GoProImporter()
