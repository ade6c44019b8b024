"""The USB cameras that are plugged in, by names that stay: serial number or port, never /dev/videoN (Linux, V4L2)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BY_ID, BY_PORT = Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path")

# linux/videodev2.h
_ENUM_FORMAT, _ENUM_SIZE = 0xC0405602, 0xC02C564A
_CAPTURE = 1
_DISCRETE = 1
MJPG = int.from_bytes(b"MJPG", "little")
_ENTRIES_MAX = 128  # a driver that never says EINVAL must not hold us


@dataclass(frozen=True, slots=True)
class UsbCamera:
    """device: the name that stays. sizes_px: (width, height) of the MJPEG pictures that it offers, largest first."""

    device: str
    sizes_px: Sequence[tuple[int, int]]

    @property
    def label(self) -> str:
        """Model and serial number as udev has them in the name, and the largest sizes."""
        name = Path(self.device).name.removeprefix("usb-").partition("-video-index")[0]
        return f"{name.replace('_', ' ')} ({', '.join(f'{w}x{h}' for w, h in self.sizes_px[:4])})"


def plugged_in(
    by_id: Path = BY_ID, by_port: Path = BY_PORT, sizes: Callable[[Path], Sequence[tuple[int, int]]] | None = None
) -> list[UsbCamera]:
    """Cameras that offer MJPEG. By serial number; by USB port those of which two say the same number, of which udev keeps one name."""
    sizes = sizes or mjpeg_sizes
    found: dict[Path, UsbCamera] = {}
    for folder in (by_id, by_port):
        for link in sorted(folder.iterdir()) if folder.is_dir() else ():
            node = link.resolve()
            if node not in found and "-video-index" in link.name and "usb" in link.name and (offered := sizes(link)):
                found[node] = UsbCamera(str(link), offered)
    return list(found.values())


def mjpeg_sizes(device: Path) -> list[tuple[int, int]]:
    """(width, height) of MJPEG pictures, largest first; none when it is no camera, is busy, or offers none."""
    try:
        opened = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        if MJPG not in _formats(opened):
            return []
        return sorted(set(_sizes(opened)), key=lambda size: size[0] * size[1], reverse=True)
    except OSError:
        return []
    finally:
        os.close(opened)


def _formats(opened: int) -> list[int]:
    """Of struct v4l2_fmtdesc: index, type, flags, description[32], pixelformat, mbus_code, reserved[3]."""
    entries = _enumerated(
        opened, _ENUM_FORMAT, lambda index: struct.pack("<III32sIIIII", index, _CAPTURE, 0, b"", *[0] * 5)
    )
    return [struct.unpack_from("<I", entry, 44)[0] for entry in entries]


def _sizes(opened: int) -> Iterator[tuple[int, int]]:
    """Of struct v4l2_frmsizeenum: index, pixel_format, type, then width and height, or the range they lie in."""
    for entry in _enumerated(opened, _ENUM_SIZE, lambda index: struct.pack("<III24s8s", index, MJPG, 0, b"", b"")):
        kind, *numbers = struct.unpack_from("<I6I", entry, 8)
        yield (numbers[0], numbers[1]) if kind == _DISCRETE else (numbers[1], numbers[4])


def _enumerated(opened: int, request: int, asked: Callable[[int], bytes]) -> Iterator[bytes]:
    import fcntl

    for index in range(_ENTRIES_MAX):
        try:
            yield fcntl.ioctl(opened, request, asked(index))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
