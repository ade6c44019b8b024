"""The topic /fieldrig/clock: once a second, of each stream, the arrival that waited least, and the clock as it was then known.

The fits of a recording can be read back from it alone, without a packet, and be drawn anew by other means: every sample bears the two
stamps of a packet that waited hardly at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from capture.bag.clock_sample import ClockSample, unpack_clock_sample
from capture.bag.mcap_file import messages_in
from capture.bag.mcap_index import rare_messages
from capture.bag.rosbag import CLOCK_TOPIC
from capture.clock.fit import ClockFit
from capture.errors import CaptureError


def clock_samples(files: Sequence[Path]) -> Iterator[ClockSample]:
    """The samples of a recording's finished files, oldest first; chunks that hold none are not read. Broken ones are passed over."""
    for path in files:
        # Compressed chunks have no place for single messages: they are read whole.
        for message in list(rare_messages(path, CLOCK_TOPIC)) or messages_in(path, [CLOCK_TOPIC]):
            with contextlib.suppress(CaptureError):
                yield unpack_clock_sample(message.data)


def clocks_from_samples(samples: Iterable[ClockSample]) -> Mapping[str, tuple[ClockFit, ...]]:
    """Stream -> its fits as recording.json has them: of each stretch and each minute, the last one."""
    fits: dict[str, dict[tuple[int, int], ClockFit]] = {}
    for sample in samples:
        fits.setdefault(sample.stream, {})[sample.fit.stretch, sample.fit.from_host_ns] = sample.fit
    return {stream: tuple(of_stream.values()) for stream, of_stream in fits.items()}
