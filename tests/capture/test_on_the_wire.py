"""What real lidars send over a wire that loses some of it, or that somebody else speaks on, too: told while recording, and ever after."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capture.attend import record
from capture.cut_off import last_health
from capture.health import WARNING
from capture.preflight.finding import Colour
from capture.preflight.rates import rates
from capture.preflight.sensors import decoding, speaking
from capture.preflight.trial import run_trial
from capture.recorder_state import RecorderState
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource
from devices.logs.pcap import PcapReader
from devices.ouster.crc64 import crc64
from devices.rig import Rig, rig_from_dict
from tests.capture.rigs import free_ports
from tests.capture.test_commands import run
from tests.capture.test_preflight_real_packets import played_over_and_over
from tests.devices.hesai_packets import hesai_packet

OUSTER_PCAP, OUSTER_JSON = "OS-1-128_v2.3.0_1024x10_lb_n3.pcap", "OS-1-128_v2.3.0_1024x10.json"
POINTS = "lidar/points"


def sent_by(pcap: Path, port: int) -> list[tuple[int, bytes]]:
    """(ns, bytes) of what a capture's sensor sent to a port."""
    return [(each.t_ns, each.payload) for each in PcapReader(pcap) if each.destination_port == port]


def play(packets: Sequence[tuple[int, bytes]], port: int, *senders: str) -> None:
    """At their own pace, from each of the addresses in turn."""
    sockets = []
    for sender in senders or ("127.0.0.1",):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind((sender, 0))
        sockets.append(out)
    begun_s = time.monotonic()
    for t_ns, data in packets:
        time.sleep(max(0.0, (t_ns - packets[0][0]) / 1e9 - (time.monotonic() - begun_s)))
        for out in sockets:
            out.sendto(data, ("127.0.0.1", port))
    for out in sockets:
        out.close()


def ouster_rig(metadata: Path, ports: Sequence[int]) -> Rig:
    lidar = {"driver": "ouster", "metadata": str(metadata), "host": "127.0.0.1", "lidar_port": ports[0], "imu_port": ports[1]}  # fmt: skip
    return rig_from_dict({"name": "bench", "sensors": {"lidar": lidar}})


def velodyne_rig(ports: Sequence[int]) -> Rig:
    lidar = {"driver": "velodyne", "model": "VLP-16", "host": "127.0.0.1", "port": ports[0], "position_port": ports[1]}
    return rig_from_dict({"name": "bench", "sensors": {"lidar": lidar}})


def recorded(rig: Rig, place: Path, player: threading.Thread) -> tuple[Recording, list[RecorderState]]:
    """A recording of what the player sends, and how the recorder was meanwhile."""
    states: list[RecorderState] = []
    stop = threading.Event()

    def watch(now: RecorderState) -> None:
        if not states:
            player.start()
        states.append(now)
        if len(states) > 3 and not player.is_alive() and states[-4].streams[0].received == now.streams[0].received:
            stop.set()

    folder = record(rig, Workspace(place), duration_s=120, stop=stop, progress=watch)
    return open_recording(folder), states


def test_what_a_wire_loses_of_a_lidar_is_told_on_the_page_the_health_topic_and_in_the_verdict(
    tmp_path: Path, test_data: Path
) -> None:
    folder, ports = test_data / "ouster_pcap", free_ports(2)
    sent = sent_by(folder / OUSTER_PCAP, 7502)
    arrives = [each for number, each in enumerate(sent) if number % 20 != 7]
    player = threading.Thread(target=play, args=(arrives, ports[0]))
    recording, states = recorded(ouster_rig(folder / OUSTER_JSON, ports), tmp_path, player)
    lost = len(sent) - len(arrives)
    assert recording.info.losses[POINTS].before_read == lost == 10
    assert states[-1].streams[0].lost == lost
    assert any(f"{POINTS} loses packets" in alarm for state in states for alarm in state.alarms)
    said = {status.name: status for status in last_health(recording.files[-1])}[POINTS]
    assert (said.level, said.values["lost_before_read"]) == (WARNING, "10")
    assert recording.info.verdict == "doubtful"
    assert f"{POINTS}: 10 packets lost (10 before they were read" in "; ".join(recording.info.reasons)


