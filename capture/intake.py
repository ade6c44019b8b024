"""From a rig's sensors to the queue: a thread a stream, and sensors that come back by themselves after they were gone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence

from capture.inlet import WAITED_NS, Inlet
from capture.interruptions import interruptions_of
from capture.packet_queue import PacketQueue
from capture.recording_info import Interruption, Pause
from capture.redescription import redescribed_in_words
from capture.rest import rest_ns
from capture.steady import is_steady
from capture.stretch import Stretch
from devices.device import Source
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK, since_boot_ns
from devices.rig import Rig, Sensor

READ_TIMEOUT_S = 0.1
REOPEN_S = 1.0  # between two tries to reach a sensor that is gone


class Connection:
    """One sensor's sources, opened together, and opened anew together when one of them is gone."""

    def __init__(self, sensor: Sensor, inlets: Sequence[Inlet], halt: threading.Event) -> None:
        self.sensor = sensor
        self.inlets = inlets
        self.interruptions: list[Interruption] = []  # in boot time: they may last while host time is anchored anew
        self._halt = halt
        self._renewing = threading.Lock()
        self._generation = 0
        self._described: Mapping[str, str] = {}  # as its streams were before it went
        self._received = -1  # when it came back

    def read(self, inlet: Inlet, queue: PacketQueue, halt: threading.Event) -> None:
        """One of the sensor's streams, until halted or the sensor's last word."""
        while not halt.is_set():
            generation = self._generation
            if inlet.failure:  # another stream's thread is opening the sensor anew
                halt.wait(READ_TIMEOUT_S)
                continue
            try:
                _read(inlet, queue, halt)
            except EOFError:
                if self._generation == generation and not inlet.failure:
                    inlet.finished = True
                    return
            except Exception as error:  # a driver's defect must not end its thread in silence
                self._renew(generation, _in_words(inlet.stream.name, error))

    @property
    def due(self) -> list[Inlet]:
        """Streams that ought to speak: one that has never spoken need not while others of the sensor do."""
        steady = [inlet for inlet in self.inlets if inlet.is_steady]
        return [inlet for inlet in steady if inlet.received] or steady

    def silences_in(self, span: Stretch) -> dict[str, list[Stretch]]:
        """Of each stream that ought to speak."""
        return {inlet.stream.name: inlet.silences_in(span) for inlet in self.due}

    def _renew(self, seen: int, why: str) -> None:
        """Opens the sensor anew, for as long as it takes or until halted. seen: the generation of the source that failed."""
        with self._renewing:
            if seen != self._generation or self._halt.is_set():
                return  # another stream's thread has done it meanwhile
            self._say(why)  # first: whoever sees the next generation, and no failure, has its source
            self._generation += 1
            self._begin_interruption(why)
            for inlet in self.inlets:
                with contextlib.suppress(Exception):  # it is gone already; what it says of it ends nothing
                    inlet.source.close()
            while not self._halt.wait(REOPEN_S):
                if self._opened_anew():
                    return

    def _begin_interruption(self, why: str) -> None:
        """One that comes soon after the last, and before a word was said, goes on with it."""
        now_ns = since_boot_ns()
        last = self.interruptions[-1] if self.interruptions else None
        soon_ns = min(inlet.silent_ns for inlet in self.inlets)
        if last and last.to_ns is not None and now_ns - last.to_ns < soon_ns and self._received == self._heard:
            again = {"to_ns": None, "why": why, "times": last.times + 1}
            self.interruptions[-1] = last.model_copy(update=again)
            return
        self._described = {inlet.stream.name: inlet.stream.description for inlet in self.inlets}
        self.interruptions.append(Interruption(sensor=self.sensor.name, from_ns=now_ns, to_ns=None, why=why))

    @property
    def _heard(self) -> int:
        return sum(inlet.received for inlet in self.inlets)

    def _opened_anew(self) -> bool:
        try:
            sources = self.sensor.loaded_driver().open(self.sensor.name, self.sensor.config())
        except Exception as error:  # a driver's defect ends no recording either
            why, _, _ = self.interruptions[-1].why.partition("; ")  # what to do is said by what fails now
            again = _in_words(self.sensor.name, error)
            whose, _, fails = again.partition(": ")
            is_said = whose.partition("/")[0] == self.sensor.name
            self._say(f"{why}; opening it anew fails: {fails if is_said else again}")
            return False
        by_name = {source.stream.name: source for source in sources}
        came = {name: source.stream.encoding for name, source in by_name.items()}
        if came != {inlet.stream.name: inlet.stream.encoding for inlet in self.inlets}:
            for source in sources:
                source.close()
            streams = ", ".join(f"{name} as {encoding}" for name, encoding in came.items())
            self._say(
                f"{self.sensor.name} came back with other streams ({streams}); end this recorder and start it anew"
            )
            return False
        after = {name: source.stream.description for name, source in by_name.items()}
        over = {
            "to_ns": since_boot_ns(),
            "changed": self._changed_in_words(after),
            "described": {name: text for name, text in after.items() if text != self._described[name]},
        }
        self._received = self._heard
        for inlet in self.inlets:
            inlet.renew(by_name[inlet.stream.name])
        self.interruptions[-1] = self.interruptions[-1].model_copy(update=over)
        return True

    def _changed_in_words(self, after: Mapping[str, str]) -> str:
        try:
            return redescribed_in_words(self._described, after)
        except Exception as error:  # a defect there must not cost the sensor its streams
            untold = f"what differs in what {self.sensor.name} says of itself since could not be told"
            return f"{untold}: {type(error).__name__}: {error}"

    def _say(self, failure: str) -> None:
        for inlet in self.inlets:
            inlet.failure = failure


