"""When each channel of a Hesai lidar fires, before or after the stamp of its packet.

Sources: Hesai's user manuals and the fire-time files of HesaiLidar_SDK_2.0. None was checked on a sensor. Public drivers disagree: on the QT64 one has
every channel 10 us later; on the XT32 one has the first channel at 5.6 us where the SDK has 6; on a QT128's single returns one
takes the first block for loop 1 whatever the flag says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_US_40P = (
    42.22, 28.47, 16.04, 3.62, 45.49, 31.74, 47.46, 54.67, 20.62, 33.71, 40.91, 8.19, 20.62, 27.16, 50.73, 8.19, 14.74, 36.98,
    45.49, 52.7, 23.89, 31.74, 38.95, 11.47, 18.65, 25.19, 48.76, 6.23, 12.77, 35.01, 21.92, 9.5, 43.52, 29.77, 17.35, 4.92,
    42.22, 28.47, 16.04, 3.62,
)  # fmt: skip
_US_64 = (
    23.18, 21.876, 20.572, 19.268, 17.964, 16.66, 11.444, 46.796, 7.532, 36.956, 50.732, 54.668, 40.892, 44.828, 31.052, 34.988,
    48.764, 52.7, 38.924, 42.86, 29.084, 33.02, 46.796, 25.148, 36.956, 50.732, 27.116, 40.892, 44.828, 31.052, 34.988, 48.764,
    25.148, 38.924, 42.86, 29.084, 33.02, 52.7, 6.228, 54.668, 15.356, 27.116, 10.14, 23.18, 4.924, 21.876, 14.052, 17.964,
    8.836, 19.268, 3.62, 20.572, 12.748, 16.66, 7.532, 11.444, 6.228, 15.356, 10.14, 4.924, 3.62, 14.052, 8.836, 12.748,
)  # fmt: skip
_US_QT64_GROUP = (2.31, 19.16, 36.61, 53.45, 70.9, 87.75, 105.2, 122.05)
_US_QT64_WITHIN = (0, 2.06, 4.12, 6.18, 8.23, 10.29, 12.35, 14.4)


def firing_ns(model: str, blocks: int, returns: int) -> NDArray[np.int64]:
    """(2, blocks, channels) ns after the packet's stamp, by the QT128's flag (the same twice for the others)."""
    block = np.arange(blocks) // returns  # blocks of one firing share its time
    back = (blocks - 1 - np.arange(blocks)) // returns
    times = _TIMES[model](block.astype(np.float64), back.astype(np.float64))
    return np.rint(np.broadcast_to(times, (2, *times.shape[-2:])) * 1000).astype(np.int64)


def _added(block_us: Array, channel_us: Array) -> Array:
    return block_us[:, None] + channel_us[None, :]


def _qt64(block: Array, _: Array) -> Array:
    channel = (np.array(_US_QT64_GROUP)[:, None] + np.array(_US_QT64_WITHIN)[None, :]).reshape(-1)
    return _added(25.71 + 166.67 * block, channel)


def _qt128(block: Array, _: Array) -> Array:
    """Two loops take turns; a quarter of the channels rests in each."""
    loops = _qt128_loops_us()
    start = 9 + 111.11 * block
    return np.stack([start[:, None] + loops[(flag + block.astype(int) + 1) % 2] for flag in (0, 1)])


# Within a loop four channels fire 25.344 us apart, the next four 3.168 us after those, and so on through 32; by the order of the four.
_QT128_ORDERS = {"a": ((0, 3, 1, 2), (2, 1, 3, 0)), "b": ((1, 2, 0, 3), (3, 0, 2, 1))}
_QT128_LOOPS = (
    (None, (2.312, "b"), (1.456, "a"), (0.6, "b")),
    ((2.312, "a"), None, (0.6, "a"), (1.456, "b")),
)


def _qt128_loops_us() -> Array:
    """(2, 128); 0 where a channel does not fire."""
    us = np.zeros((2, 4, 8, 4))
    for loop, quarters in enumerate(_QT128_LOOPS):
        for quarter, said in enumerate(quarters):
            if said is not None:
                for four in range(8):
                    us[loop, quarter, four] = (
                        said[0] + 3.168 * four + 25.344 * np.array(_QT128_ORDERS[said[1]][four % 2])
                    )
    return us.reshape(2, 128)


_TIMES: Mapping[str, Callable[[Array, Array], Array]] = {
    "Pandar40P": lambda _, back: _added(-28.58 - 55.56 * back, -np.array(_US_40P)),
    "Pandar64": lambda _, back: _added(-42.58 - 55.56 * back, -np.array(_US_64)),
    "QT64": _qt64,
    "QT128": _qt128,
    "XT16": lambda _, back: _added(-50 * back, 6 + 3.024 * np.arange(16)),
    "XT32": lambda _, back: _added(-50 * back, 6 + 1.512 * np.arange(32)),
    "XT32M": lambda _, back: _added(-50 * back, 6 + 2.888 * (np.arange(32) % 16)),
}