def test_what_the_socket_drops_and_what_the_wire_loses_is_counted_once(tmp_path: Path, test_data: Path) -> None:
    folder, ports = test_data / "ouster_pcap", free_ports(2)
    sent = sent_by(folder / OUSTER_PCAP, 7502)
    arrives = [data for number, (_, data) in enumerate(sent) if number % 20 != 7]
    rig = ouster_rig(folder / OUSTER_JSON, ports)
    points, imu = rig.sensors["lidar"].loaded_driver().open("lidar", rig.sensors["lidar"].config())
    imu.close()
    points._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 400_000)  # type: ignore[attr-defined]
    read = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for data in arrives[:-10]:  # nobody reads meanwhile
            out.sendto(data, ("127.0.0.1", ports[0]))
        read += len(points.read(1.0))
        assert points.lost > 50
        for data in arrives[-10:]:
            out.sendto(data, ("127.0.0.1", ports[0]))
            read += len(points.read(1.0))
    assert points.lost == len(sent) - read
    points.close()


def test_a_second_lidar_that_sends_to_the_same_port_alarms_the_crew(tmp_path: Path, test_data: Path) -> None:
    ports = free_ports(2)
    sent = sent_by(test_data / "velodyne_pcap/sample_velodyne_vlp16_gps.pcap", 2368)
    player = threading.Thread(target=play, args=(sent, ports[0], "127.0.0.1", "127.0.0.2"))
    recording, states = recorded(velodyne_rig(ports), tmp_path, player)
    words = "x from 127.0.0.1 and 127.0.0.2 by turns); see whether something else sends to its port"
    (told,) = {alarm for alarm in states[-1].alarms if alarm.startswith(f"{POINTS}: ")}
    assert words in told.replace(") by now;", ");")
    assert states[-1].streams[0].rejected > 400
    assert recording.info.verdict == "doubtful"
    assert any(words in reason for reason in recording.info.reasons)
    assert recording.counts[POINTS] == 2 * len(sent), "what came is kept"


def test_packets_that_are_cut_short_or_of_another_sensor_are_told_while_recording(
    tmp_path: Path, test_data: Path
) -> None:
    folder, ports = test_data / "ouster_pcap", free_ports(2)
    sent = sent_by(folder / OUSTER_PCAP, 7502)
    spoilt = list(sent)
    for number in range(5, 190, 30):
        t_ns, data = sent[number]
        spoilt.insert(spoilt.index(sent[number]), (t_ns, data[:4000]))
    foreign = sent_by(test_data / "velodyne_pcap/sample_velodyne_vlp16_gps.pcap", 2368)[0][1]
    spoilt.append((spoilt[-1][0], foreign))
    player = threading.Thread(target=play, args=(spoilt, ports[0]))
    recording, states = recorded(ouster_rig(folder / OUSTER_JSON, ports), tmp_path, player)
    assert states[-1].streams[0].rejected == 8
    said = {status.name: status for status in last_health(recording.files[-1])}[POINTS]
    assert (said.level, said.values["rejected"]) == (WARNING, "8")
    assert said.message == "8 packets are not as the sensor sends them (8 x wrong size)"
    assert recording.info.losses[POINTS].before_read == 0
    assert recording.info.verdict == "doubtful"


