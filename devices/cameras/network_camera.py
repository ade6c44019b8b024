"""Network cameras, whatever they speak: where one is, and how it is said that it does not answer or has gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

from devices.errors import DeviceError

SILENCE_S = 10.0  # an unplugged cable says nothing: after this a camera is taken for gone
_PORTS = {"http": 80, "rtsp": 554}
_EXAMPLES = {"http": "http://192.168.1.20:8080/stream", "rtsp": "rtsp://192.168.1.20/stream1"}


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """url: as the camera is asked, without user and password. path: with the query. user: None where none is given."""

    url: str
    host: str
    port: int
    path: str
    user: str | None
    password: str

    @property
    def shown(self) -> str:
        """For people: without the query, in which some cameras want the password."""
        return self.url.partition("?")[0]


def gone(stream: str, why: object) -> DeviceError:
    return DeviceError(f"{stream}: the camera is gone: {why}; is it still up?")


def unreachable(stream: str, why: str) -> DeviceError:
    what_to_do = "check the address and password in rig.toml, and that the camera is powered and on this network"
    return DeviceError(f"{stream}: {why}; {what_to_do}")


def camera_address(text: str, scheme: str) -> CameraAddress:
    """``rtsp://user:password@192.168.1.20/stream1`` -> its parts. Raises ValueError when it is no address of that scheme."""
    parts = urlsplit(text)
    if parts.scheme != scheme or not parts.hostname:
        raise ValueError(f"give an address like {_EXAMPLES[scheme]}")
    return CameraAddress(
        url=parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl(),
        host=parts.hostname,
        port=parts.port or _PORTS[scheme],  # raises ValueError when it is no number
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        user=None if parts.username is None else unquote(parts.username),
        password=unquote(parts.password or ""),
    )


def _checked(scheme: str) -> AfterValidator:
    def check(url: str) -> str:
        camera_address(url, scheme)
        return url

    return AfterValidator(check)


HttpAddress = Annotated[str, _checked("http")]
RtspAddress = Annotated[str, _checked("rtsp")]
