"""Sensors whose vendor's SDK runs in a process of its own: when it crashes, the recorder does not.

What the process says is described in devices/sdk/fed_process.py. When it ends, by whatever cause, its sources raise DeviceError; whoever
records opens the sensor anew, which starts a fresh process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from devices.cameras.picture import is_whole
from devices.device import ClockSource, Source, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps
from devices.sdk import fed_process

_START_S = 30.0  # a camera that boots its firmware over USB takes 10 s
_END_S = 3.0
_WAITING_BYTES_MAX = 256 << 20  # what nobody has taken yet, of all streams
_LAST_WORDS = 6  # lines of stderr that are kept, for the message when it dies


def open_in_own_process(
    sensor: str, feed: Path, config: Mapping[str, Any], python: str = "", clock_source: ClockSource = ClockSource.FREE
) -> Sequence[Source]:
    """The sources of the sensor that ``feed`` opens. python: the one that has the SDK, this one when empty.

    Raises DeviceError when the process cannot open the sensor, with what it said.
    """
    process = OwnProcess(sensor, feed, config, python or sys.executable)
    return [ProcessSource(process, index, stream, clock_source) for index, stream in enumerate(process.streams)]


class OwnProcess:
    """A running feed. streams: what it said that it sends."""

    def __init__(self, sensor: str, feed: Path, config: Mapping[str, Any], python: str) -> None:
        self._sensor = sensor
        self.streams: Sequence[Stream] = ()
        self.changed = threading.Condition()
        self.failure: DeviceError | None = None
        self._waiting: dict[int, deque[Packet]] = {}
        self._waiting_bytes = 0
        self._lost: dict[int, int] = {}
        self._overrun: dict[int, int] = {}
        self._open: set[int] = set()
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        pipe = subprocess.PIPE
        words = [python, "-I", fed_process.__file__, str(feed)]
        try:
            self._process = process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise DeviceError(f"{sensor}: cannot start {python}: {error}; correct 'python' in rig.toml") from None
        self._stdin, self._stdout, self._stderr = (
            cast("IO[bytes]", each) for each in (process.stdin, process.stdout, process.stderr)
        )
        self._overhearing = threading.Thread(target=self._overhear, daemon=True)
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._overhearing.start()  # first: the listener waits for its last words
        self._listening.start()
        self._begin(config)

    def take(self, index: int, timeout_s: float) -> list[Packet]:
        """What has come of a stream. Raises DeviceError when the process has ended and nothing is left, EOFError once closed."""
        with self.changed:
            waiting = self._waiting[index]
            self.changed.wait_for(lambda: waiting or self.failure or index not in self._open, timeout_s)
            if index not in self._open:
                raise EOFError(f"{self.streams[index].name} was closed")
            if self.failure and not waiting:
                raise self.failure
            packets = list(waiting)
            waiting.clear()
            self._waiting_bytes -= sum(len(packet.data) for packet in packets)
            return packets

    def lost(self, index: int) -> int:
        return self._lost.get(index, 0) + self._overrun.get(index, 0)

    def close(self, index: int) -> None:
        """A stream is not wanted any more; with the last one the process ends."""
        with self.changed:
            self._open.discard(index)
            self.changed.notify_all()
            if self._open:
                return
        self._end()

    def _begin(self, config: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it has ended already; the listener knows why
            self._stdin.write(json.dumps(config).encode() + b"\n")
            self._stdin.flush()
        with self.changed:
            self.changed.wait_for(lambda: self.streams or self.failure, _START_S)
            failure = self.failure
        if not self.streams:
            self._end()
            raise failure or DeviceError(
                f"{self._sensor}: its SDK has not opened it within {_START_S:.0f} s; unplug it and plug it in again"
            )

    def _listen(self) -> None:
        try:
            while frame := _frame(self._stdout):
                self._hear(*frame)
        except EOFError:
            pass  # it died in the middle of a packet
        except (ValueError, LookupError, TypeError) as error:
            self._give_up(
                f"the process of its SDK sends what makes no sense: {error}; see that 'python' in rig.toml prints nothing by itself"
            )
        finally:
            self._process.wait()
            self._overhearing.join(_END_S)
            with self.changed:
                self.failure = self.failure or DeviceError(f"{self._sensor}: the process of its SDK {self._ending()}")
                self.changed.notify_all()

    def _hear(self, kind: int, stream: int, stamps: Stamps, data: bytes) -> None:
        with self.changed:
            if kind == fed_process.HELLO:
                said = json.loads(data)
                self._waiting = {index: deque() for index in range(len(said))}
                self._open = set(self._waiting)
                self.streams = [
                    Stream(f"{self._sensor}/{each['what']}", each["encoding"], each["description"]) for each in said
                ]
            elif kind == fed_process.PACKET:
                self._keep(stream, Packet(self.streams[stream].name, stamps, data))
            elif kind == fed_process.LOST:
                self._lost[stream] = int(data)
            elif kind == fed_process.ERROR:
                self.failure = DeviceError(f"{self._sensor}: {data.decode('utf-8', 'replace')}")
            else:
                raise ValueError(f"a frame of kind {kind}")
            self.changed.notify_all()

    def _give_up(self, why: str) -> None:
        with self.changed:
            self.failure = self.failure or DeviceError(f"{self._sensor}: {why}")
            self.changed.notify_all()
        self._process.kill()

    def _keep(self, stream: int, packet: Packet) -> None:
        if self._waiting_bytes + len(packet.data) > _WAITING_BYTES_MAX:
            self._overrun[stream] = self._overrun.get(stream, 0) + 1
        elif stream in self._open:
            self._waiting_bytes += len(packet.data)
            self._waiting[stream].append(packet)

    def _overhear(self) -> None:
        for line in self._stderr:
            if text := line.decode("utf-8", "replace").strip():
                self._last_words.append(text)

    def _ending(self) -> str:
        code = self._process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{how}: {self._last_words[-1]}" if self._last_words else how

    def _end(self) -> None:
        """Asks by closing its stdin; ends it when it does not listen."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listening.join(_END_S)
        self._overhearing.join(_END_S)
        self._stdout.close()
        self._stderr.close()