@pytest.mark.parametrize("compiled", [True, False])
def test_an_ousters_packets_with_a_wrong_crc_are_told_while_recording(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    if not compiled:
        monkeypatch.setattr("devices.ouster.driver.is_compiled", lambda: False)
    folder, ports = test_data / "ouster_pcap", free_ports(2)
    sent = sent_by(folder / OUSTER_PCAP, 7502)
    sealed = [
        (t_ns, data[:-8] + crc64(data[:-8]).to_bytes(8, "little")) for t_ns, data in sent
    ]  # its firmware had no CRC
    spoilt = [
        (t_ns, data[:5000] + bytes([data[5000] ^ (number % 10 == 9)]) + data[5001:])
        for number, (t_ns, data) in enumerate(sealed)
    ]
    recording, states = recorded(
        ouster_rig(folder / OUSTER_JSON, ports), tmp_path, threading.Thread(target=play, args=(spoilt, ports[0]))
    )
    broken = len(sent) // 10
    said = f"{broken} x wrong CRC)" if compiled else f"{len(sent) // 40} x wrong CRC, one packet in 40 checked)"
    assert any(said in alarm for alarm in states[-1].alarms if alarm.startswith(f"{POINTS}: "))
    assert any(said in reason for reason in recording.info.reasons)
    assert recording.info.losses[POINTS].before_read == 0
    assert [each.packet.data for each in recording.packets([POINTS])] == [data for _, data in spoilt]
    assert f"({broken} x wrong CRC)" in "; ".join(verify(recording.folder).doubts)


@pytest.mark.parametrize(
    ("clock", "behind_ns", "said"),
    [
        ("ptp", 0, ""),
        ("ptp", 2000 * 86_400_000_000_000, "claims PTP, but its clock is 2000 days behind this machine's; start a PTP master"),
        ("ptp", -37_000_000_000, ""),  # TAI
        ("ptp", 3_000_000_000, r"claims PTP, but its clock is 3\.\d s behind this machine's; start a PTP master"),
        ("free", 2000 * 86_400_000_000_000, ""),
    ],
)  # fmt: skip
def test_a_hesai_that_was_set_to_follow_ptp_and_does_not_alarms_the_crew(
    tmp_path: Path, clock: str, behind_ns: int, said: str
) -> None:
    (port,) = free_ports(1)
    lidar = {"driver": "hesai", "model": "XT32", "host": "127.0.0.1", "port": port, "clock": clock}
    rig = rig_from_dict({"name": "bench", "sensors": {"lidar": lidar}})

    def send() -> None:
        """Each bears the time at which it is sent, however late a busy machine sends it."""
        channels, begun_s = [(2500, 50)] * 32, time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for number in range(30 * 112):
                blocks = [((number * 8 + block) * 40 % 36000, channels) for block in range(8)]
                time.sleep(max(0.0, number * 0.000_889 - (time.monotonic() - begun_s)))
                t_ns = (time.time_ns() - behind_ns) // 1000 * 1000
                out.sendto(hesai_packet("XT32", blocks, t_ns, sequence=number), ("127.0.0.1", port))

    recording, states = recorded(rig, tmp_path, threading.Thread(target=send))
    alarms = {alarm for state in states for alarm in state.alarms if "claims" in alarm}
    notes = [note for note in recording.info.notes if "but its clock" in note]
    assert (len(alarms), len(notes)) == ((1, 1) if said else (0, 0)), (alarms, notes)
    assert all(re.search(said, line) for line in [*alarms, *notes])


def test_a_healthy_recording_rejects_nothing(tmp_path: Path, test_data: Path) -> None:
    ports = free_ports(2)
    sent = sent_by(test_data / "velodyne_pcap/sample_velodyne_vlp16_gps.pcap", 2368)
    recording, states = recorded(velodyne_rig(ports), tmp_path, threading.Thread(target=play, args=(sent, ports[0])))
    assert {row.rejected for state in states for row in state.streams} == {0}
    assert not any("as the sensor sends" in reason for reason in recording.info.reasons)


class BrokenPictures:
    """A USB camera that gives every second picture without its end."""

    encoding = "jpeg"

    def __init__(self) -> None:
        from devices.uvc.settings import SettingsTaken

        self.taken = SettingsTaken({}, {})
        self._count = 0

    def next_picture(self) -> tuple[bytes, int | None]:
        time.sleep(0.005)
        self._count += 1
        return (b"\xff\xd8" + bytes(100) + (b"\xff\xd9" if self._count % 2 else b"")), None

    def close(self) -> None: ...


def test_broken_pictures_of_a_usb_camera_reach_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.uvc.driver._opened", lambda *_: BrokenPictures())
    camera = {"driver": "uvc", "device": "/dev/v4l/by-id/usb-it"}
    rig = rig_from_dict({"name": "bench", "sensors": {"camera": camera}})
    recording = open_recording(record(rig, Workspace(tmp_path), duration_s=1.0))
    assert recording.info.verdict == "doubtful"
    assert any("x a picture without its start or end" in reason for reason in recording.info.reasons)


def unknown_profile(place: Path, test_data: Path) -> Path:
    """The metadata of a real lidar, told to send a profile that nobody knows."""
    said = json.loads((test_data / "ouster_pcap" / OUSTER_JSON).read_text())

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: "RNG99_NEW" if key == "udp_profile_lidar" else changed(each) for key, each in value.items()}
        return value

    path = place / "metadata.json"
    path.write_text(json.dumps(changed(said)))
    return path


