"""Which sensors can be seen from this machine, by the word of every installed driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devices.device import Found, driver, drivers
from devices.errors import DeviceError
from devices.progress import Progress
from devices.samples import GnssFix, Image, ImuSample, Mark, NamedVector, Sample, Sweep

# By what a sensor gives, it is called: the first that fits.
_KINDS: Mapping[type[Sample], str] = {
    Sweep: "lidar", Image: "camera", GnssFix: "gnss", NamedVector: "robot", Mark: "operator", ImuSample: "imu",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """found: in the order of the drivers' names. failed: driver -> why it could not look, in one line. sought: what was looked for."""

    found: Sequence[Found]
    failed: Mapping[str, str]
    sought: Sequence[str] = ()


def find_sensors(timeout_s: float, progress: Progress | None = None) -> Search:
    """Asks one driver after the other, each for at most about timeout_s: two that listen at one port must not meet there."""
    found: list[Found] = []
    failed: dict[str, str] = {}
    sought: list[str] = []
    names = sorted(drivers())
    for number, name in enumerate(names):
        if progress is not None:
            progress(f"looking for {name} sensors", number / len(names))
        try:
            looking = driver(name)
            found += looking.find(timeout_s)
            sought += [looking.sought] if looking.sought else []
        except DeviceError as error:
            failed[name] = str(error)
        except Exception as error:  # a library that is not there, a driver's defect: the others still look
            failed[name] = f"{type(error).__name__}: {error}"
    return Search(found, failed, sought)


def kind_of(driver_name: str) -> str:
    """What its sensors are called: lidar, camera, ...; the driver's own name where it gives none of these. Raises DeviceError."""
    given = set(driver(driver_name).yields.values())
    return next((kind for sample, kind in _KINDS.items() if sample in given), driver_name)


def default_names(driver_names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """``lidar`` where there is one of a kind, ``camera_1``, ``camera_2`` where there are more; none that is taken."""
    kinds = [kind_of(name) for name in driver_names]
    used, names = set(taken), []
    for kind in kinds:
        choices = [kind] if kinds.count(kind) == 1 else []
        choices += [f"{kind}_{number}" for number in range(1, len(kinds) + len(used) + 2)]
        names.append(next(name for name in choices if name not in used))
        used.add(names[-1])
    return names
