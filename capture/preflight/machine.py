"""The laptop: power, lid, processor, memory, heat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capture.limits import Limits
from capture.preflight.finding import Finding, amber, green, red

_LOGIND = ("/etc/systemd/logind.conf", "/usr/lib/systemd/logind.conf.d", "/etc/systemd/logind.conf.d")
_LIDS = Path("/proc/acpi/button/lid")
_BUSY_AMBER, _BUSY_RED = 0.6, 0.85
_MEMORY_AMBER, _MEMORY_RED = 2.0, 1.2  # times the recorder's queue
_HIGHEST_LIMIT_C = 150.0
_HOT_C, _COOL_ENOUGH_C = 85.0, 8.0  # where the chip does not say its own limit; distance from the limit
_CHARGE_RED_PERCENT = 15.0


@dataclass(frozen=True, slots=True)
class Battery:
    """left_s: None where the system cannot tell."""

    percent: float
    plugged: bool
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Temperature:
    """limit_c: what the chip itself calls critical, else high; None where it says nothing that makes sense."""

    label: str
    now_c: float
    limit_c: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """battery: None without one. lid: what closing it does (``suspend``, ``ignore``), empty without a lid."""

    cores: int
    available_bytes: int
    battery: Battery | None = None
    lid: str = ""
    temperatures: tuple[Temperature, ...] = ()


def measure_machine() -> Machine:
    import psutil

    return Machine(
        cores=psutil.cpu_count() or 1,
        available_bytes=psutil.virtual_memory().available,
        battery=_battery(getattr(psutil, "sensors_battery", lambda: None)()),  # psutil has it where the system tells
        lid=lid_action([Path(each) for each in _LOGIND]) if any(_LIDS.glob("*")) else "",
        temperatures=hottest(getattr(psutil, "sensors_temperatures", dict)()),
    )


def _battery(told: Any) -> Battery | None:
    """From psutil; a negative secsleft is one of its words for 'unknown' and 'on mains'."""
    if told is None:
        return None
    return Battery(float(told.percent), bool(told.power_plugged), float(told.secsleft) if told.secsleft > 0 else None)


def hottest(told: Mapping[str, Sequence[Any]]) -> tuple[Temperature, ...]:
    """The hottest point of each chip that psutil knows."""
    chips = {chip: max(points, key=lambda point: point.current) for chip, points in told.items() if points}
    return tuple(
        Temperature(f"{chip} {point.label}".strip(), point.current, _limit_c(point.critical, point.high))
        for chip, point in chips.items()
    )


def _limit_c(*told: float | None) -> float | None:
    """Some disks say 65261 where they mean that they do not know."""
    return next((each for each in told if each is not None and 0 < each < _HIGHEST_LIMIT_C), None)


def lid_action(places: Sequence[Path]) -> str:
    """What logind does when the lid is closed: the last HandleLidSwitch of its files, in the order in which it reads them."""
    files = [file for place in places for file in (sorted(place.glob("*.conf")) if place.is_dir() else [place])]
    action = "suspend"
    for file in files:
        try:
            said = re.findall(r"^\s*HandleLidSwitch\s*=\s*([\w-]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        except (OSError, UnicodeDecodeError):
            continue
        action = said[-1] if said else action
    return action


def power(machine: Machine, hours: float) -> list[Finding]:
    """hours: how long is to be recorded."""
    battery, check = machine.battery, "power"
    if battery is None:
        return [green(check, "this machine", "no battery: on mains")]
    if battery.plugged:
        return [green(check, "battery", f"on mains, {battery.percent:.0f} %")]
    left = "" if battery.left_s is None else f", {battery.left_s / 3600:.1f} h left by its own account"
    measured = f"on battery: {battery.percent:.0f} %{left} ({hours:.1f} h wanted)"
    advice = "plug it in: a machine on battery also slows down its processor and its USB ports"
    if battery.percent < _CHARGE_RED_PERCENT or (battery.left_s is not None and battery.left_s < hours * 3600 / 4):
        return [red(check, "battery", measured, advice)]
    if battery.left_s is None or battery.left_s < hours * 3600:
        return [amber(check, "battery", measured, advice)]
    return [green(check, "battery", measured)]


def lid(machine: Machine) -> list[Finding]:
    if not machine.lid:
        return []
    if machine.lid == "ignore":
        return [green("lid", "this machine", "closing it changes nothing")]
    return [
        amber("lid", "this machine", f"closing it means: {machine.lid}, which ends a recording",
              "leave it open, or record under: systemd-inhibit --what=handle-lid-switch:sleep:idle fieldrig record RIG.toml")
    ]  # fmt: skip


def processor(machine: Machine, busy_share: float, own_cores: float) -> list[Finding]:
    """busy_share: of all cores while the trial ran, by all programs. own_cores: what listening took of it."""
    measured = f"{busy_share:.0%} of {machine.cores} cores busy while the sensors were listened to, which took {own_cores:.2f} cores of it"
    if busy_share <= _BUSY_AMBER:
        return [green("processor", "this machine", measured)]
    colour = amber if busy_share <= _BUSY_RED else red
    return [
        colour(
            "processor",
            "this machine",
            measured,
            "end other programs; a recorder that does not get the processor loses packets",
        )
    ]


def memory(machine: Machine) -> list[Finding]:
    queue_bytes = Limits().queue_bytes
    measured = (
        f"{machine.available_bytes / 1e9:.1f} GB available, the recorder's queue may take {queue_bytes / 1e9:.2f} GB"
    )
    if machine.available_bytes >= _MEMORY_AMBER * queue_bytes:
        return [green("memory", "this machine", measured)]
    colour = amber if machine.available_bytes >= _MEMORY_RED * queue_bytes else red
    return [
        colour("memory", "this machine", measured, "end other programs: a system without memory ends the largest one")
    ]


def temperature(machine: Machine) -> list[Finding]:
    return [_temperature(each) for each in machine.temperatures]


def _temperature(chip: Temperature) -> Finding:
    limit_c = _HOT_C if chip.limit_c is None else chip.limit_c
    measured = f"{chip.now_c:.0f} °C, its limit is {limit_c:.0f} °C"
    if chip.now_c < limit_c - _COOL_ENOUGH_C:
        return green("temperature", chip.label, measured)
    colour = amber if chip.now_c < limit_c else red
    return colour("temperature", chip.label, measured, "shade it and let air to its fans: a hot processor slows down")
