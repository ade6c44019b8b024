"""A datagram larger than a frame travels in fragments; one that is lost on the way takes the others with it, and that is told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from capture.attend import record
from capture.cut_off import last_health
from capture.health import WARNING
from capture.ip_fragments import Reassembly, reassembly, reassembly_failures
from capture.preflight.buffers import fragments
from capture.preflight.finding import Colour
from capture.recording import open_recording
from capture.workspace import Workspace
from devices.samples import Image, Sweep
from tests.capture.rigs import Sender, free_ports, robot_rig
from tests.capture.trials import MB, facts, only, trial

USUAL = Reassembly(memory_bytes=4 << 20, wait_s=30, failures=3)

A_LONE_FRAGMENT = """
    import socket, struct, subprocess, time
    from pathlib import Path
    from capture.ip_fragments import reassembly
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ipfrag_time").write_text("1")
    before = reassembly()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        lo = bytes([127, 0, 0, 1])
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1500, 7, 0x2000, 64, 17, 0, lo, lo)
        out.sendto(head + bytes(1480), ("127.0.0.1", 0))
    until = time.monotonic() + 10
    while reassembly().failures == before.failures and time.monotonic() < until:
        time.sleep(0.1)
    print(before.wait_s, reassembly().failures - before.failures)
"""


A_LIDAR_IN_FRAGMENTS = """
    import socket, struct, subprocess, sys, time
    from pathlib import Path
    from capture.ip_fragments import reassembly
    from devices.ouster.driver import DRIVER, OusterConfig
    from devices.logs.pcap import PcapReader
    subprocess.run(["ip", "link", "set", "lo", "up", "mtu", "1500"], check=True)
    Path("/proc/sys/net/ipv4/ipfrag_time").write_text("1")
    before, data = reassembly(), Path(sys.argv[1])
    config = OusterConfig(metadata=str(data / "OS-1-128_v2.3.0_1024x10.json"), host="127.0.0.1")
    points, imu = DRIVER.open("lidar", config)
    capture = PcapReader(data / "OS-1-128_v2.3.0_1024x10_lb_n3.pcap")
    sent = [each.payload for each in capture if each.destination_port == 7502]
    lo, torn, come = bytes([127, 0, 0, 1]), 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for number, payload in enumerate(sent):
            udp = struct.pack(">HHHH", 5000, 7502, len(payload) + 8, 0) + payload
            for at in range(0, len(udp), 1480):
                part, more = udp[at : at + 1480], at + 1480 < len(udp)
                if number % 20 == 7 and at == 2960:
                    torn += 1
                    continue
                flags = at // 8 | (0x2000 if more else 0)
                head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), number + 1, flags, 64, 17, 0, lo, lo)
                out.sendto(head + part, ("127.0.0.1", 0))
            come += len(points.read(0))
    while packets := points.read(0.5):
        come += len(packets)
    until = time.monotonic() + 10
    while reassembly().failures - before.failures < torn and time.monotonic() < until:
        time.sleep(0.1)
    print(torn, len(sent) - come, points.lost, reassembly().failures - before.failures)
"""


def said_in_a_network_of_its_own(program: str, *words: Path) -> str:
    own_network = ["unshare", "--map-root-user", "--net"]
    if sys.platform != "linux" or subprocess.run([*own_network, "ip", "link"], capture_output=True).returncode:
        pytest.skip("needs a network of its own (unshare, ip)")
    command = [*own_network, sys.executable, "-c", textwrap.dedent(program), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stderr == ""
    return done.stdout


def test_a_datagram_of_which_a_fragment_never_comes_is_seen_in_the_kernel_s_count() -> None:
    assert said_in_a_network_of_its_own(A_LONE_FRAGMENT) == "1 1\n"


def test_a_lidar_s_datagrams_that_lack_a_fragment_are_lost_and_counted_by_both(test_data: Path) -> None:
    assert said_in_a_network_of_its_own(A_LIDAR_IN_FRAGMENTS, test_data / "ouster_pcap") == "10 10 10 10\n"


def test_where_the_system_does_not_count_them_nothing_is_said(tmp_path: Path) -> None:
    assert reassembly_failures(tmp_path / "snmp") is None
    assert reassembly(tmp_path, tmp_path / "snmp") is None
    (tmp_path / "snmp").write_text("Ip: Forwarding\nIp: 1\n")
    assert reassembly_failures(tmp_path / "snmp") is None
    large = trial(facts(1280, receive_buffer_bytes=1 << 26, size_bytes=5 * 1280 * 24_832))
    assert fragments(large, None, None) == []


@pytest.mark.parametrize(
    ("lidars", "memory_bytes", "wait_s", "colour"),
    [(1, 4 << 20, 30, Colour.GREEN), (4, 4 << 20, 30, Colour.AMBER), (4, 128 << 20, 3, Colour.GREEN), (1, 256 << 10, 30, Colour.AMBER)],
)  # fmt: skip
def test_the_memory_for_fragments_must_outlast_the_datagrams_that_a_cable_damages(
    lidars: int, memory_bytes: int, wait_s: int, colour: Colour
) -> None:
    lidar = facts(1280, "lidar/points", yields=Sweep, receive_buffer_bytes=1 << 26, size_bytes=5 * 1280 * 24_832)
    before = Reassembly(memory_bytes, wait_s, 3)
    found = only(fragments(trial(*[lidar] * lidars), before, before))
    assert (found.check, found.colour) == ("buffers", colour)
    if colour is Colour.AMBER:
        assert found.advice.startswith("sudo sysctl -w net.ipv4.ipfrag_time=3 net.ipv4.ipfrag_high_thresh=134217728")


def test_datagrams_that_could_not_be_put_together_during_the_trial_are_amber() -> None:
    lidar = facts(640, "lidar/points", yields=Sweep, receive_buffer_bytes=1 << 26, size_bytes=5 * 640 * 8448)
    found = only(fragments(trial(lidar), USUAL, Reassembly(4 << 20, 30, 5)))
    assert found.colour is Colour.AMBER
    assert found.measured.startswith("2 datagrams lacked a fragment")
    assert "cable" in found.advice


def test_a_camera_whose_pictures_come_in_many_datagrams_has_no_fragments() -> None:
    camera = facts(150, "camera/image", yields=Image, receive_buffer_bytes=1 << 24, size_bytes=150 * 40_000)
    assert fragments(trial(camera), USUAL, Reassembly(4 << 20, 30, 5)) == []


def test_a_rig_whose_datagrams_fit_into_a_frame_has_no_fragments() -> None:
    small = facts(754, "lidar/points", yields=Sweep, receive_buffer_bytes=1 << 26, size_bytes=5 * 754 * 1206)
    over_tcp = facts(30, "camera/image", size_bytes=5 * 30 * MB)
    assert fragments(trial(small, over_tcp), USUAL, USUAL) == []


def test_the_recorder_s_own_health_says_how_many_could_not_be_put_together_since_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([7, 7, *[9] * 100])
    monkeypatch.setattr("capture.health_topic.reassembly_failures", lambda: next(counts))
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 50):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=2.5)
    own = {status.name: status for status in last_health(open_recording(folder).files[0])}["recorder"]
    assert (own.level, own.values["reassembly_failed"]) == (WARNING, "2")
    assert own.message == "2 datagrams lacked a fragment and were given up by the kernel; check cables and switches"
