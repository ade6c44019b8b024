"""What a real server does not do on request: odd answers, broken packets, clocks that are none."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.cameras.access_unit import Codec, nal_units
from devices.device import ClockSource
from devices.errors import DeviceError
from devices.rtsp.driver import DRIVER, RtspConfig, RtspSource
from devices.rtsp.error import RtspError
from devices.rtsp.session_description import described_media
from devices.samples import Packet
from tests.devices.scripted_rtsp import SDP, ScriptedCamera, interleaved, rtp, sender_report

IDR, SLICE = b"\x65\x88\x01", b"\x41\x9a\x02"
NTP_S = 1_790_000_000 + 2_208_988_800


def opened(camera: ScriptedCamera) -> RtspSource:
    (source,) = DRIVER.open("camera", RtspConfig(url=camera.url))
    return source


def played(*sent: bytes) -> tuple[list[Packet], RtspSource]:
    """What comes of these bytes until the camera hangs up, and the closed source."""

    def play(connection: socket.socket) -> None:
        connection.sendall(b"".join(sent))
        connection.close()

    packets: list[Packet] = []
    with ScriptedCamera(play) as camera:
        source = opened(camera)
        with contextlib.suppress(DeviceError):
            while True:
                packets += source.read(1.0)
        source.close()
    return packets, source


def test_the_session_is_set_up_for_the_video_alone_at_the_whole_address() -> None:
    with ScriptedCamera() as camera:
        source = opened(camera)
        assert [line.split()[0] for line in camera.asked] == ["DESCRIBE", "SETUP"]
        assert source.read(0.0) == []
        source.close()
    address = camera.url
    assert camera.asked[:3] == [
        f"DESCRIBE {address} RTSP/1.0", f"SETUP {address}/track1 RTSP/1.0", f"PLAY {address} RTSP/1.0"
    ]  # fmt: skip
    assert camera.asked[3].startswith("TEARDOWN")


def test_a_session_is_kept_alive_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    timeout = b"RTSP/1.0 200 OK\r\nSession: 77;timeout=2\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n"
    with ScriptedCamera(answers={"SETUP": timeout}) as camera:
        source = opened(camera)
        until = time.monotonic() + 60
        while time.monotonic() < until and not any(line.startswith("OPTIONS") for line in camera.asked):
            assert source.read(0.1) == []
        source.close()
    assert [line.split()[0] for line in camera.asked][3] == "OPTIONS"


@dataclass
class Doorkeeper:
    """Asks for a password by Digest. A nonce holds for so many requests, each under a count of its own (RFC 7616 3.4)."""

    requests_a_nonce: int = 1000
    nonce: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, request: str) -> bytes:
        said = dict(re.findall(r'(\w+)="?([^",\r]+)', request.partition("Authorization: Digest ")[2]))
        used = said.get("nonce", ""), said.get("nc", "")
        is_stale = bool(said) and used[0] != f"n{self.nonce}"
        if said and used not in self.seen and not is_stale:
            self.seen.append(used)
            self.nonce += len(self.seen) % self.requests_a_nonce == 0
            return b""
        stale = ", stale=true" if is_stale else ""
        challenge = f'Digest realm="camera", qop="auth", nonce="n{self.nonce}"{stale}'
        return f"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()


@pytest.mark.parametrize("requests_a_nonce", [1000, 3, 1])
def test_no_request_under_a_nonce_bears_the_count_of_another_one(requests_a_nonce: int) -> None:
    """DESCRIBE, SETUP, PLAY and the signs of life, one of which finds its nonce stale."""
    doorkeeper = Doorkeeper(requests_a_nonce)
    timeout = b"RTSP/1.0 200 OK\r\nSession: 77;timeout=2\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"
    with ScriptedCamera(answers={"SETUP": timeout}, refuse=doorkeeper.refuse) as camera:
        url = camera.url.replace("//", "//crew:word@")
        (source,) = DRIVER.open("camera", RtspConfig(url=url))
        until = time.monotonic() + 60
        while len(doorkeeper.seen) < 5 and time.monotonic() < until:
            assert source.read(0.1) == []
        source.close()
    assert len(doorkeeper.seen) >= 5
    if requests_a_nonce == 1000:
        assert doorkeeper.seen[:5] == [("n0", f"0000000{number}") for number in range(1, 6)]


def test_a_password_that_is_asked_for_in_a_way_unknown_is_told() -> None:
    refusal = (
        b'RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="camera", nonce="n", algorithm=SHA3-512\r\n\r\n'
    )
    with (
        ScriptedCamera(refuse=lambda request: refusal) as camera,
        pytest.raises(
            DeviceError, match="does not stream: it asks for a password by Digest SHA3-512; fieldrig knows MD5, "
        ),
    ):
        DRIVER.open("camera", RtspConfig(url=camera.url.replace("//", "//crew:word@")))


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"DESCRIBE": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "what it says is not RTSP: 'HTTP/1.1 400 Bad Request'"),
        ({"DESCRIBE": b"RTSP/1.0 200 OK\r\n\r\n"}, "it sends nothing that it describes, and fieldrig takes H264 or H265"),
        ({"SETUP": b"RTSP/1.0 461 Unsupported transport\r\n\r\n"}, "answers '461 Unsupported transport' to SETUP"),
    ],
)  # fmt: skip
def test_an_answer_that_is_of_no_use_is_quoted(answers: dict[str, bytes], says: str) -> None:
    with ScriptedCamera(answers=answers) as camera, pytest.raises(DeviceError, match=says):
        opened(camera)


def test_what_a_camera_sends_instead_of_video_is_named() -> None:
    with pytest.raises(RtspError, match="it sends PCMU, JPEG, and fieldrig takes H264 or H265"):
        described_media(SDP.replace("H264", "JPEG"))
    media = described_media(
        "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H265/90000\r\n"
        "a=fmtp:97 sprop-vps=QAEM;sprop-sps=QgEB;sprop-pps=!!;sprop-max-don-diff=0\r\n"
    )
    assert (media.codec, media.parameter_sets) == (Codec.H265, (b"\x40\x01\x0c", b"\x42\x01\x01"))


def test_pictures_get_the_parameter_sets_of_the_description_where_they_bring_none() -> None:
    packets, source = played(
        interleaved(0, rtp(1, 0, b"\x09\xf0", last=False)),
        interleaved(0, rtp(2, 0, IDR)),
        interleaved(0, rtp(3, 3600, SLICE)),
    )
    assert [nal_units(packet.data) for packet in packets] == [
        [b"\x09\xf0", bytes.fromhex("6742c015d901"), bytes.fromhex("68cb8cb2"), IDR], [SLICE]
    ]  # fmt: skip
    assert source.lost == 0


def test_answers_foreign_channels_and_other_payloads_between_the_pictures_do_no_harm() -> None:
    packets, source = played(
        interleaved(0, rtp(1, 0, IDR)),
        b"RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 4\r\n\r\nabcd",
        interleaved(7, b"other"),
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        interleaved(0, b"no RTP"),
        interleaved(0, rtp(2, 10, SLICE, kind=111)),
        interleaved(0, rtp(2, 3600, SLICE)),
    )
    assert [nal_units(packet.data)[-1] for packet in packets] == [IDR, SLICE]
    assert source.lost == 2


def test_stamps_follow_the_newest_report_and_wrap_with_the_ticks() -> None:
    late = 0xFFFFFFFF - 89_999
    packets, source = played(
        interleaved(0, rtp(1, late, IDR)),
        interleaved(1, sender_report(NTP_S, 1 << 31, late + 45_000)),
        interleaved(0, rtp(2, late + 90_000, SLICE)),
        interleaved(0, rtp(3, late + 180_000, SLICE)),
        interleaved(1, sender_report(NTP_S + 10, 0, late + 270_000)),
        interleaved(0, rtp(4, late + 180_000 - 9_000, SLICE)),
    )
    second = 10**9
    base = 1_790_000_000 * second
    assert [packet.stamps.device_ns for packet in packets] == [
        None, base + second, base + 2 * second, base + 10 * second - 1_100_000_000
    ]  # fmt: skip
    assert source.clock_source is ClockSource.RTCP


@pytest.mark.parametrize("anew", [0x0123_4567, 0x8123_4567, 0xF123_4567])
def test_a_sender_that_begins_anew_gives_no_stamps_until_a_report_follows_its_ticks(anew: int) -> None:
    packets, source = played(
        interleaved(1, sender_report(NTP_S, 0, 0)),
        interleaved(0, rtp(1, 90_000, IDR)),
        interleaved(0, rtp(40_000, anew, IDR)),
        interleaved(0, rtp(40_001, anew + 90_000, SLICE)),
        interleaved(1, sender_report(NTP_S + 5, 0, anew + 180_000)),
        interleaved(0, rtp(40_002, anew + 180_000, SLICE)),
        interleaved(1, sender_report(NTP_S + 10, 0, 90_000)),  # the next one is told of before it begins
        interleaved(0, rtp(10, 0, IDR)),
        interleaved(0, rtp(11, 90_000, SLICE)),
    )
    second, base = 10**9, 1_790_000_000 * 10**9
    assert [packet.stamps.device_ns for packet in packets] == [
        base + second, None, None, base + 5 * second, base + 9 * second, base + 10 * second
    ]  # fmt: skip
    assert source.lost == 0


@pytest.mark.parametrize(
    ("report", "stamp_ns", "clock"),
    [
        (sender_report(0, 0, 5), None, ClockSource.NONE),  # RFC 3550: it has no clock
        (sender_report(300, 0, 0), 300 * 10**9, ClockSource.FREE),  # it counts from its power-up
        (sender_report(0, 1, 90_000), None, ClockSource.FREE),  # before its own beginning
        (b"\x80\xc8\x00\x06" + bytes(10), None, ClockSource.NONE),
        (b"rubbish", None, ClockSource.NONE),
    ],
)
def test_a_report_that_states_no_wall_clock_is_not_taken_for_one(
    report: bytes, stamp_ns: int | None, clock: ClockSource
) -> None:
    (packet,), source = played(interleaved(1, report), interleaved(0, rtp(1, 0, IDR)))
    assert packet.stamps.device_ns == stamp_ns
    assert source.clock_source is clock


def test_a_goodbye_ends_the_stream_after_its_last_picture() -> None:
    packets, _ = played(interleaved(0, rtp(1, 0, IDR)) + interleaved(1, b"\x81\xcb\x00\x01\x00\x00\x00\x05"))
    assert len(packets) == 1


def test_what_still_waited_for_others_when_the_camera_left_is_given() -> None:
    """Of the last picture the marker is missing, and before it a packet."""
    packets, source = played(
        interleaved(0, rtp(1, 0, IDR)), interleaved(0, rtp(3, 3600, SLICE)), interleaved(0, rtp(4, 7200, SLICE, last=False))
    )  # fmt: skip
    assert [nal_units(packet.data)[-1] for packet in packets] == [IDR, SLICE, SLICE]
    assert source.lost == 1


@given(rubbish=st.binary(max_size=60))
def test_rubbish_in_packets_never_raises_and_costs_no_picture(rubbish: bytes) -> None:
    packets, _ = played(
        interleaved(0, rtp(1, 0, IDR)), interleaved(0, rubbish), interleaved(1, rubbish),
        interleaved(0, rtp(2, 3600, SLICE)), interleaved(0, rtp(3, 7200, SLICE)),
    )  # fmt: skip
    found = [nal_units(packet.data)[-1] for packet in packets]
    assert found[0] == IDR
    assert found.count(SLICE) == 2 or rubbish[:1] >= b"\x80"  # what looks like RTP may shift the count by its own


@pytest.mark.parametrize("url", ["http://a/b", "rtsp:///x", "rtsp://a:port/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|port|Port"):
        RtspConfig(url=url)


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(st.binary(max_size=80), st.just(interleaved(0, rtp(1, 0, IDR))), st.just(b"RTSP/1.0 200 OK\r\n\r\n"))
    )
)
def test_whatever_a_camera_says_while_it_plays_a_picture_that_came_is_given_once(said: list[bytes]) -> None:
    packets, _ = played(*said)
    picture = interleaved(0, rtp(1, 0, IDR))
    assert len(packets) <= (picture in said)  # the others bear the same number
    assert packets or said[:1] != [picture]
    assert all(nal_units(packet.data)[-1] == IDR for packet in packets)


@given(st.text(max_size=300), st.sampled_from(SDP.splitlines()))
def test_no_description_raises_but_in_words(text: str, line: str) -> None:
    for description in (text, SDP.replace(line, text), SDP.replace(line, line[: len(line) // 2] + text)):
        with contextlib.suppress(RtspError):
            media = described_media(description)
            assert media.codec in Codec
            assert media.ticks_hz > 0
            assert all(map(media.codec.is_parameter_set, media.parameter_sets))


def test_figures_that_cannot_be_are_not_taken() -> None:
    many = "9" * 5000
    with pytest.raises(RtspError):
        described_media(SDP.replace("90000", many))
    odd = f"RTSP/1.0 200 OK\r\nSession: 7;timeout={many}\r\nTransport: RTP/AVP/TCP;interleaved=700-{many}\r\n\r\n"
    with ScriptedCamera(answers={"SETUP": odd.encode()}) as camera:
        source = opened(camera)
        assert source.read(0.05) == []
        source.close()


@pytest.mark.parametrize("half", [b"", b"RTSP/1.0 200", b"RTSP/1.0 200 OK\r\nContent-Length: 99\r\n\r\nv=0"])
def test_a_camera_that_hangs_up_in_its_answer_is_told(half: bytes) -> None:
    def hang_up() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(half)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(DeviceError, match="does not stream: it closed the connection at DESCRIBE"):
            DRIVER.open("camera", RtspConfig(url=url))
        thread.join()
