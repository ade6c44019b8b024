"""Every check of this machine, in every colour that it can give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capture.limits import Limits
from capture.preflight.disk import Disk, disk_space, disk_speed
from capture.preflight.finding import Colour, amber, by_gravity, green, red, worst
from capture.preflight.machine import (
    Battery,
    Machine,
    Temperature,
    hottest,
    lid,
    lid_action,
    memory,
    power,
    processor,
    temperature,
)
from capture.preflight.machine_clock import MachineClock, chrony_offset_ms, machine_clock
from capture.preflight.permissions import DeviceNode, Permissions, permissions, usb_nodes
from tests.capture.trials import END_NS, MB, only

GREEN, AMBER, RED = Colour.GREEN, Colour.AMBER, Colour.RED

# finding


def test_the_verdict_is_the_worst_colour_and_the_worst_stands_last() -> None:
    three = [red("a", "s", "m", "do"), green("b", "s", "m"), amber("c", "s", "m", "do")]
    assert worst(three) is RED
    assert worst(three[1:]) is AMBER
    assert worst([]) is GREEN
    assert [finding.colour for finding in by_gravity(three)] == [GREEN, AMBER, RED]


@pytest.mark.parametrize("make", [amber, red])
def test_what_is_not_green_cannot_leave_out_what_to_do(make: Any) -> None:
    with pytest.raises(ValueError, match="says what to do"):
        make("rate", "camera", "3 a second", "")


# this machine's clock

NOW_NS = END_NS


@pytest.mark.parametrize(
    ("clock", "colour", "says"),
    [
        (
            MachineClock(NOW_NS, True, -0.25, 12.0, "chrony"),
            GREEN,
            "corrected by chrony: 0.250 ms off, 12.000 ms off at the most",
        ),
        (MachineClock(NOW_NS, True, None, None, "systemd-timesyncd"), GREEN, "corrected by systemd-timesyncd"),
        (MachineClock(NOW_NS, True, 80.0, 1.0, "chrony"), AMBER, "80.000 ms off"),
        (MachineClock(NOW_NS, True, 0.1, 16_000.0, "chrony"), AMBER, "16000.000 ms off at the most"),
        (MachineClock(NOW_NS, False), AMBER, "runs free"),
        (MachineClock(NOW_NS, None), AMBER, "does not say"),
        (MachineClock(1_000_000_000_000_000_000, True), RED, "before 2025"),
    ],
)
def test_this_machines_clock(clock: MachineClock, colour: Colour, says: str) -> None:
    found = only(machine_clock(clock))
    assert found.colour is colour
    assert says in found.measured


@pytest.mark.parametrize(
    ("told", "offset_ms"),
    [
        (
            "C0A80001,192.168.0.1,3,1790000000.1,-0.000012,0.000003,0.00002,-7.1,0.001,0.02,0.0003,0.0002,64.2,Normal\n",
            -0.012,
        ),
        # what chrony 4.3 says as its own time server, and without any
        (
            "7F7F0101,,10,1795335179.544013990,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal\n",
            0.0,
        ),
        (
            "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n",
            None,
        ),
        ("506 Cannot talk to daemon\n", None),
        ("", None),
        (",".join("abcdefghijklmn"), None),
    ],
)
def test_chronys_words_are_understood(told: str, offset_ms: float | None) -> None:
    assert chrony_offset_ms(told) == (None if offset_ms is None else pytest.approx(offset_ms))


# disk


def disk(**changes: Any) -> Disk:
    return replace(Disk(Path("/data"), free_bytes=500_000 * MB, bytes_s=400 * MB, worst_stall_s=0.05), **changes)


@pytest.mark.parametrize(("bytes_s", "colour"), [(120 * MB, GREEN), (100 * MB, AMBER), (50 * MB, RED)])
def test_a_disk_must_take_twice_what_the_rig_gives(bytes_s: int, colour: Colour) -> None:
    speed, _ = disk_speed(disk(bytes_s=bytes_s), 58 * MB)
    assert speed.colour is colour
    assert f"{bytes_s / MB:.0f} MB/s written and synced, the rig gives 58 MB/s" in speed.measured


@pytest.mark.parametrize(("of_the_queue", "colour"), [(0.4, GREEN), (0.9, AMBER), (1.1, RED)])
def test_a_stall_of_the_disk_must_fit_into_the_recorders_queue(of_the_queue: float, colour: Colour) -> None:
    _, stall = disk_speed(disk(worst_stall_s=of_the_queue * Limits().queue_bytes / (58 * MB)), 58 * MB)
    assert stall.colour is colour


def test_a_disk_that_cannot_be_written_to_is_red_with_its_words() -> None:
    found = only(disk_speed(disk(trouble="Read-only file system"), 58 * MB))
    assert (found.colour, found.measured) == (RED, "cannot be written to: Read-only file system")


@pytest.mark.parametrize(("hours_free", "colour"), [(2.1, GREEN), (1.0, AMBER), (0.4, RED)])
def test_free_space_is_told_in_hours_of_this_rig(hours_free: float, colour: Colour) -> None:
    kept_back = 512 << 20
    found = only(disk_space(disk(free_bytes=kept_back + round(hours_free * 3600 * 58 * MB)), 58 * MB, hours=2.0))
    assert found.colour is colour
    assert (f"{hours_free:.1f} h" if hours_free >= 1 else f"{hours_free * 60:.0f} min") in found.measured


@pytest.mark.parametrize("rig_bytes_s", [0.0, 58 * MB])
@pytest.mark.parametrize("free_mb", [0, 3, 400])
def test_a_full_disk_is_red_once_whatever_the_sensors_say(free_mb: int, rig_bytes_s: float) -> None:
    full = disk(free_bytes=free_mb * MB, bytes_s=0.0, worst_stall_s=0.0)
    assert disk_speed(full, rig_bytes_s) == []
    found = only(disk_space(full, rig_bytes_s, hours=2.0))
    assert (found.colour, found.measured.partition(" are free")[0]) == (RED, f"full: {free_mb} MB")


def test_hours_left_are_not_made_up_while_the_sensors_are_silent() -> None:
    assert only(disk_space(disk(), 0.0, hours=2.0)).colour is AMBER


# the machine

LAPTOP = Machine(cores=8, available_bytes=8_000 * MB)


@pytest.mark.parametrize(
    ("battery", "colour"),
    [
        (None, GREEN),
        (Battery(4.0, plugged=True), GREEN),
        (Battery(95.0, plugged=False, left_s=10_000), GREEN),
        (Battery(95.0, plugged=False, left_s=7_000), AMBER),
        (Battery(95.0, plugged=False), AMBER),
        (Battery(14.0, plugged=False, left_s=10_000), RED),
        (Battery(80.0, plugged=False, left_s=1_000), RED),
    ],
)
def test_power_must_last_as_long_as_is_to_be_recorded(battery: Battery | None, colour: Colour) -> None:
    assert only(power(replace(LAPTOP, battery=battery), hours=2.0)).colour is colour


def test_a_lid_that_suspends_is_amber() -> None:
    assert lid(LAPTOP) == []
    assert only(lid(replace(LAPTOP, lid="ignore"))).colour is GREEN
    found = only(lid(replace(LAPTOP, lid="suspend")))
    assert (found.colour, "systemd-inhibit" in found.advice) == (AMBER, True)


def test_what_a_lid_does_is_the_last_word_of_logind_files(tmp_path: Path) -> None:
    main, dropins = tmp_path / "logind.conf", tmp_path / "logind.conf.d"
    assert lid_action([main, dropins]) == "suspend", "logind's own default"
    main.write_text("[Login]\n#HandleLidSwitch=ignore\n")
    assert lid_action([main, dropins]) == "suspend", "a comment"
    main.write_text("[Login]\nHandleLidSwitch=lock\nHandleLidSwitchDocked=suspend\n")
    assert lid_action([main, dropins]) == "lock"
    dropins.mkdir()
    (dropins / "10-rig.conf").write_text("[Login]\nHandleLidSwitch = ignore\n")
    (dropins / "20-bad.conf").write_bytes(b"\xff\xfe")
    assert lid_action([main, dropins]) == "ignore"


@pytest.mark.parametrize(("busy", "colour"), [(0.3, GREEN), (0.7, AMBER), (0.95, RED)])
def test_a_busy_processor(busy: float, colour: Colour) -> None:
    found = only(processor(LAPTOP, busy, 0.12))
    assert (found.colour, f"{busy:.0%} of 8 cores" in found.measured) == (colour, True)


@pytest.mark.parametrize(("queues", "colour"), [(2.5, GREEN), (1.5, AMBER), (1.1, RED)])
def test_memory_must_hold_the_recorders_queue(queues: float, colour: Colour) -> None:
    available_bytes = round(queues * Limits().queue_bytes)
    assert only(memory(replace(LAPTOP, available_bytes=available_bytes))).colour is colour


@pytest.mark.parametrize(
    ("now_c", "limit_c", "colour"),
    [(50, 100, GREEN), (95, 100, AMBER), (101, 100, RED), (70, None, GREEN), (80, None, AMBER), (90, None, RED)],
)
def test_heat(now_c: float, limit_c: float | None, colour: Colour) -> None:
    hot = replace(LAPTOP, temperatures=(Temperature("coretemp", now_c, limit_c),))
    assert only(temperature(hot)).colour is colour
    assert temperature(LAPTOP) == []


def test_of_each_chip_the_hottest_point_is_taken_with_its_own_limit_if_that_makes_sense() -> None:
    def point(label: str, now: float, high: float | None, critical: float | None) -> SimpleNamespace:
        return SimpleNamespace(label=label, current=now, high=high, critical=critical)

    told = {
        "coretemp": [point("Core 0", 50, 90, 100), point("Core 1", 61, 90, 100)],
        "nvme": [point("", 40, 65261.85, 65261.85)], "acpitz": [point("", 30, None, None)], "none": [],
        "disk": [point("", 40, 70, None)],
    }  # fmt: skip
    assert hottest(told) == (
        Temperature("coretemp Core 1", 61, 100), Temperature("nvme", 40, None), Temperature("acpitz", 30, None),
        Temperature("disk", 40, 70),
    )  # fmt: skip


# permissions


@pytest.mark.parametrize(
    ("node", "colour", "advice"),
    [
        (DeviceNode("gnss", "/dev/ttyACM0", True, True, "dialout"), GREEN, ""),
        (
            DeviceNode("gnss", "/dev/ttyACM0", True, False, "dialout"),
            RED,
            "sudo usermod -aG dialout $USER, then log out and in again",
        ),
        (DeviceNode("gnss", "/dev/ttyACM0", False, False), RED, "plug it in, or correct rig.toml"),
        (DeviceNode("cam", "/dev/video0", True, False, "video"), RED, "sudo usermod -aG video $USER"),
        (DeviceNode("cam", "/dev/video0", True, False, "root"), RED, "(a udev rule)"),
        (DeviceNode("depth", "/dev/bus/usb/001/004", True, False, "root"), RED, "udev rules"),
    ],
)
def test_permission_to_open_a_device(node: DeviceNode, colour: Colour, advice: str) -> None:
    of_node, of_workspace = permissions(Permissions((node,), Path("/data")))
    assert (of_node.colour, of_node.subject) == (colour, node.sensor)
    assert advice in of_node.advice
    assert of_workspace.colour is GREEN


def test_a_device_that_is_not_there_is_told_once() -> None:
    gone, locked = DeviceNode("gnss", "/dev/a", False, False), DeviceNode("cam", "/dev/b", True, False, "video")
    findings = permissions(Permissions((gone, locked), Path("/data")), unopened=["gnss", "cam"])
    assert [(each.subject, each.colour) for each in findings] == [("cam", RED), ("workspace", GREEN)]


def test_a_workspace_that_cannot_be_written_is_red() -> None:
    found = only(permissions(Permissions((), Path("/data"), "/data is not writable")))
    assert (found.colour, found.measured) == (RED, "/data is not writable")


def test_usb_devices_are_found_by_their_makers_number(tmp_path: Path) -> None:
    for name, vendor, device in (("1-1", "8086", "4"), ("1-2", "046d", "5"), ("2-1", "8086", "x")):
        (tmp_path / name).mkdir()
        for file, text in (("idVendor", vendor), ("busnum", "1"), ("devnum", device)):
            (tmp_path / name / file).write_text(f"{text}\n")
    assert usb_nodes(("8086",), tmp_path) == ["/dev/bus/usb/001/004"]
