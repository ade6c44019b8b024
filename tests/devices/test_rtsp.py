"""Against Debian's gst-rtsp-server, whose pictures carry their number and whose NAL units are hashed as they leave the encoder."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import statistics
import time
from collections.abc import Callable

import pytest

from devices.cameras.access_unit import Codec, nal_units
from devices.device import ClockSource
from devices.errors import DeviceError
from devices.rtsp.driver import DRIVER, RtspConfig, RtspSource
from devices.samples import Image, Packet
from devices.stated_rate import stated_rate_hz
from tests.devices.rtsp_servers import Server, number_of, peer_python, serve

__all__ = ["peer_python", "serve"]


def opened(url: str, transport: str = "tcp") -> RtspSource:
    (source,) = DRIVER.open("camera", RtspConfig(url=url, transport=transport))
    return source


def read(source: RtspSource, enough: Callable[[list[Packet]], bool], timeout_s: float = 15.0) -> list[Packet]:
    packets: list[Packet] = []
    until = time.monotonic() + timeout_s
    while not enough(packets):
        assert time.monotonic() < until, f"{len(packets)} pictures came"
        packets += source.read(0.1)
    return packets


def until_gone(source: RtspSource) -> list[Packet]:
    packets: list[Packet] = []
    said = ""
    while not said:
        try:
            packets += source.read(0.1)
        except DeviceError as error:
            said = str(error)
    assert re.fullmatch(r"camera/image: the camera is gone: .* still up\?", said)
    return packets


def decoded(source: RtspSource, packets: list[Packet]) -> list[Image]:
    decoder = DRIVER.decoder(source.stream)
    return [*[image for packet in packets for image in decoder.decode(packet)], *decoder.flush()]


def hashes(source: RtspSource, packet: Packet) -> list[str]:
    """Of the picture's own NAL units; delimiters and parameter sets may be sent anew or left out by whoever streams."""
    codec = Codec(source.stream.encoding)
    return [hashlib.sha256(nal).hexdigest() for nal in nal_units(packet.data) if codec.is_picture(nal)]


@pytest.mark.parametrize(
    ("codec", "transport"), [("h264", "tcp"), ("h264", "udp"), ("h265", "tcp"), ("h265", "udp")]
)  # fmt: skip
def test_every_picture_is_recorded_as_sent_and_stamped_with_the_cameras_time(
    codec: str, transport: str, serve: Callable[..., Server]
) -> None:
    server = serve(codec)
    source = opened(server.url, transport)
    assert source.stream.encoding == codec
    assert stated_rate_hz(source.stream) == 25
    assert source.clock_source is ClockSource.NONE
    packets = read(source, lambda found: len(found) >= 30 and sum(p.stamps.device_ns is not None for p in found) >= 15)
    assert source.lost == 0
    assert source.clock_source is ClockSource.RTCP
    source.close()

    sent = server.pictures()
    is_picture = Codec(codec).is_picture
    for number, packet in enumerate(packets):  # none is left out: what was read begins with the first
        slices = [sha256 for head, sha256 in sent[number]["nals"] if is_picture(bytes.fromhex(head))]
        assert hashes(source, packet) == slices != [], f"picture {number} is not what the server sent"
    images = decoded(source, packets)
    assert [number_of(image) for image in images] == list(range(len(packets)))
    assert [image.t_ns for image in images] == [packet.stamps.own_ns for packet in packets]
    stamped = [(n, p.stamps.device_ns) for n, p in enumerate(packets) if p.stamps.device_ns is not None]
    errors_ms = [abs(device_ns - sent[number]["taken_ns"]) / 1e6 for number, device_ns in stamped]
    assert statistics.median(errors_ms) < 20
    assert all(packet.stamps.host_ns > sent[number]["taken_ns"] for number, packet in enumerate(packets))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_packets_lost_on_the_way_are_counted_one_by_one_and_no_smeared_picture_is_given(
    codec: str, serve: Callable[..., Server]
) -> None:
    server = serve(codec, "--drop-every", "14", "--frames", "75")  # the last ones come through
    source = opened(server.url, "udp")
    packets = until_gone(source)
    assert source.lost == server.dropped() > 0
    source.close()
    decoder = DRIVER.decoder(source.stream)
    images = [image for packet in packets for image in decoder.decode(packet)]
    images += decoder.flush()
    numbers = [number_of(image) for image in images]
    assert numbers == sorted(set(numbers))
    assert numbers[:14] == list(range(14))
    assert len(images) + sum(decoder.rejected.values()) == len(packets)
    assert 20 < len(numbers) < len(packets) < 75


def test_a_killed_camera_is_gone_at_once_and_comes_back_when_it_is_opened_again(serve: Callable[..., Server]) -> None:
    server = serve()
    source = opened(server.url)
    read(source, lambda found: len(found) > 5)
    server.kill()
    started = time.monotonic()
    until_gone(source)
    assert time.monotonic() - started < 5
    source.close()
    with pytest.raises(DeviceError, match=r"camera/image: no camera at rtsp://.*refused; check the address"):
        opened(server.url)
    again = opened(serve("h264", port=server.port).url)
    packets = read(again, lambda found: len(found) > 5)
    again.close()
    assert [number_of(image) for image in decoded(again, packets)] == list(range(len(packets)))


def test_a_camera_that_falls_silent_is_gone(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.rtsp.driver.SILENCE_S", 0.5)
    server = serve()
    source = opened(server.url)
    read(source, lambda found: len(found) > 5)
    os.kill(server.process.pid, signal.SIGSTOP)
    until_gone(source)
    source.close()


@pytest.mark.parametrize("kind", [[], ["--basic"]])
def test_a_password_is_asked_for_and_a_wrong_one_is_told(kind: list[str], serve: Callable[..., Server]) -> None:
    server = serve("h264", "--user", "crew", "--password", "a b:c", *kind)
    source = opened(server.url.replace("//", "//crew:a%20b%3Ac@"))
    read(source, lambda found: len(found) > 2)
    source.close()
    for wrong in ("//crew:guess@", "//"):
        with pytest.raises(
            DeviceError, match=r"rtsp://127.0.0.1:\d+/camera does not stream: it answers '401 .*password"
        ):
            opened(server.url.replace("//", wrong))


def test_an_address_at_which_nothing_is_streamed_is_told(serve: Callable[..., Server]) -> None:
    server = serve()
    with pytest.raises(DeviceError, match=r"/nothing does not stream: it answers '404 Not Found' to DESCRIBE"):
        opened(server.url.replace("/camera", "/nothing"))
