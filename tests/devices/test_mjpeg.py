import base64
import contextlib
import itertools
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.cameras.mjpeg import MjpegSource, device_ns_from_text
from devices.cameras.multipart import MultipartReader, Part
from devices.cameras.picture import picture_decoder
from devices.device import Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet
from tests.devices.builders import Camera, packet

STREAM = Stream("camera/image", "jpeg")
SECOND = 1_700_000_000


def jpeg(shade: int, size: int = 40) -> bytes:
    return cv2.imencode(".jpg", np.full((size, size, 3), shade, dtype=np.uint8))[1].tobytes()


def part(body: bytes, *headers: str, length: bool = True) -> bytes:
    lines = ["--frame", "Content-Type: image/jpeg", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"\r\n"


def all_pictures(source: MjpegSource, timeout_s: float = 5.0) -> list[Packet]:
    """Until the camera has gone."""
    pictures: list[Packet] = []

    def read_on() -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            pictures.extend(source.read(0.2))

    with pytest.raises(DeviceError, match=r"ended the stream|closed the connection"):
        read_on()
    source.close()
    return pictures


def test_pictures_arrive_byte_for_byte_with_the_cameras_stamps() -> None:
    pictures = [jpeg(shade) for shade in (10, 120, 240)]

    def answer(send: Callable[[bytes], None]) -> None:
        for number, picture in enumerate(pictures):
            send(part(picture, f"X-Timestamp: {SECOND}.{number}25000000", f"X-Sequence: {number}"))
        send(b"--frame--\r\n")

    with Camera(answer) as camera:
        before_ns = HOST_CLOCK.now_ns()
        source = MjpegSource(STREAM, camera.url)
        found = all_pictures(source)
    assert [each.data for each in found] == pictures
    assert [each.stamps.device_ns for each in found] == [SECOND * 10**9 + n * 10**8 + 25 * 10**6 for n in range(3)]
    assert all(before_ns <= each.stamps.host_ns <= HOST_CLOCK.now_ns() for each in found)
    assert source.lost == 0


def test_a_picture_comes_before_the_next_ones_boundary_is_sent() -> None:
    for length in (True, False):
        hold = threading.Event()

        def answer(send: Callable[[bytes], None], hold: threading.Event = hold, length: bool = length) -> None:
            send(part(jpeg(50), length=length)[:-2])
            hold.wait(100)

        with Camera(answer) as camera:
            source = MjpegSource(STREAM, camera.url)
            found = source.read(60.0)
            hold.set()
            source.close()
        assert [each.data for each in found] == [jpeg(50)]


def test_gaps_in_the_numbers_are_losses_and_a_restarted_count_is_none() -> None:
    def answer(send: Callable[[bytes], None]) -> None:
        for number in (7, 8, 11, 12, 0, 2):
            send(part(jpeg(50), f"X-Sequence: {number}"))

    with Camera(answer) as camera:
        source = MjpegSource(STREAM, camera.url)
        assert len(all_pictures(source)) == 6
    assert source.lost == 2 + 1


def test_a_part_that_is_no_picture_is_lost_and_the_next_one_is_not() -> None:
    def answer(send: Callable[[bytes], None]) -> None:
        send(part(b"this is no JPEG, and has no length", length=False) + part(jpeg(50)))

    with Camera(answer) as camera:
        source = MjpegSource(STREAM, camera.url)
        assert [each.data for each in all_pictures(source)] == [jpeg(50)]
    assert source.lost == 1


def test_a_picture_that_the_end_of_the_connection_cuts_is_lost() -> None:
    with Camera(lambda send: send(part(jpeg(50)) + part(jpeg(90))[:-100])) as camera:
        source = MjpegSource(STREAM, camera.url)
        assert [each.data for each in all_pictures(source)] == [jpeg(50)]
    assert source.lost == 1


def test_nothing_within_the_time_is_no_picture_and_no_error() -> None:
    hold = threading.Event()
    with Camera(lambda send: hold.wait(100)) as camera:
        source = MjpegSource(STREAM, camera.url)
        started = time.monotonic()
        assert source.read(0.1) == []
        assert 0.09 < time.monotonic() - started < 30
        hold.set()
        source.close()


def test_a_camera_that_falls_silent_is_gone_and_one_that_is_slow_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unplugged cable closes no connection."""
    monkeypatch.setattr("devices.cameras.mjpeg.SILENCE_S", 3.0)
    hold = threading.Event()

    def answer(send: Callable[[bytes], None]) -> None:
        for shade in (10, 90, 190):
            send(part(jpeg(shade)))
            time.sleep(0.6)
        hold.wait(100)

    with Camera(answer) as camera:
        source = MjpegSource(STREAM, camera.url + "?password=secret")
        came = [each.data for _ in range(6) for each in source.read(0.3)]
        said = ""
        while not said:
            try:
                came += [each.data for each in source.read(0.3)]
            except DeviceError as error:
                said = str(error)
        hold.set()
        source.close()
    assert came == [jpeg(shade) for shade in (10, 90, 190)]
    assert said == "camera/image: the camera is gone: it has said nothing for 3 s; is it still up?"


def test_closing_from_another_thread_ends_a_read_at_once() -> None:
    hold = threading.Event()
    with Camera(lambda send: hold.wait(100)) as camera:
        source = MjpegSource(STREAM, camera.url)
        threading.Timer(0.1, source.close).start()
        started = time.monotonic()
        with pytest.raises(EOFError):
            source.read(90)
        assert time.monotonic() - started < 45
        hold.set()


def test_an_answers_head_may_come_in_pieces_with_a_large_picture_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head may be as long as the limit, however much of the stream has come along with its end."""
    monkeypatch.setattr("devices.cameras.mjpeg._HEAD_BYTES_MAX", 200)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4000)
            connection.sendall(b"HTTP/1.0 200 OK\r\nServer: camera\r\n")
            time.sleep(0.1)
            head = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
            connection.sendall(head + part(jpeg(7, 400)))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        source = MjpegSource(STREAM, f"http://127.0.0.1:{server.getsockname()[1]}/")
        assert [each.data for each in all_pictures(source)] == [jpeg(7, 400)]
        thread.join()