class ProcessSource:
    """One stream of a sensor whose SDK runs in a process of its own."""

    def __init__(self, process: OwnProcess, index: int, stream: Stream, clock_source: ClockSource) -> None:
        self._process, self._index, self._stream, self._clock_source = process, index, stream, clock_source
        self._is_stamped = False
        self._broken = 0

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        packets = self._process.take(self._index, timeout_s)
        if packets:
            self._is_stamped = packets[-1].stamps.device_ns is not None
        if self._stream.encoding == "jpeg":
            self._broken += sum(not is_whole(packet.data) for packet in packets)
        return packets

    @property
    def lost(self) -> int:
        """Packets missing from the sensor's numbering, and those that nobody took in time."""
        return self._process.lost(self._index)

    @property
    def rejected(self) -> Mapping[str, int]:
        return {"a picture without its start or end": self._broken} if self._broken else {}

    @property
    def clock_source(self) -> ClockSource:
        return self._clock_source if self._is_stamped else ClockSource.NONE

    def close(self) -> None:
        self._process.close(self._index)


def connected(feed: Path, timeout_s: float) -> list[dict[str, str]]:
    """What a feed, run by this Python, prints as JSON: the sensors that its SDK sees; empty where there is no SDK."""
    words = [sys.executable, "-I", fed_process.__file__, str(feed), fed_process.CAMERAS]
    try:
        result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=True)
        found: list[dict[str, str]] = json.loads(result.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []
    return found


def _frame(pipe: IO[bytes]) -> tuple[int, int, Stamps, bytes] | None:
    """Kind, stream, stamps and bytes of the next frame; None where the stream has ended. Raises EOFError within one, ValueError on what is none."""
    head = pipe.read(fed_process.FRAME.size)
    if not head:
        return None
    if len(head) < fed_process.FRAME.size:
        raise EOFError
    mark, kind, stream, boot_ns, device_ns, length = fed_process.FRAME.unpack(head)
    if mark != fed_process.MARK or length > _WAITING_BYTES_MAX:
        raise ValueError(f"{head!r} is no frame")
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return kind, stream, Stamps(HOST_CLOCK.of_boot(boot_ns), None if device_ns < 0 else device_ns), data
