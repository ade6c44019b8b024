"""All sensors of a rig open at once for some seconds: what came, how steadily, and whether it decodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from capture.intake import opening_order
from capture.steady import is_steady
from devices.device import ClockSource, Decoder, Source, Stream
from devices.errors import DeviceError, UndecodableError
from devices.host_clock import HOST_CLOCK
from devices.progress import Progress
from devices.rig import Rig, Sensor
from devices.samples import GnssFix, Image, Packet, Sample
from devices.udp.socket import Buffered

_READ_S = 0.1
_END_S = 2.0  # how long a source may take to notice the end
_KEPT_BYTES = 48 << 20  # of each stream, for decoding behind the trial; 1.5 s of the fastest lidar
_BROKEN_SHARE = 0.10
_DECODE_CPU_S = 1.5  # on each stream: enough for a second of pictures or sweeps


def _no_stamps() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class StreamFacts:
    """One stream during a trial. Times are ns; arrays are in the order of arrival.

    arrivals_ns: host stamps of all packets. device_ns, device_arrivals_ns: the stamps of those packets that bore one, and when these came.
    sample_arrivals_ns: when the packet came that completed each sample, of the first packets, of which ``decoded`` were looked at.
    carries_over, rejected: the decoder's; what it passed over before its first sample belongs to what was under way when we came.
    receive_buffer_bytes: what the kernel granted, None where the source is no UDP socket. undecodable: why its packets mean nothing here.
    is_steady: whether it speaks all the time.
    """

    stream: Stream
    driver: str
    yields: type[Sample] | None
    size_bytes: int = 0
    lost: int = 0
    clock_source: ClockSource = ClockSource.NONE
    receive_buffer_bytes: int | None = None
    failure: str = ""
    arrivals_ns: NDArray[np.int64] = field(default_factory=_no_stamps)
    device_ns: NDArray[np.int64] = field(default_factory=_no_stamps)
    device_arrivals_ns: NDArray[np.int64] = field(default_factory=_no_stamps)
    sample_arrivals_ns: NDArray[np.int64] = field(default_factory=_no_stamps)
    decoded: int = 0
    carries_over: bool = False
    rejected: Mapping[str, int] = field(default_factory=dict)
    undecodable: str = ""
    is_steady: bool = True

    @property
    def packets(self) -> int:
        return len(self.arrivals_ns)

    @property
    def awaits_key_frame(self) -> bool:
        """Whether it is video of which nothing can be shown yet: decoding begins at a key frame."""
        return self.yields is Image and self.carries_over and not len(self.sample_arrivals_ns)

    @property
    def awaits_fix(self) -> bool:
        """Whether it is a GNSS receiver whose sentences are whole, but for a few, and tell no place yet."""
        is_whole = self.decoded > 0 and sum(self.rejected.values()) <= _BROKEN_SHARE * self.decoded
        return self.yields is GnssFix and is_whole and not len(self.sample_arrivals_ns)


@dataclass(frozen=True, slots=True)
class Trial:
    """A rig's sensors, heard together. ended_ns: host time. unopened: sensor -> why it could not be opened.

    busy_share: of all cores, by all programs. own_cores: cores that listening alone took.
    """

    duration_s: float
    ended_ns: int
    streams: Sequence[StreamFacts]
    unopened: Mapping[str, str] = field(default_factory=dict)
    busy_share: float = 0.0
    own_cores: float = 0.0

    @property
    def bytes_s(self) -> float:
        return sum(each.size_bytes for each in self.streams) / self.duration_s if self.duration_s else 0.0


def run_trial(rig: Rig, duration_s: float, progress: Progress | None = None) -> Trial:
    """Opens every sensor that can be opened, listens to all for duration_s, then decodes the first part of what came."""
    import psutil

    say = progress or (lambda _what, _share: None)
    say("opening the sensors", 0.0)
    listeners, unopened = _open_all(rig)
    try:
        psutil.cpu_percent()  # begins its interval
        started_s, own_s = time.monotonic(), time.process_time()
        for listener in listeners:
            listener.start()
        while (passed_s := time.monotonic() - started_s) < duration_s:
            say(f"listening to {len(rig.sensors) - len(unopened)} sensors", passed_s / duration_s)
            time.sleep(min(_READ_S, duration_s - passed_s))
        for listener in listeners:
            listener.halt.set()
        for listener in listeners:
            listener.join(_END_S)
        ended_ns, heard_s = HOST_CLOCK.now_ns(), time.monotonic() - started_s
        busy, own_cores = psutil.cpu_percent() / 100, (time.process_time() - own_s) / heard_s
        heard = [listener.facts() for listener in listeners]
    finally:
        for listener in listeners:
            listener.source.close()
    facts = []
    for number, (listener, each) in enumerate(zip(listeners, heard, strict=True)):
        say(f"decoding {each.stream.name}", number / len(heard))
        facts.append(_with_samples(each, listener.sensor, listener.kept))
        listener.kept.clear()
    return Trial(heard_s, ended_ns, tuple(facts), unopened, busy, own_cores)


def _open_all(rig: Rig) -> tuple[list[_Listener], dict[str, str]]:
    """In the order of the recorder, but that a sensor which cannot be opened stops no other."""
    opened: dict[str, Sequence[Source]] = {}
    unopened: dict[str, str] = {}
    for sensor in opening_order(rig):
        try:
            opened[sensor.name] = sensor.loaded_driver().open(sensor.name, sensor.config())
        except DeviceError as error:
            unopened[sensor.name] = str(error)
        except Exception as error:  # a driver's defect must not hide what the other sensors do
            unopened[sensor.name] = f"{sensor.name}: its driver failed: {type(error).__name__}: {error}"
    in_order = [(rig.sensors[name], source) for name in rig.sensors for source in opened.get(name, ())]
    return [_Listener(sensor, source, is_steady(rig, source.stream)) for sensor, source in in_order], unopened


class _Listener(threading.Thread):
    """Reads one source until halted, and keeps its stamps and its first packets."""

    def __init__(self, sensor: Sensor, source: Source, is_steady: bool) -> None:
        super().__init__(name=f"fieldrig-preflight-{source.stream.name}", daemon=True)
        self.sensor = sensor
        self.source = source
        self._is_steady = is_steady
        self.kept: list[Packet] = []
        self.halt = threading.Event()
        self._kept_bytes = 0
        self._size_bytes = 0
        self._arrivals: list[int] = []
        self._stamped: list[tuple[int, int]] = []
        self._failure = ""

    def run(self) -> None:
        try:
            while not self.halt.is_set():
                for packet in self.source.read(_READ_S):
                    self._note(packet)
        except EOFError:
            pass
        except DeviceError as error:
            self._failure = str(error)
        except Exception as error:  # a driver's defect must not end its thread in silence
            self._failure = f"{self.source.stream.name}: its driver failed: {type(error).__name__}: {error}"

    def _note(self, packet: Packet) -> None:
        self._arrivals.append(packet.stamps.host_ns)
        self._size_bytes += len(packet.data)
        if packet.stamps.device_ns is not None:
            self._stamped.append((packet.stamps.device_ns, packet.stamps.host_ns))
        if self._kept_bytes < _KEPT_BYTES:
            self.kept.append(packet)
            self._kept_bytes += len(packet.data)

    def facts(self) -> StreamFacts:
        stamped = np.array(self._stamped, dtype=np.int64).reshape(-1, 2)
        stream, source = self.source.stream, self.source
        return StreamFacts(
            stream=stream,
            driver=self.sensor.driver,
            yields=self.sensor.loaded_driver().yields.get(stream.encoding),
            size_bytes=self._size_bytes,
            lost=source.lost,
            clock_source=source.clock_source,
            receive_buffer_bytes=source.receive_buffer_bytes if isinstance(source, Buffered) else None,
            failure=self._failure,
            is_steady=self._is_steady,
            arrivals_ns=np.array(self._arrivals, dtype=np.int64),
            device_ns=stamped[:, 0],
            device_arrivals_ns=stamped[:, 1],
        )


def _with_samples(facts: StreamFacts, sensor: Sensor, kept: Sequence[Packet]) -> StreamFacts:
    """Decoded as far as the processor time for it goes."""
    try:
        return _decoded(facts, sensor.loaded_driver().decoder(facts.stream), kept)
    except UndecodableError as error:
        return replace(facts, undecodable=str(error))
    except DeviceError as error:
        return replace(facts, failure=facts.failure or str(error))
    except Exception as error:  # a decoder's defect must not hide what the other sensors do
        failure = f"{facts.stream.name}: its decoder failed: {type(error).__name__}: {error}; report this"
        return replace(facts, failure=facts.failure or failure)


def _decoded(facts: StreamFacts, decoder: Decoder, kept: Sequence[Packet]) -> StreamFacts:
    arrivals: list[int] = []
    before: dict[str, int] = {}
    decoded, until_s = 0, time.thread_time() + _DECODE_CPU_S
    for packet in kept:
        if time.thread_time() > until_s:
            break
        made = [packet.stamps.host_ns for _ in decoder.decode(packet)]
        decoded += 1
        if made and not arrivals and decoder.carries_over:
            before = dict(decoder.rejected)
        arrivals += made
    rejected = {reason: count - before.get(reason, 0) for reason, count in decoder.rejected.items()}
    return replace(
        facts,
        decoded=decoded,
        carries_over=decoder.carries_over,
        rejected={reason: count for reason, count in rejected.items() if count},
        sample_arrivals_ns=np.array(arrivals, dtype=np.int64),
    )
