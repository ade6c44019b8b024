"""One camera's pictures as H.264 at a constant rate, and how to tell its frames apart."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 16
# Every second frame stands alone, so that a loader reaches any frame by decoding two at most, as lerobot has it. No B-frames:
# frames are stored in the order in which they are shown, and the first one's time is 0. The same bytes each time: one thread, since
# x264's output depends on their number; and no macroblock tree, with which 1 in 300 encodings of the same small pictures came
# out otherwise (it looks ahead no further than the next frame that stands alone, so little is lost).
_OPTIONS = {"preset": "veryfast", "crf": "18", "g": "2", "bf": "0", "threads": "1", "mbtree": "0"}


class VideoWriter:
    """Writes frames i = 0, 1, 2 ... at the times i / rate_hz."""

    def __init__(self, path: Path, rate_hz: int, width_px: int, height_px: int) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = 0
        self._bytes = 0
        self._size = (height_px, width_px)
        self._tick = Fraction(1, rate_hz)
        self._file = av.open(str(path), "w", options={"movflags": "faststart", "fflags": "bitexact"})
        self._stream: Any = self._file.add_stream("libx264", rate=rate_hz, options=_OPTIONS)
        self._stream.width, self._stream.height = width_px, height_px
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._tick
        self._stream.codec_context.time_base = self._tick

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """pixels: (H, W, 3) uint8 RGB, at least as large as the video; what is beyond its size is left out."""
        import av

        height, width = self._size
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        frame.pts, frame.time_base = self.frames, self._tick
        for packet in self._stream.encode(frame):
            self._bytes += packet.size
            self._file.mux(packet)
        self.frames += 1

    @property
    def size_mb(self) -> float:
        """What has been encoded so far; the file itself lags behind."""
        return self._bytes / 2**20

    def close(self) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()


def frames_of(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The time in s and the thumbnail of every frame of a video, in the order in which they are shown."""
    import av

    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            yield float(frame.time or 0.0), thumbnail(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB -> (16, 16) grey: enough to tell a frame from its neighbours, whatever encoding did to it."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
