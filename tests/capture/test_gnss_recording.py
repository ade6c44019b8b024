"""A GNSS receiver through the recorder: the stream byte for byte, gaps included, and its fixes in UTC."""

from __future__ import annotations

import datetime as dt
import os
import pty
import socket
import threading
import time
from pathlib import Path

from capture.attend import record
from capture.recording import open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.rig import rig_from_dict
from devices.samples import FixQuality, GnssFix
from tests.capture.test_commands import run
from tests.capture.test_on_the_wire import recorded
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
        folder = record(rig, Workspace(tmp_path), duration_s=4)
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


def test_a_receivers_broken_sentences_alarm_the_crew_and_are_in_the_account_as_verify_counts_them(
    tmp_path: Path, test_data: Path
) -> None:
    log = (test_data / "gnss_logs/ublox-zed-f9p-nmea.log").read_bytes()
    sentences = [line for line in log.splitlines(keepends=True) if line.startswith(b"$G")]
    spoilt = [line.replace(b",", b";", 1) if number % 5 == 2 else line for number, line in enumerate(sentences)]
    broken = sum(line not in sentences for line in spoilt)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def send() -> None:
            peer, _ = server.accept()
            with peer:
                for line in spoilt:
                    peer.sendall(line)
                    time.sleep(0.001)
                time.sleep(2.0)  # the line stays open until the recorder has looked

        rig = rig_from_dict({"name": "van", "sensors": {"gnss": {"driver": "gnss", "address": address}}})
        recording, states = recorded(rig, tmp_path, threading.Thread(target=send))
    said = f"{broken} packets are not as the sensor sends them ({broken} x an NMEA sentence with a wrong checksum)"
    assert broken > 50
    assert recording.counts["gnss/stream"] == len(spoilt), "what came is kept"
    assert any(alarm.startswith(f"gnss/stream: {said} by now") for alarm in states[-1].alarms)
    assert any(reason.startswith(f"gnss/stream: {said}") for reason in recording.info.reasons)
    assert said in " ".join(run("info", recording.folder).stdout.split())
    assert f"gnss/stream: {broken} of {len(spoilt)} packets do not decode" in "; ".join(verify(recording.folder).doubts)
