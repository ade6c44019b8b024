import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices.builders import ethernet, pcap, udp_frame


def fieldrig(*words: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fieldrig")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60)


def test_a_replay_says_what_it_sent_where(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"x", 9)), bytes(60)])
    ran = fieldrig("replay", path, "--port", "9:10009")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split("\n")[0] == "1 packets to 127.0.0.1:10009"
    assert "passed over: 1 frames without UDP" in ran.stdout


def test_a_torn_capture_is_replayed_to_the_tear_and_says_so(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"x", 9))] * 2)
    path.write_bytes(path.read_bytes()[:-3])
    ran = fieldrig("replay", path)
    assert ran.returncode == 0
    assert "1 packets to 127.0.0.1:9" in ran.stdout
    assert "ends in the middle of a packet" in " ".join(ran.stdout.split())


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot read"), (b"no capture", "is no pcap or pcapng file"), (b"", "is no pcap or pcapng file")],
)
def test_an_unreadable_capture_is_one_clear_line_and_exit_1(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "a.pcap"
    if content is not None:
        path.write_bytes(content)
    ran = fieldrig("replay", path)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert says in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stderr
