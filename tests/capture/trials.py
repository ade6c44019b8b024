"""Trials as preflight measures them, made up: streams of pictures that all arrived in time, and what a test changes about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from capture.preflight.finding import Finding
from capture.preflight.trial import StreamFacts, Trial
from devices.device import ClockSource, Stream
from devices.rig import Rig, rig_from_dict
from devices.samples import Image

MB = 1_000_000
END_NS, DURATION_S = 1_790_000_005_000_000_000, 5.0


def stamps(hz: float, start_s: float = 0.0, stop_s: float = DURATION_S) -> np.ndarray:
    """Evenly spaced host stamps within a trial."""
    begun_ns = END_NS - round((DURATION_S - start_s) * 1e9)
    return begun_ns + np.round(np.arange(round((stop_s - start_s) * hz)) * 1e9 / hz).astype(np.int64)


def facts(hz: float = 30.0, name: str = "camera/image", **changes: Any) -> StreamFacts:
    """A stream of pictures that all arrived in time and decode, a second after they were taken by the camera's clock."""
    arrivals = changes.pop("arrivals_ns", stamps(hz))
    whole = StreamFacts(
        stream=Stream(name, "jpeg", changes.pop("description", "")),
        driver="mjpeg",
        yields=Image,
        size_bytes=len(arrivals) * 100_000,
        clock_source=ClockSource.FREE,
        arrivals_ns=arrivals,
        device_ns=arrivals - 1_000_000_000,
        device_arrivals_ns=arrivals,
        sample_arrivals_ns=arrivals,
        decoded=len(arrivals),
    )
    return replace(whole, **changes)


def silent(**changes: Any) -> StreamFacts:
    none = np.empty(0, dtype=np.int64)
    return facts(arrivals_ns=none, **changes)


def trial(*streams: StreamFacts, **changes: Any) -> Trial:
    return replace(Trial(DURATION_S, END_NS, streams), **changes)


def rig_expecting(rate_hz: float | None = None) -> Rig:
    camera = {"driver": "mjpeg", "url": "http://127.0.0.1:1/"} | ({} if rate_hz is None else {"rate_hz": rate_hz})
    return rig_from_dict({"name": "bench", "sensors": {"camera": camera}})


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]
