"""The child's side of devices/sdk/own_process.py: run as a script, by a Python that may have nothing but a vendor's SDK.

    PYTHON -I fed_process.py FEED.py              streams from one
    PYTHON -I fed_process.py FEED.py --cameras    prints those that are connected, as JSON

FEED.py has a function ``feed(config, out)`` that opens the sensor, says with ``out.hello`` what streams it has, and sends packets until the
end, and ``connected()``: what the_one() chooses from. The first line of stdin is the config as JSON; when stdin ends, whoever asked is gone. What is sent goes to stdout, as frames:

    "fdrg", kind u8, stream u8, boot_ns i64, device_ns i64 (-1: none), length u32, bytes        little-endian

boot_ns: by the clock that nobody sets, which is the same in all processes (since_boot_ns; devices/host_clock.py makes host times of it).

What the SDK itself prints goes to stderr. Whatever else gets between the frames is known by its want of the four letters.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

FRAME = struct.Struct("<4sBBqqI")
MARK = b"fdrg"
HELLO, PACKET, LOST, ERROR = range(4)
CAMERAS = "--cameras"
MOTION = struct.Struct("<B3xfff")  # a measurement of a gyroscope or an accelerometer: which, and x, y, z
ANGULAR_RATE, ACCELERATION = 1, 2  # rad/s, m/s^2


class Feed:
    """What a feed sends by. Any thread may."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._sending = threading.Lock()
        self._counting = threading.Lock()
        self._lost: dict[int, int] = {}
        self._numbers: dict[tuple[int, int], int] = {}

    def hello(self, streams: Sequence[Mapping[str, Any]]) -> None:
        """Once, before the first packet. A stream: ``what``, ``encoding``, ``description``."""
        self._send(HELLO, 0, 0, -1, json.dumps(list(streams)).encode())

    def packet(
        self, stream: int, data: bytes, device_ns: int | None, number: int | None = None, series: int = 0
    ) -> None:
        """Bytes as they came just now, and the sensor's own stamp of them.

        number: by the sensor's own count, whose gaps are told as lost; one that runs back counts anew. series: which count, where a
        stream has several.
        """
        if number is not None:
            before = self._numbers.get((stream, series), number)
            self._numbers[stream, series] = number
            self.lost(stream, number - before - 1)
        self._send(PACKET, stream, since_boot_ns(), -1 if device_ns is None else device_ns, data)

    def lost(self, stream: int, count: int) -> None:
        """So many packets are missing from the sensor's numbering."""
        if count > 0:
            with self._counting:
                self._lost[stream] = self._lost.get(stream, 0) + count
                self._send(LOST, stream, 0, -1, str(self._lost[stream]).encode())

    def error(self, message: str) -> None:
        """Why there is nothing more to come, in one line that says what to do."""
        self._send(ERROR, 0, 0, -1, message.encode())

    def _send(self, kind: int, stream: int, boot_ns: int, device_ns: int, data: bytes) -> None:
        with self._sending:
            for part in (FRAME.pack(MARK, kind, stream, boot_ns, device_ns, len(data)), data):
                view = memoryview(part)
                while view:
                    view = view[self._file.write(view) :]


def since_boot_ns() -> int:
    """A clock that nobody sets and that, where the system has such, goes on while the machine sleeps. NTP slews it as it does the wall clock."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boottime is None else time.clock_gettime_ns(boottime)


def sdk(module: str, extra: str) -> Any:
    """A vendor's SDK. Raises RuntimeError where this Python has none."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RuntimeError(
            f"this Python has no {module}; pip install 'fieldrig[{extra}]', or name a Python that has it as python = ... in rig.toml"
        ) from None


def the_one(make: str, cameras: Mapping[str, tuple[str, Any]], serial: str) -> Any:
    """The camera of this serial number, or the only one. cameras: serial number -> name, and what the SDK knows it by. Raises RuntimeError."""
    names = ", ".join(f"{name} {number}" for number, (name, _) in cameras.items()) or "none"
    if serial and serial not in cameras:
        raise RuntimeError(
            f"no {make} camera with serial number {serial}; connected: {names}; check its plug, and use a USB 3 port"
        )
    if not serial and len(cameras) != 1:
        raise RuntimeError(
            f"{len(cameras)} {make} cameras are connected ({names}); give the serial number of one as serial in rig.toml"
        )
    return cameras[serial or next(iter(cameras))][1]


def main() -> None:
    """Runs the feed that the command line names."""
    sys.modules["devices.sdk.fed_process"] = sys.modules[
        __name__
    ]  # feeds import it so, and their Python may have nothing else of fieldrig
    if sys.argv[2:] == [CAMERAS]:
        found = loaded(sys.argv[1]).connected()
        sys.stdout.write(
            json.dumps([{"name": name, "serial_number": number} for number, (name, _) in found.items()]) + "\n"
        )
        return
    out = Feed(os.dup(1))
    os.dup2(2, 1)
    config = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        loaded(sys.argv[1]).feed(config, out)
    except RuntimeError as error:  # what SDKs raise, and feeds to say what to do
        out.error(str(error).replace("\n", "; "))
    except Exception as error:  # a feed's defect is told like a sensor's failure, with its kind
        out.error(f"{type(error).__name__}: {error}".replace("\n", "; "))
    finally:
        os._exit(0)  # SDKs have threads that hang at a normal exit


def loaded(path: str) -> Any:
    """A module from its file, apart from any package: the Python that runs this need not have fieldrig's other parts."""
    spec = importlib.util.spec_from_file_location("feed", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"no feed at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