class Intake:
    """A rig's sensors while they are open. Once started, everything that they send lies in ``queue`` soon afterwards.

    ``inlets`` stand in the rig's order, those of ``own`` sources (the recorder's own marks) behind them. silent_s: how long a sensor may say
    nothing before that is an alarm, unless it is known to speak more seldom.
    Raises DeviceError when a sensor cannot be reached, and leaves nothing open then.
    """

    def __init__(self, rig: Rig, queue_bytes: int, own: Sequence[Source] = (), silent_s: float = 5.0) -> None:
        self.queue = PacketQueue(queue_bytes)
        self._halt = threading.Event()
        self.inlets = open_inlets(rig, own)
        for inlet in self.inlets:
            inlet.rest_ns = rest_ns(rig, inlet.stream)
            inlet.silent_ns = max(round(silent_s * 1e9), inlet.rest_ns)
            inlet.is_steady = is_steady(rig, inlet.stream)
        by_sensor = {name: [inlet for inlet in self.inlets if inlet.stream.sensor == name] for name in rig.sensors}
        self.connections = [Connection(rig.sensors[name], inlets, self._halt) for name, inlets in by_sensor.items()]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for connection in self.connections:
            for inlet in connection.inlets:
                self._begin(inlet, connection.read)
        for inlet in self.inlets[len(self.sensor_inlets) :]:
            self._begin(inlet, _read_own)

    def _begin(self, inlet: Inlet, read: Callable[[Inlet, PacketQueue, threading.Event], None]) -> None:
        name = f"fieldrig-{inlet.stream.name}"
        thread = threading.Thread(target=read, args=(inlet, self.queue, self._halt), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def sensor_inlets(self) -> list[Inlet]:
        return [inlet for connection in self.connections for inlet in connection.inlets]

    @property
    def finished(self) -> bool:
        """Whether every sensor has said its last word."""
        return all(inlet.finished for inlet in self.sensor_inlets)

    def interruptions(
        self, since_ns: int, until_ns: int | None = None, pauses: Sequence[Pause] = ()
    ) -> tuple[Interruption, ...]:
        """Sensors, or streams of them, from which nothing came in a part of that time; until_ns None: now. Not in a pause, nor for a moment."""
        span = Stretch(since_ns, until_ns or HOST_CLOCK.now_ns())
        paused = [Stretch(each.from_ns, each.to_ns or span.to_ns) for each in pauses]
        return tuple(
            found
            for each in self.connections
            for found in interruptions_of(
                each.sensor.name,
                each.silences_in(span),
                map(_in_host_time, each.interruptions),
                paused,
                span,
                min(inlet.unusual_ns() for inlet in each.inlets),
            )
        )

    def close(self) -> None:
        self._halt.set()
        for inlet in self.inlets:
            inlet.source.close()
        for thread in self._threads:
            thread.join()
        for inlet in self.inlets:
            inlet.source.close()  # of a sensor that came back meanwhile
        self.queue.close()


def opening_order(rig: Rig) -> list[Sensor]:
    """Those that we call (they have a URL) are called after those that call us are listened for: a sensor may begin to send on all
    ports once it has been called.
    """
    return sorted(rig.sensors.values(), key=lambda each: "url" in each.own)


def open_inlets(rig: Rig, own: Sequence[Source] = ()) -> list[Inlet]:
    """Connects to every sensor of the rig; inlets stand in the rig's order. Raises DeviceError, and leaves nothing open then."""
    opened: dict[str, Sequence[Source]] = {}
    try:
        for sensor in opening_order(rig):
            opened[sensor.name] = sensor.loaded_driver().open(sensor.name, sensor.config())
    except BaseException:
        for sources in opened.values():
            for source in sources:
                source.close()
        raise
    in_order = [source for name in rig.sensors for source in opened[name]]
    return [Inlet(index, source) for index, source in enumerate([*in_order, *own])]


def _in_host_time(each: Interruption) -> Interruption:
    to_ns = None if each.to_ns is None else HOST_CLOCK.of_boot(each.to_ns)
    return each.model_copy(update={"from_ns": HOST_CLOCK.of_boot(each.from_ns), "to_ns": to_ns})


def _read(inlet: Inlet, queue: PacketQueue, halt: threading.Event) -> None:
    """Until halted; EOFError or DeviceError when the source ends or fails."""
    source = inlet.source
    while not halt.is_set():
        began_ns = HOST_CLOCK.now_ns()
        packets = source.read(READ_TIMEOUT_S)
        if packets:
            inlet.is_played = packets[-1].stamps.host_ns < HOST_CLOCK.now_ns() - WAITED_NS
            queue.put(inlet, packets)
            inlet.catch_up(packets[-1].stamps.host_ns)
        else:
            inlet.catch_up(began_ns)


def _read_own(inlet: Inlet, queue: PacketQueue, halt: threading.Event) -> None:
    with contextlib.suppress(EOFError):
        _read(inlet, queue, halt)


def _in_words(name: str, error: Exception) -> str:
    if isinstance(error, DeviceError):
        return str(error)
    return f"{name}: its driver failed: {type(error).__name__}: {error}"
