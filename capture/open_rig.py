"""A rig's sensors, open: they are heard, their clocks followed, and what they send goes to one sink after another."""

from __future__ import annotations

from collections.abc import Sequence

from capture.clock.follower import ClockFollower
from capture.clock.stamper import Stamper
from capture.inlet import Inlet
from capture.intake import Intake
from capture.limits import Limits
from capture.recorder_watch import RecorderWatch
from capture.tap import Tap
from capture.writer_thread import Nowhere, WriterThread
from devices.device import Source
from devices.errors import DeviceError
from devices.rig import Rig


class OpenRig:
    """Until closed. What arrives before run() waits in the sockets; ``writer`` gives packets to nobody before its first switch().

    own: sources beside the sensors'. Raises DeviceError when a sensor cannot be reached, and leaves nothing open then.
    """

    def __init__(self, rig: Rig, limits: Limits, own: Sequence[Source]) -> None:
        try:
            self.intake = Intake(rig, limits.queue_bytes, own, limits.silent_s)
        except DeviceError as error:
            without = "; to record without it, take its section out of rig.toml" if len(rig.sensors) > 1 else ""
            raise DeviceError(f"{error}{without}") from None
        latencies_ns = [
            rig.sensors[inlet.stream.sensor].least_latency_ns if inlet.stream.sensor in rig.sensors else 0
            for inlet in self.inlets
        ]
        self.clocks = ClockFollower(len(self.inlets))
        stamper = Stamper(latencies_ns, self.clocks)
        self.tap = Tap([(inlet.stream.name, inlet.stream.encoding) for inlet in self.inlets])
        self.writer = WriterThread(self.intake.queue, self.inlets, stamper, self.tap, Nowhere())
        self.watch = RecorderWatch(self.intake, stamper)
        self._is_running = False

    def run(self) -> None:
        """Begins to listen."""
        if not self._is_running:
            self._is_running = True
            self.clocks.start()
            self.writer.start()
            self.watch.start()
            self.intake.start()

    def close(self) -> None:
        self.intake.close()
        if self._is_running:
            self.writer.join()
        self.watch.close()
        self.clocks.close()

    @property
    def inlets(self) -> list[Inlet]:
        return self.intake.inlets

    @property
    def finished(self) -> bool:
        """Whether every sensor has said its last word: replays end."""
        return self.intake.finished

    @property
    def start_failures(self) -> list[str]:
        """Of sensors that are gone and were never heard; one that was heard comes back by itself."""
        heard = {inlet.stream.sensor for inlet in self.inlets if inlet.received}
        gone = [inlet for inlet in self.inlets if inlet.failure and inlet.stream.sensor not in heard]
        return list(dict.fromkeys(inlet.failure for inlet in gone))

    @property
    def remarks(self) -> list[str]:
        """What a person ought to know of the streams, one line each."""
        return [f"{inlet.stream.name}: {inlet.remark}" for inlet in self.inlets if inlet.remark]

    @property
    def troubles(self) -> list[str]:
        """Defects that others than sensors have met and that touch what is recorded, one line each, since forget_failures()."""
        return [each for each in (self.writer.trouble, self.writer.failure, self.clocks.failure) if each]

    @property
    def alarms(self) -> list[str]:
        """Those, and what spoils no recording."""
        return [*self.troubles, *([self.writer.unshown] if self.writer.unshown else [])]

    def forget_failures(self) -> None:
        """What has failed so far says nothing against the next recording."""
        self.writer.failure = self.writer.unshown = self.clocks.failure = ""
