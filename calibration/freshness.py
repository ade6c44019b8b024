"""Preflight's question to this stage: has this rig a calibration, can it be trusted, how old is it?"""

from __future__ import annotations

from collections.abc import Sequence

from calibration.calibration import Calibration
from calibration.lookup import latest
from capture.preflight.check import Context
from capture.preflight.finding import Finding, amber, green, red
from devices.samples import Image, Sweep

_OLD_DAYS = 30  # mounts settle and screws loosen; a month is what rigs on vehicles are recalibrated after
_DAY_NS = 86_400_000_000_000
_MAKE_ONE = "record the board and run: fieldrig calibrate RECORDING (it may also be done after the drive, before the rig is touched)"


class Freshness:
    """A Check of capture.preflight."""

    name = "calibration"

    def run(self, context: Context) -> Sequence[Finding]:
        """Raises CalibrationError when the newest file is damaged."""
        rig, sensors = context.rig.name, placed_sensors(context)
        if not sensors:
            return []
        if not any((context.workspace.calibrations / rig).glob("*.json")):
            return [amber(self.name, rig, "this rig has never been calibrated", _MAKE_ONE)]
        return [freshness(rig, latest(context.workspace, rig), sensors, context.now_ns)]


def placed_sensors(context: Context) -> list[str]:
    """The sensors that a calibration has to place: cameras and lidars."""
    placed = {Image, Sweep}
    return [
        name for name, sensor in context.rig.sensors.items() if placed & set(sensor.loaded_driver().yields.values())
    ]


def freshness(rig: str, calibration: Calibration, sensors: Sequence[str], now_ns: int) -> Finding:
    """The newest calibration against the rig as it is. sensors: those that it has to place."""
    age_days = (now_ns - calibration.made_ns) / _DAY_NS
    measured = f"{calibration.id}: {calibration.verdict}, {age_days:.1f} days old"
    if calibration.verdict == "refused":
        return red("calibration", rig, f"{measured} ({'; '.join(calibration.reasons)})", _MAKE_ONE)
    if unplaced := [name for name in sensors if name not in calibration.mounts]:
        return amber("calibration", rig, f"{measured}; it does not place {', '.join(unplaced)}", _MAKE_ONE)
    if calibration.verdict == "doubtful":
        return amber("calibration", rig, f"{measured} ({'; '.join(calibration.reasons)})", _MAKE_ONE)
    if age_days > _OLD_DAYS:
        return amber("calibration", rig, measured, _MAKE_ONE)
    return green("calibration", rig, measured)
