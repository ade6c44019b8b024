"""A GNSS receiver through the recorder: the stream byte for byte, gaps included, and its fixes in UTC."""

from __future__ import annotations

import datetime as dt
import os
import pty
import threading
import time
from pathlib import Path

from capture.attend import record
from capture.recording import open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.rig import rig_from_dict
from devices.samples import FixQuality, GnssFix
from tests.devices.gnss_bytes import nmea, pvt


def test_a_serial_receiver_is_recorded_byte_for_byte_and_its_fixes_are_in_utc(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    rig = rig_from_dict({"name": "van", "sensors": {"gnss": {"driver": "gnss", "port": os.ttyname(theirs)}}})
    sent: list[bytes] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            now = dt.datetime.fromtimestamp(time.time() - 0.08, dt.UTC)  # it takes 80 ms to compute and send a fix
            exact = now.replace(microsecond=0)
            data = nmea("GNTXT,01,01,02,ok") + pvt(exact, now.microsecond * 1000, flags=3 | 2 << 6)
            os.write(ours, data)
            sent.append(data)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        folder = record(rig, Workspace(tmp_path), duration_s=2.5)
    finally:
        stop.set()
        sender.join()
        os.close(ours)
        os.close(theirs)
    recording = open_recording(folder)
    recorded = b"".join(each.packet.data for each in recording.packets())
    assert recorded
    assert recorded in b"".join(sent)
    fixes = [each.sample for each in recording.samples() if isinstance(each.sample, GnssFix)]
    assert len(fixes) >= 15
    assert {fix.quality for fix in fixes} == {FixQuality.RTK_FIXED}
    fit = recording.clocks["gnss/stream"][-1]
    for fix in fixes:
        assert 0 < fit.host_from_device(fix.t_ns) - fix.t_ns < 200_000_000
    assert verify(folder).verdict == "good"