SAID = "the profile RNG99_NEW is recorded, but not decodable here yet"


def test_an_ouster_profile_that_nobody_knows_is_recorded_byte_for_byte_and_said_so(
    tmp_path: Path, test_data: Path
) -> None:
    ports = free_ports(2)
    sent = sent_by(test_data / "ouster_pcap" / OUSTER_PCAP, 7502)
    rig = ouster_rig(unknown_profile(tmp_path, test_data), ports)
    recording, _ = recorded(rig, tmp_path, threading.Thread(target=play, args=(sent, ports[0])))
    assert [each.packet.data for each in recording.packets([POINTS])] == [data for _, data in sent]
    assert sum(SAID in note for note in recording.info.notes) == 1
    found = verify(recording.folder)
    assert sum(doubt.startswith(f"{POINTS}: {SAID}; to see it, set udp_profile_lidar") for doubt in found.doubts) == 1
    assert found.damage == []


def test_preflight_and_record_say_that_a_profile_is_not_decodable(tmp_path: Path, test_data: Path) -> None:
    ports = free_ports(2)
    pcap = test_data / "ouster_pcap" / OUSTER_PCAP
    sent = sent_by(pcap, 7502)
    rig = ouster_rig(unknown_profile(tmp_path, test_data), ports)
    player = threading.Thread(target=play, args=(sent, ports[0]))

    def begin(what: str, _: float) -> None:
        if what.startswith("listening") and player.ident is None:
            player.start()

    trial = run_trial(rig, 3, begin)
    (found,) = [each for each in decoding(trial) if each.subject == POINTS]
    assert (found.colour, found.measured) == (Colour.AMBER, SAID)
    assert found.advice.startswith("to see it, set udp_profile_lidar to one of: LEGACY")
    assert [each.subject for each in rates(rig, trial)] == []
    assert not [each for each in speaking(rig, trial) if each.subject == POINTS]
    (facts,) = [each for each in trial.streams if each.stream.name == POINTS]
    assert (facts.packets, facts.clock_source) == (len(sent), ClockSource.NONE)

    rig_file = tmp_path / "rig.toml"
    rig_file.write_text(
        f'name = "bench"\n[sensors.lidar]\ndriver = "ouster"\nmetadata = "{tmp_path / "metadata.json"}"\nhost = "127.0.0.1"\n'
        f"lidar_port = {ports[0]}\nimu_port = {ports[1]}\n"
    )
    with played_over_and_over(pcap, {7502: ports[0], 7503: ports[1]}):
        done = run("record", rig_file, "--for", "3s", "--no-page", "--workspace", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"{POINTS}: {SAID}")