def test_a_refused_connection_says_where_and_what_to_do() -> None:
    with pytest.raises(
        DeviceError, match=r"camera/image: no camera at http://127.0.0.1:1/s: .*refused; check the address"
    ):
        MjpegSource(STREAM, "http://user:secret@127.0.0.1:1/s")


def test_a_camera_that_takes_the_connection_and_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.cameras.mjpeg._CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DeviceError, match=r"takes the connection but says nothing .*the camera is powered"):
            MjpegSource(STREAM, url)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"status": 401}, "it answers 'HTTP/1.0 401"),
        ({"content_type": "text/html"}, "its Content-Type is 'text/html', not multipart"),
        ({"content_type": "multipart/x-mixed-replace"}, "its Content-Type names no boundary"),
    ],
)
def test_an_answer_that_is_no_stream_is_quoted(options: dict[str, object], says: str) -> None:
    with (
        Camera(lambda send: None, **options) as camera,
        pytest.raises(DeviceError, match=f"is no MJPEG stream: {says}"),
    ):
        MjpegSource(STREAM, camera.url)


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="cam"',
        'Digest realm="cam", nonce="abc123", opaque="xyz"',
        'Digest realm="cam", nonce="abc", algorithm=MD5',
    ],
)
def test_a_password_is_given_when_and_as_the_camera_asks_for_it(challenge: str) -> None:
    """The answers expected are those of Python's own HTTP client."""
    heard: list[str] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                request = connection.recv(4000).decode()
                heard.extend(line for line in request.split("\r\n") if line.startswith("Authorization"))
                if "Authorization" in request:
                    head = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
                    connection.sendall(head.encode() + part(jpeg(7)))
                else:
                    connection.sendall(f"HTTP/1.0 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/s?x=1"
        source = MjpegSource(STREAM, url.replace("//", "//crew:a%20b@"))
        assert [each.data for each in all_pictures(source)] == [jpeg(7)]
        thread.join()
    assert len(heard) == 1
    scheme, _, said = heard[0].removeprefix("Authorization: ").partition(" ")
    if scheme == "Basic":
        assert said == base64.b64encode(b"crew:a b").decode()
        return
    theirs = urllib.request.AbstractDigestAuthHandler()
    theirs.add_password("cam", url, "crew", "a b")
    asked = urllib.request.parse_keqv_list(urllib.request.parse_http_list(challenge.partition(" ")[2]))
    expected = theirs.get_authorization(urllib.request.Request(url), asked)
    ours = urllib.request.parse_keqv_list(urllib.request.parse_http_list(said))
    wanted = urllib.request.parse_keqv_list(urllib.request.parse_http_list(expected.removeprefix("Digest ")))
    for key in ("username", "realm", "nonce", "uri", "response"):
        assert ours[key] == wanted[key]
    assert ours.get("opaque") == asked.get("opaque")


@pytest.mark.parametrize("said", [b"220 mail server\r\n", b"* OK " + bytes(1 << 20)])
def test_a_server_that_is_not_http_is_told(said: bytes) -> None:
    def babble() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(DeviceError, match="the answer is not HTTP"):
            MjpegSource(STREAM, f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1700000000.123456789", 1_700_000_000_123_456_789),  # s; a float would have lost the last digits
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000123", 1_700_000_000_123_000_000),  # ms
        ("1700000000123456", 1_700_000_000_123_456_000),  # us
        ("1700000000123456789", 1_700_000_000_123_456_789),  # ns
        ("12.5", 12_500_000_000),  # s since the camera's start
        (" 0 ", 0),
        ("", None), ("now", None), ("-1", None), ("nan", None), ("inf", None), ("1e30", None),
    ],
)  # fmt: skip
def test_a_stamps_unit_is_judged_by_its_magnitude(text: str, ns: int | None) -> None:
    assert device_ns_from_text(text) == ns


