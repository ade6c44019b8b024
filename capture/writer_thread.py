"""The one thread that empties the queue: into a recording, into memory, or into nothing, as the crew has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from capture.clock.stamper import Stamper
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.packet_queue import PacketQueue, Queued
from capture.tap import Tap
from devices.host_clock import HOST_CLOCK

DRAIN_S = 0.5  # how long a source may still hand over what had arrived when one sink took over from another
_CHORES_A_TURN = 256


class Sink(Protocol):
    """Where packets go."""

    def take(self, queued: Queued, stamp_ns: int) -> None: ...

    def tend(self) -> float:
        """Does what is due; returns in how many seconds something is due again."""
        ...


class Nowhere:
    """Standby: sensors are heard and clocks followed, nothing is kept."""

    def take(self, queued: Queued, stamp_ns: int) -> None: ...

    def tend(self) -> float:
        return 1.0


@dataclass(slots=True)
class _Switch:
    """From at_ns on, by host arrival, packets go to ``sink``; the one before still gets what had arrived earlier.

    at_ns is the instant at which the writing thread takes notice: nothing that it has passed on by then can have arrived later.
    """

    sink: Sink
    noticed: Callable[[int], None]
    at_ns: int = 0
    deadline_s: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)


class WriterThread:
    """Empties the queue until it is closed. switch() says where to.

    failure: a defect that it has met since somebody emptied it, in one line; unshown: one that spoils a preview only; trouble: the one that
    has ended it. Empty when there is none.
    """

    def __init__(self, queue: PacketQueue, inlets: Sequence[Inlet], stamper: Stamper, tap: Tap, sink: Sink) -> None:
        self.failure = ""
        self.unshown = ""
        self.trouble = ""
        self._queue = queue
        self._inlets = inlets
        self._stamper = stamper
        self._tap = tap
        self._sink = sink
        self._batch: Iterator[Queued] = iter(())
        self._switch: _Switch | None = None
        self._chore: Callable[[], bool] | None = None
        self._chore_done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def switch(self, sink: Sink, noticed: Callable[[int], None] = lambda _at_ns: None) -> int:
        """Gives packets to another sink from now on; returns since which host arrival, ns.

        Returns once the sink so far has got everything that had arrived before; nobody calls it from then on. noticed: called by the
        thread with that instant, when every inlet's border has just been drawn; it must not wait. Before the thread is started no border
        is drawn: what waits in the sockets belongs to whoever is first. Raises CaptureError when the thread has ended.
        """
        if self._thread.ident is None:
            self._sink, at_ns = sink, HOST_CLOCK.now_ns()
            noticed(at_ns)
            return at_ns
        self._switch = switch = _Switch(sink, noticed)
        if not self._has_done(switch.done):
            raise CaptureError(self.trouble or "this recorder has ended")
        return switch.at_ns

    def leave(self, noticed: Callable[[int], None]) -> None:
        """In place of switch() once ``trouble`` has ended it: what it will not pass on any more is dropped and counted."""
        at_ns = self._queue.draw_border(self._inlets)
        self._queue.drop_all(self._batch)
        for inlet in self._inlets:
            inlet.pass_border()
        noticed(at_ns)

    def do(self, chore: Callable[[], bool]) -> None:
        """Has the thread call ``chore`` between packets until it returns False; returns then. What a thread that ends leaves of it, the caller does."""
        self._chore_done.clear()
        self._chore = chore
        if not self._has_done(self._chore_done):
            while chore():
                pass

    def _has_done(self, done: threading.Event) -> bool:
        """Waits for it. False: the thread has ended, and had not done it by then."""
        while not done.wait(DRAIN_S):
            if not self._thread.is_alive():
                return done.is_set()
        return True

    def _run(self) -> None:
        try:
            self._empty_queue()
        except Exception as error:  # a defect: whoever watches is told, and no command waits for this thread
            self.trouble = f"the writer failed: {type(error).__name__}: {error}; end this recorder and start it anew"

    def _empty_queue(self) -> None:
        timeout_s = 0.0
        while True:
            known = self._switch
            if known is not None:
                self._notice(known)
            is_last = known is not None and self._has_drained(known)
            batch = self._queue.take(timeout_s)
            if batch is None:
                break
            switch = self._switch  # one that came while this waited holds for this batch, too
            if switch is not None:
                self._notice(switch)
            self._batch = iter(batch)
            for queued in self._batch:
                self._pass_on(queued, switch)
            if switch is not None and is_last:
                self._complete(switch)
            timeout_s = self._sink.tend()
            if self._chore is not None:
                timeout_s = 0.0
                self._do_some(self._chore)
            elif self._switch is not None:
                timeout_s = min(timeout_s, 0.02)

    def _notice(self, switch: _Switch) -> None:
        if not switch.at_ns:
            switch.at_ns, switch.deadline_s = self._queue.draw_border(self._inlets), time.monotonic() + DRAIN_S
            try:
                switch.noticed(switch.at_ns)
            except Exception as error:  # a defect here must not end the one thread that writes
                self.failure = f"what a recording says of itself may be wrong: {type(error).__name__}: {error}"

    def _complete(self, switch: _Switch) -> None:
        for inlet in self._inlets:
            inlet.pass_border()
        self._sink, self._switch = switch.sink, None
        switch.done.set()

    def _pass_on(self, queued: Queued, switch: _Switch | None) -> None:
        is_new = switch is not None and queued.packet.stamps.host_ns >= switch.at_ns
        sink = switch.sink if switch is not None and is_new else self._sink
        sink.take(queued, self._stamp_ns(queued))
        self._queue.release(queued)
        if self._tap.is_wanted:
            self._show(queued)

    def _show(self, queued: Queued) -> None:
        try:
            self._tap.offer(queued)
        except Exception as error:  # nor one here
            self.unshown = f"{queued.inlet.stream.name}: cannot be shown: {type(error).__name__}: {error}"

    def _stamp_ns(self, queued: Queued) -> int:
        try:
            return self._stamper.stamp_ns(queued)
        except Exception as error:  # a defect here must cost no packet: the device's stamp is kept beside this one
            self.failure = f"{queued.inlet.stream.name}: its clock cannot be followed: {type(error).__name__}: {error}"
            return queued.packet.stamps.host_ns

    def _has_drained(self, switch: _Switch) -> bool:
        """Whether everything that had arrived before the switch lies in the queue by now, if not further."""
        if time.monotonic() >= switch.deadline_s:
            return True
        return all(inlet.has_caught_up for inlet in self._inlets)

    def _do_some(self, chore: Callable[[], bool]) -> None:
        for _ in range(_CHORES_A_TURN):
            if not chore():
                self._chore = None
                self._chore_done.set()
                return
