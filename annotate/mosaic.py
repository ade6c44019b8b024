"""All cameras of a frame as one picture: one toolbar and one control on the screen instead of one a camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from annotate.labels import Cuboid
    from calibration.calibration import Calibration

_WIDEST_PX = 1120  # of one camera's tile
_GAP_PX = 4


def mosaic(
    pictures: Mapping[str, NDArray[np.uint8]], cuboids: Sequence[Cuboid], lidar: str, calibration: Calibration
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: a named tile a camera, the cuboids (in the lidar's frame) drawn on each as wires.

    A frame without any picture gives one black tile that says so.
    """
    tiles = [_tile(name, pictures[name], cuboids, lidar, calibration) for name in sorted(pictures)]
    if not tiles:
        tiles = [_named(np.zeros((360, 640, 3), dtype=np.uint8), "no camera at this instant")]
    width, height = max(tile.shape[1] for tile in tiles), max(tile.shape[0] for tile in tiles)
    columns = _columns(len(tiles), width, height)
    rows = -(-len(tiles) // columns)
    whole = np.zeros((rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3), dtype=np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + _GAP_PX), k % columns * (width + _GAP_PX)
        whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return _at_least_wide(whole)


def _at_least_wide(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarged where it is smaller than its place on the screen: Label Studio cuts off the edges of what it must enlarge."""
    import cv2

    height, width = picture.shape[:2]
    if width >= _WIDEST_PX:
        return picture
    size = (_WIDEST_PX, round(height * _WIDEST_PX / width))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _tile(
    name: str, picture: NDArray[np.uint8], cuboids: Sequence[Cuboid], lidar: str, calibration: Calibration
) -> NDArray[np.uint8]:
    import cv2

    drawn = picture
    if name in calibration.cameras and name in calibration.mounts:
        from calibration.overlay import draw_cuboids

        drawn = draw_cuboids(picture, calibration.camera(name), calibration.between(name, lidar), cuboids)
    height, width = drawn.shape[:2]
    if width > _WIDEST_PX:
        size = (_WIDEST_PX, round(height * _WIDEST_PX / width))
        drawn = np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return _named(np.array(drawn), name)


def _named(tile: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    import cv2

    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(tile, name, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, thickness, cv2.LINE_AA)
    return tile


def _columns(tiles: int, width: int, height: int) -> int:
    """As many as let the tiles be largest in a square, which is the room that the screen has."""
    sizes = {
        columns: min(1 / (columns * width), 1 / (-(-tiles // columns) * height)) for columns in range(1, tiles + 1)
    }
    return max(sizes, key=lambda columns: sizes[columns])
