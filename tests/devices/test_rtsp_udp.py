"""RTSP over UDP: what the kernel knows of each datagram, and whose it is. The camera is a script."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest

from devices.device import Attentive
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.rtsp.driver import DRIVER, RtspConfig, RtspSource
from devices.samples import Packet
from devices.udp.socket import Buffered
from tests.devices.scripted_rtsp import ScriptedCamera, rtp, sender_report

IDR = b"\x65\x88\x01"
NTP_S = 1_790_000_000 + 2_208_988_800
SETUP = b"RTSP/1.0 200 OK\r\nSession: 77\r\nTransport: RTP/AVP;unicast;client_port=1-2;server_port=3-4\r\n\r\n"


@pytest.fixture
def camera() -> Iterator[ScriptedCamera]:
    with ScriptedCamera(answers={"SETUP": SETUP}) as camera:
        yield camera


def opened(camera: ScriptedCamera, transport: str = "udp") -> RtspSource:
    (source,) = DRIVER.open("camera", RtspConfig(url=camera.url, transport=transport))
    return source


def send(camera: ScriptedCamera, *datagrams: bytes, source: str = "127.0.0.1", to_rtcp: bool = False) -> None:
    ports = re.search(r"client_port=(\d+)-(\d+)", camera.requests[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((source, 0))
        for data in datagrams:
            out.sendto(data, ("127.0.0.1", int(ports[1 + to_rtcp])))


def all_that_came(source: RtspSource) -> list[Packet]:
    came = []
    while packets := source.read(0.2):
        came.extend(packets)
    return came


def test_a_pictures_arrival_is_the_kernels_stamp_of_its_last_packet(camera: ScriptedCamera) -> None:
    source = opened(camera)
    assert source.read(0.2) == []
    before_ns = HOST_CLOCK.now_ns()
    send(camera, sender_report(NTP_S, 0, 0), to_rtcp=True)
    send(camera, rtp(1, 0, IDR, last=False), rtp(2, 0, IDR))
    after_ns = HOST_CLOCK.now_ns()
    time.sleep(0.1)  # the stamp is the arrival, not the read
    (packet,) = all_that_came(source)
    source.close()
    assert before_ns <= packet.stamps.host_ns <= after_ns


def test_preflight_can_ask_for_the_receive_buffer_where_there_is_one(camera: ScriptedCamera) -> None:
    source = opened(camera)
    assert isinstance(source, Buffered)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        usual_bytes = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert (source.receive_buffer_bytes or 0) >= usual_bytes
    source.close()


def test_over_tcp_there_is_none() -> None:
    with ScriptedCamera() as camera:
        source = opened(camera, "tcp")
        assert source.receive_buffer_bytes is None
        source.close()


def test_what_the_kernel_drops_is_counted_though_nothing_comes_behind_it(
    camera: ScriptedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.rtsp.rtp_ports._BUFFER_BYTES", 20_000)
    source = opened(camera)
    assert source.read(0.05) == []
    send(camera, *(rtp(number, number * 3000, IDR + bytes(1000)) for number in range(500)))
    came = all_that_came(source)
    assert 0 < len(came) < 500
    assert source.lost == 500 - len(came)
    source.close()
    assert source.lost == 500 - len(came), "also once it is closed"


def test_datagrams_of_others_are_no_pictures_and_are_counted(camera: ScriptedCamera) -> None:
    source = opened(camera)
    assert source.read(0.05) == []
    assert isinstance(source, Attentive)
    assert source.rejected == {}
    send(camera, rtp(1, 0, IDR))
    send(camera, rtp(2, 3000, IDR), rtp(3, 6000, IDR), source="127.0.0.2")
    send(camera, sender_report(300, 0, 0), source="127.0.0.3", to_rtcp=True)
    send(camera, rtp(2, 3000, IDR))
    assert len(all_that_came(source)) == 2
    assert source.lost == 0
    assert source.rejected == {"from another address than the camera's": 3}
    source.close()


def test_a_camera_that_sends_from_another_address_is_said_to(
    camera: ScriptedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.rtsp.driver.SILENCE_S", 0.3)
    source = opened(camera)

    def watch() -> None:
        for number in range(100):
            source.read(0.02)
            send(camera, rtp(number, 3000 * number, IDR), source="127.0.0.2")

    with pytest.raises(
        DeviceError, match=r"it has said nothing for 0 s, but datagrams came from 127.0.0.2; set transport"
    ):
        watch()
    source.close()


def test_what_the_camera_names_as_its_source_is_the_cameras() -> None:
    setup = SETUP.replace(b"unicast", b"unicast;source=127.0.0.2")
    with ScriptedCamera(answers={"SETUP": setup}) as camera:
        source = opened(camera)
        assert source.read(0.05) == []
        send(camera, rtp(1, 0, IDR), source="127.0.0.2")
        assert len(all_that_came(source)) == 1
        assert source.rejected == {}
        source.close()
