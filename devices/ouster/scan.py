"""One turn of an Ouster lidar as an image of rows x columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.ouster.profiles import Profile

FASTEST_TURN_NS, SLOWEST_TURN_NS = 40_000_000, 250_000_000  # 20 and 5 turns a second, with room


@dataclass(frozen=True, slots=True, eq=False)
class OusterScan:
    """What arrived of one turn. Rows are beams, the highest first; columns are measurement ids; nothing is destaggered.

    words: (columns, rows, words a pixel) uint32, zero where nothing arrived. column_t_ns: (columns,) uint64, the sensor's clock.
    status: (columns,) uint32, 0 where nothing valid arrived. window: the columns that the sensor sends.
    """

    frame_id: int
    profile: Profile
    words: NDArray[np.uint32]
    column_t_ns: NDArray[np.uint64]
    status: NDArray[np.uint32]
    window: NDArray[np.int64]

    @property
    def arrived(self) -> NDArray[np.int64]:
        """The valid columns, in the order of their measurement: where the window wraps, a turn may begin with it or with column 0."""
        valid = self.window[self.status[self.window] != 0]
        return np.asarray(valid[np.argsort(self.column_t_ns[valid], kind="stable")], dtype=np.int64)
