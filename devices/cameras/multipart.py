"""The body of a multipart/x-mixed-replace answer, cut into its parts as the bytes arrive (RFC 2046 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_HEAD_BYTES_MAX = 1 << 14
_PART_BYTES_MAX = 64 << 20
_JPEG_START = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class Part:
    """headers: lower-case name -> value."""

    headers: Mapping[str, str]
    body: bytes


class MultipartReader:
    """Bytes in any portions -> parts, each as soon as its last byte is there.

    A part without Content-Length is taken for a JPEG and ends where that ends: waiting for the next boundary would add a whole
    frame to its latency. What cannot be read is skipped to the next boundary and counted in ``broken``.
    """

    def __init__(self, boundary: bytes) -> None:
        # Some servers write the dashes into the parameter too, some only there.
        self._delimiter = b"--" + boundary.lstrip(b"-")
        self._pending = bytearray()
        self._headers: dict[str, str] | None = None  # of the part whose body is awaited
        self._searched = 0
        self.broken = 0
        self.ended = False  # the closing boundary was seen

    def feed(self, data: bytes) -> Iterator[Part]:
        """The parts that ``data`` completes."""
        self._pending += data
        while True:
            if self._headers is None and not self._read_headers():
                return
            body = self._read_body()
            if body is None:
                return
            headers, self._headers = self._headers or {}, None
            if body:
                yield Part(headers, body)
            else:
                self.broken += 1

    def end(self) -> None:
        """No more will come: a part whose end is not there is broken."""
        if self._headers is not None:
            self.broken += 1
        self._headers = None
        self._pending.clear()

    def _read_headers(self) -> bool:
        """Whether a part's headers were found; all before its boundary is dropped."""
        start = self._pending.find(self._delimiter)
        if start < 0:
            del self._pending[: max(0, len(self._pending) - len(self._delimiter) - 2)]
            return False
        after = start + len(self._delimiter)
        if self._pending[after : after + 2] == b"--":
            self.ended = True
            return False
        end, gap = _blank_line(self._pending, after)
        if end < 0:
            if len(self._pending) - after > _HEAD_BYTES_MAX:
                self._give_up(after)
            return False
        self._headers = _headers(bytes(self._pending[after:end]))
        del self._pending[: end + gap]
        self._searched = 0
        return True

    def _read_body(self) -> bytes | None:
        """The whole body, empty when it is not to be had, None while it is still on its way."""
        stated = (self._headers or {}).get("content-length", "")
        if stated.isdecimal() and len(stated) < 12:
            end = int(stated)
        else:
            end = self._jpeg_end()
            if self._delimiter in (self._pending if end < 0 else self._pending[:end]):
                return b""  # its end is damaged; the next part must not be taken for the rest of it
        if end > _PART_BYTES_MAX or (end < 0 and len(self._pending) > _PART_BYTES_MAX):
            return b""
        if end < 0 or len(self._pending) < end:
            return None
        body = bytes(self._pending[:end])
        del self._pending[:end]
        return body

    def _jpeg_end(self) -> int:
        """The length of the JPEG that ``pending`` begins with, -1 while its end is not there, 0 when there is none.

        Segments are stepped over by their length, so that a thumbnail's end inside one is not taken for the picture's.
        """
        data = self._pending
        if len(data) < 4:
            return -1
        if data[:2] != _JPEG_START:
            return 0
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
            if data[at + 1] == 0xD9:
                return at + 2
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 > len(data):
            return -1
        if data[at] != 0xFF:
            return 0
        found = data.find(b"\xff\xd9", max(at, self._searched))  # entropy-coded data holds no unescaped marker
        self._searched = max(0, len(data) - 1)
        return found + 2 if found >= 0 else -1

    def _give_up(self, upto: int) -> None:
        del self._pending[:upto]
        self.broken += 1


def _blank_line(data: bytearray, start: int) -> tuple[int, int]:
    """Where the headers end and how long the blank line is; -1 when it is not there."""
    ends = [(data.find(mark, start), len(mark)) for mark in (b"\r\n\r\n", b"\n\n")]
    return min((each for each in ends if each[0] >= 0), default=(-1, 0))


def _headers(text: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip() for key, colon, value in pairs if colon}
