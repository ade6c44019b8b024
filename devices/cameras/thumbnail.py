"""A small picture of what a sensor sees now, by which a person tells it from its neighbours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.device import Driver, Found, Source, driver
from devices.errors import DeviceError
from devices.samples import Image, Sample, Sweep

SIZE_PX = (320, 240)  # width, height
_SEEN: set[type[Sample]] = {Image, Sweep}
NO_PICTURES = "this sensor gives no pictures"
_NAME = "thumbnail"  # of the sensor while it is looked through
_READ_S = 0.1
_REACH_M = 20.0  # from the lidar to the edge of its picture
_HEIGHTS_M = (-2.0, 3.0)  # from the darkest to the brightest colour
_PAPER = 24


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """pixels: (240, 320, 3) uint8 RGB, None where there is no picture to be had. why: in one line, then."""

    pixels: NDArray[np.uint8] | None
    why: str = ""


def thumbnail(found: Found, timeout_s: float) -> Thumbnail:
    """Opens the sensor until its first picture or its first whole sweep, at most about timeout_s."""
    try:
        kind = driver(found.driver)
        if not _SEEN & set(kind.yields.values()):
            return Thumbnail(None, NO_PICTURES)
        sources = kind.open(_NAME, kind.config.model_validate(dict(found.config)))
    except (DeviceError, ValueError) as error:
        return Thumbnail(None, _in_words(error))
    except Exception as error:  # a driver's defect must not end the search
        return Thumbnail(None, f"its driver failed: {type(error).__name__}: {error}")
    try:
        return Thumbnail(_first_picture(kind, sources, timeout_s))
    except LookupError:
        return Thumbnail(None, f"no picture came in {timeout_s:.0f} s")
    except (DeviceError, EOFError) as error:
        return Thumbnail(None, _in_words(error))
    finally:
        for source in sources:
            source.close()


def _in_words(error: Exception) -> str:
    """Without the name that only this file has given it."""
    stream, _, why = (said := str(error).splitlines()[0]).partition(": ")
    return why if stream.partition("/")[0] == _NAME else said


def _first_picture(kind: Driver, sources: Sequence[Source], timeout_s: float) -> NDArray[np.uint8]:
    """Raises LookupError when none comes in time."""
    skip_sweep = True  # the first turn was under way when we came
    for sample in _samples(kind, sources, time.monotonic() + timeout_s):
        if isinstance(sample, Sweep) and skip_sweep:
            skip_sweep = False
            continue
        if isinstance(sample, Image):
            return framed(sample.pixels)
        if isinstance(sample, Sweep):
            return birds_eye(sample.points_m)
    raise LookupError


def _samples(kind: Driver, sources: Sequence[Source], until_s: float) -> Iterator[Sample]:
    seen = [source for source in sources if kind.yields.get(source.stream.encoding) in _SEEN]
    decoders = {source.stream.name: kind.decoder(source.stream) for source in seen}
    while seen and time.monotonic() < until_s:
        for source in seen:
            for packet in source.read(_READ_S / len(seen)):
                yield from decoders[source.stream.name].decode(packet)


def framed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (240, 320, 3), whole, with a margin where its shape is another."""
    import cv2

    width, height = SIZE_PX
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    frame = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    frame[top : top + size[1], left : left + size[0]] = small
    return frame


def birds_eye(points_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 3), lidar frame -> (240, 320, 3): x up, y left, 20 m up and down, coloured by height; the lidar is the white cross."""
    import cv2

    width, height = SIZE_PX
    metre_px = height / 2 / _REACH_M
    image = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    u = np.round(width / 2 - points_m[:, 1] * metre_px)
    v = np.round(height / 2 - points_m[:, 0] * metre_px)
    seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)  # a NaN is not
    low, high = _HEIGHTS_M
    shade = (np.clip((points_m[seen, 2] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(shade.reshape(-1, 1), cv2.COLORMAP_TURBO).reshape(-1, 3)[:, ::-1]
    image[v[seen].astype(int), u[seen].astype(int)] = colours
    cv2.drawMarker(image, (width // 2, height // 2), (255, 255, 255), cv2.MARKER_CROSS, 9)
    return image
