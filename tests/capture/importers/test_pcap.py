"""Captures of real sensors as recordings: the same packets at the same times, decoded as if they had been received."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dpkt
import numpy as np
import pytest

from capture.errors import CaptureError
from capture.importers.pcap import IMPORTER
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.logs.pcap import PcapReader
from devices.ouster.metadata import read_metadata
from devices.rig import Rig, rig_from_dict
from devices.samples import ImuSample, Sweep
from tests.devices.builders import ethernet, ipv4, ouster_metadata, ouster_packet, pcap, udp_frame


def a_rig(**sensors: dict[str, Any]) -> Rig:
    return rig_from_dict({"name": "van", "sensors": sensors})


def imported(path: Path, rig: Rig, place: Path) -> Recording:
    return open_recording(IMPORTER.import_into(path, Workspace(place), rig=rig))


VELODYNE = {"driver": "velodyne", "model": "VLP-16"}


def test_a_capture_of_a_real_velodyne_holds_the_same_packets_at_the_times_of_their_capture(
    test_data: Path, tmp_path: Path
) -> None:
    path = test_data / "velodyne_pcap" / "sample_velodyne_vlp16_gps.pcap"
    recording = imported(path, a_rig(lidar=VELODYNE), tmp_path)
    for name, port in (("lidar/points", 2368), ("lidar/position", 8308)):
        assert [(each.packet.stamps.host_ns, each.packet.data) for each in recording.packets([name])] == [
            (each.t_ns, each.payload) for each in PcapReader(path) if each.destination_port == port
        ]
    assert recording.counts == {"lidar/points": 293, "lidar/position": 57}
    sweeps = [each.sample for each in recording.samples() if isinstance(each.sample, Sweep)]
    # All 73,486 returns that the packets hold, cut into turns where velodyne-decoder, which decodes them, begins one.
    assert [len(sweep) for sweep in sweeps] == [18_790, 18_701, 18_678, 17_317]
    fit = recording.clocks["lidar/points"][-1]
    assert all(recording.start_ns - 10**9 < fit.host_from_device(sweep.t_ns) <= recording.end_ns for sweep in sweeps)
    # The sensor's microsecond of the hour, in the hour of the capture: nobody's hour of today.
    assert abs(sweeps[0].t_ns - recording.start_ns) < 1_800_000_000_000
    assert verify(recording.folder).verdict == recording.info.verdict == "good"


def test_a_pcapng_file_of_the_same_packets_by_another_writer_becomes_the_same_recording(
    test_data: Path, tmp_path: Path
) -> None:
    plain = test_data / "velodyne_pcap" / "sample_velodyne_vlp16_gps.pcap"
    with plain.open("rb") as frames, (tmp_path / "drive.pcapng").open("wb") as file:
        writer = dpkt.pcapng.Writer(file, snaplen=65535)
        for t_s, frame in dpkt.pcap.Reader(frames):
            t_us = round(t_s * 10**6)
            writer.writepkt(
                dpkt.pcapng.EnhancedPacketBlockLE(
                    ts_high=t_us >> 32, ts_low=t_us & 0xFFFFFFFF, caplen=len(frame), pkt_len=len(frame), pkt_data=frame
                )
            )
    rig = a_rig(lidar=VELODYNE)
    recordings = [imported(path, rig, tmp_path / path.suffix[1:]) for path in (plain, tmp_path / "drive.pcapng")]
    ours, again = ([(each.packet, each.stamp_ns) for each in recording.packets()] for recording in recordings)
    assert again == ours
    assert [recording.info.verdict for recording in recordings] == ["good", "good"]


@pytest.mark.parametrize(
    ("name", "metadata", "points"),
    [
        ("OS-0-128-U1_v2.3.0_1024x10.pcap", "OS-0-128-U1_v2.3.0_1024x10.json", 97_299),
        ("OS-1-32-G_v2.1.1_1024x10.pcap", "OS-1-32-G_v2.1.1_1024x10.json", 27_310),
    ],
)
def test_a_capture_of_a_real_ouster_decodes_to_as_many_points_as_its_makers_code_finds(
    name: str, metadata: str, points: int, test_data: Path, tmp_path: Path
) -> None:
    data = test_data / "ouster_pcap"
    sensor = {"driver": "ouster", "metadata": str(data / metadata)}
    recording = imported(data / name, a_rig(lidar=sensor), tmp_path)
    sweeps = [each.sample for each in recording.samples(["lidar/points"]) if isinstance(each.sample, Sweep)]
    assert sum(map(len, sweeps)) == points
    assert all(isinstance(each.sample, ImuSample) for each in recording.samples(["lidar/imu"]))
    assert recording.info.verdict == "good", recording.info.reasons


def test_what_a_capture_lacks_of_a_real_ouster_stands_in_its_account(test_data: Path, tmp_path: Path) -> None:
    data = test_data / "ouster_pcap"
    sent = [each for each in PcapReader(data / "OS-1-128_v2.3.0_1024x10_lb_n3.pcap") if each.destination_port == 7502]
    frames = [ethernet(udp_frame(each.payload, 7502)) for number, each in enumerate(sent) if number % 20 != 7]
    sensor = {"driver": "ouster", "metadata": str(data / "OS-1-128_v2.3.0_1024x10.json")}
    recording = imported(pcap(tmp_path / "lossy.pcap", frames), a_rig(lidar=sensor), tmp_path)
    assert recording.info.losses["lidar/points"].before_read == len(sent) - len(frames) == 10
    assert recording.info.verdict == "doubtful"
    assert "lidar/points: the sensor's own counting misses 10 packets" in recording.info.reasons


def capture(path: Path, payloads: Sequence[tuple[int, bytes]]) -> Path:
    return pcap(path, [ethernet(udp_frame(payload, port)) for port, payload in payloads])


def an_ouster(tmp_path: Path, **ports: int) -> dict[str, Any]:
    (tmp_path / "metadata.json").write_text(ouster_metadata())
    return {"driver": "ouster", "metadata": str(tmp_path / "metadata.json"), **ports}


def turn() -> list[bytes]:
    meta = read_metadata(ouster_metadata())
    return [ouster_packet(meta, 7, first, 2000, 1000 + first * 1000) for first in range(0, 32, 8)]


def test_what_is_for_no_sensor_is_counted_by_its_port(tmp_path: Path) -> None:
    payloads = [(7502, data) for data in turn()] + [(53, b"who is it"), (53, b"me"), (9, b"x")]
    frames = [ethernet(udp_frame(payload, port)) for port, payload in payloads]
    frames.append(ethernet(ipv4(bytes(40), protocol=6)))
    recording = imported(pcap(tmp_path / "a.pcap", frames), a_rig(lidar=an_ouster(tmp_path)), tmp_path)
    assert recording.counts == {"lidar/points": 4, "lidar/imu": 0}
    assert recording.info.verdict == "good"
    assert any("were left out: 53 (2), 9 (1)" in note for note in recording.info.notes)
    assert "1 frames that are no UDP over IP were left out" in recording.info.notes


def test_broken_packets_and_a_second_sender_make_a_recording_doubtful(tmp_path: Path) -> None:
    frames = [ethernet(udp_frame(data, 7502)) for data in (*turn(), b"nonsense")]
    other = bytearray(ethernet(udp_frame(turn()[0], 7502)))
    other[14 + 12 : 14 + 16] = bytes([10, 0, 0, 9])
    recording = imported(pcap(tmp_path / "a.pcap", [*frames, bytes(other)]), a_rig(lidar=an_ouster(tmp_path)), tmp_path)
    assert recording.counts["lidar/points"] == 6
    assert recording.info.verdict == "doubtful"
    text = "; ".join(recording.info.reasons)
    assert "lidar/points: 1 of 6 messages cannot be decoded: " in text
    assert "lidar/points: datagrams of 2 senders came to port 7502 (10.0.0.9, 127.0.0.1)" in text


def test_a_capture_that_is_cut_short_gives_all_before_the_cut_and_says_so(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", [(7502, data) for data in turn()])
    path.write_bytes(path.read_bytes()[:-5])
    recording = imported(path, a_rig(lidar=an_ouster(tmp_path)), tmp_path)
    assert recording.counts["lidar/points"] == 3
    assert "the capture ends in the middle of a packet; all before it was taken" in recording.info.reasons


def test_a_packet_whose_time_no_message_can_state_is_counted_and_costs_no_other(
    test_data: Path, tmp_path: Path
) -> None:
    whole = (test_data / "velodyne_pcap" / "sample_velodyne_vlp16_gps.pcap").read_bytes()
    (length,) = struct.unpack_from("<I", whole, 24 + 8)
    at = 24 + 16 + length
    (tmp_path / "drive.pcap").write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
    recording = imported(tmp_path / "drive.pcap", a_rig(lidar=VELODYNE), tmp_path)
    assert sum(recording.counts.values()) == 293 + 57 - 1
    assert any("1 messages bear no possible time and were left out" in reason for reason in recording.info.reasons)
    assert recording.end_ns - recording.start_ns < 10**9
    assert verify(recording.folder).verdict == recording.info.verdict == "doubtful"


def test_fragments_of_a_datagram_are_put_together_and_a_lacking_one_is_said(tmp_path: Path) -> None:
    data = turn()
    udp = [struct.pack(">HHHH", 5000, 7502, len(each) + 8, 0) + each for each in data]
    frames = [
        ethernet(ipv4(part, offset=at, more=more, identification=number))
        for number, whole in enumerate(udp)
        for part, at, more in ((whole[:400], 0, True), (whole[400:], 400, False))
        if (number, at) != (2, 400)
    ]
    recording = imported(pcap(tmp_path / "a.pcap", frames), a_rig(lidar=an_ouster(tmp_path)), tmp_path)
    assert [each.packet.data for each in recording.packets(["lidar/points"])] == [data[0], data[1], data[3]]
    assert "1 datagrams lack a fragment" in recording.info.reasons


def test_a_capture_that_plays_the_same_packets_over_is_said_to_and_a_network_that_doubles_them_is_not(
    tmp_path: Path,
) -> None:
    meta, rig = read_metadata(ouster_metadata()), a_rig(lidar=an_ouster(tmp_path))
    passed = [ouster_packet(meta, 7 + turn, first, 2000, 1000 + turn * 32_000 + first * 1000) for turn in range(6) for first in range(0, 32, 8)]  # fmt: skip
    looped = imported(capture(tmp_path / "looped.pcap", [(7502, data) for data in passed * 3]), rig, tmp_path / "a")
    assert looped.info.verdict == "doubtful"
    assert (
        "lidar/points: its first packet comes again 2 times, byte for byte: the capture plays the same packets over, and the sensor's "
        "clock goes back each time; import one pass of it" in looped.info.reasons
    )
    doubled = [(7502, data) for data in passed for _ in range(2)]
    once = imported(capture(tmp_path / "doubled.pcap", doubled), rig, tmp_path / "b")
    assert not [reason for reason in once.info.reasons if "comes again" in reason]


def test_what_cannot_be_imported_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", [(53, b"dns")])
    (tmp_path / "text.pcap").write_text("no capture")
    place = tmp_path / "workspace"
    lidar = an_ouster(tmp_path)
    for file, rig, says in (
        (path, a_rig(lidar=lidar), r"at UDP 7502, 7503; the capture has datagrams to: 53 \(1\)"),
        (tmp_path / "text.pcap", a_rig(lidar=lidar), "text.pcap is no pcap"),
        (tmp_path / "nowhere.pcap", a_rig(lidar=lidar), "no such file"),
        (path, a_rig(camera={"driver": "mjpeg", "url": "http://127.0.0.1:9/"}), "has no sensor that is listened to"),
        (path, a_rig(a=lidar, b=lidar), "a/points and b/points both listen at UDP port 7502"),
        (path, None, "--rig"),
    ):
        with pytest.raises(Exception, match=says) as caught:
            IMPORTER.import_into(file, Workspace(place), rig=rig)
        assert isinstance(caught.value, CaptureError) or "text.pcap" in str(caught.value)
        assert not place.exists() or not any(place.iterdir())


def test_a_port_in_use_on_this_machine_does_not_matter(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        path = capture(tmp_path / "a.pcap", [(port, data) for data in turn()])
        recording = imported(path, a_rig(lidar=an_ouster(tmp_path, lidar_port=port)), tmp_path)
    assert recording.counts["lidar/points"] == 4
    stamps = [each.packet.stamps.device_ns for each in recording.packets(["lidar/points"])]
    assert np.diff([each for each in stamps if each is not None]).tolist() == [8000, 8000, 8000]