STREAMED = b"".join(
    [
        b"preamble that a reader skips\r\n",
        part(jpeg(10), "X-Sequence: 1"),
        part(jpeg(20), length=False),
        part(jpeg(30)).replace(b"\r\n\r\n", b"\n\n", 1).replace(b"Content-Length", b"content-length", 1),
    ]
)


@given(st.lists(st.integers(0, len(STREAMED)), max_size=12))
def test_how_the_bytes_are_portioned_does_not_matter(cuts: list[int]) -> None:
    reader = MultipartReader(b"frame")
    edges = [0, *sorted(cuts), len(STREAMED)]
    bodies = [found.body for a, b in itertools.pairwise(edges) for found in reader.feed(STREAMED[a:b])]
    assert bodies == [jpeg(10), jpeg(20), jpeg(30)]
    assert reader.broken == 0


@pytest.mark.parametrize("boundary", [b"frame", b"--frame"])
def test_dashes_may_stand_in_the_boundary_parameter_or_not(boundary: bytes) -> None:
    assert [found.body for found in MultipartReader(boundary).feed(part(jpeg(10)))] == [jpeg(10)]


def test_the_end_of_a_thumbnail_is_not_the_pictures() -> None:
    picture = jpeg(200)
    thumbnail = b"\xff\xe1" + (2 + len(jpeg(9, 8))).to_bytes(2, "big") + jpeg(9, 8)
    picture = picture[:2] + thumbnail + picture[2:]
    assert [found.body for found in MultipartReader(b"frame").feed(part(picture, length=False))] == [picture]


@given(st.binary(max_size=300), st.integers(0, len(STREAMED)))
def test_rubbish_in_the_stream_never_raises_and_later_pictures_come(rubbish: bytes, at: int) -> None:
    reader = MultipartReader(b"frame")
    with mock.patch("devices.cameras.multipart._PART_BYTES_MAX", 10_000):  # what a damaged Content-Length may swallow
        parts: list[Part] = [*reader.feed(STREAMED[:at] + rubbish + STREAMED[at:])]
        parts += [*reader.feed(STREAMED * 8)]
    assert reader.ended or [found.body for found in parts[-3:]] == [jpeg(10), jpeg(20), jpeg(30)]


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_decodes_to_rgb(ending: str) -> None:
    red = np.zeros((12, 16, 3), dtype=np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    (image,) = picture_decoder("camera").decode(packet(cv2.imencode(ending, red)[1].tobytes(), host_ns=5, device_ns=3))
    assert image.pixels.shape == (12, 16, 3)
    assert image.pixels[..., 0].min() > 240
    assert image.pixels[..., 1:].max() < 20
    assert image.t_ns == 3
    (image,) = picture_decoder("camera").decode(packet(cv2.imencode(ending, red)[1].tobytes(), host_ns=5))
    assert image.t_ns == 5


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_that_ends_early_is_passed_over(ending: str) -> None:
    whole = cv2.imencode(ending, np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    decoder = picture_decoder("camera")
    assert list(decoder.decode(packet(whole[: len(whole) // 2]))) == []
    assert decoder.rejected == {"not a whole JPEG or PNG": 1}
