"""Renders the virtual rig's takes into a cache: once for each state of the code, one take after another."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devices.errors import DeviceError
from devices.virtual.rig_file import BASE_PORT, rig_toml
from devices.virtual.scenes import Scene, calibration_scene, drive_scene
from devices.virtual.take_files import read_made, save_made
from devices.virtual.take_writer import write_take

CALIBRATION, DRIVE = "calibration", "drive"
TAKES = (CALIBRATION, DRIVE)
Progress = Callable[[str, float], None]
_SCENES: dict[str, Callable[[], Scene]] = {CALIBRATION: calibration_scene, DRIVE: drive_scene}
_NOT_RENDERING = ("play.py", "commands.py", "__main__.py")


@dataclass(frozen=True, slots=True)
class VirtualTakes:
    """What render() left: a rig file for the crew, takes to play."""

    cache: Path
    names: tuple[str, ...]
    length_ns: dict[str, int]

    @property
    def rig(self) -> Path:
        return self.cache / "rig.toml"

    def truth(self, take: str) -> Path:
        """For scorecards and tests."""
        return self.cache / take / "truth.json"

    def played(self, take: str) -> Path:
        """When it was last played; for scorecards and tests."""
        return self.cache / take / "play.json"


def render(
    cache: Path,
    *,
    progress: Progress | None = None,
    takes: Sequence[str] = TAKES,
    seconds: float | None = None,
    base_port: int = BASE_PORT,
) -> VirtualTakes:
    """Render what the cache lacks or holds from an older state of the code; a finished take is never rendered again.

    progress: called with a take's name and the share of it that is done. seconds: cut each take short.
    """
    lengths = {}
    cache.mkdir(parents=True, exist_ok=True)
    for name in takes:
        if name not in _SCENES:
            raise DeviceError(f"no take called '{name}'; choose from: {', '.join(TAKES)}")
        key = _key(name, seconds)
        made = read_made(cache / name)
        if made.get("key") != key:
            made = _rendered(cache, name, key, seconds, progress)
        if progress:
            progress(name, 1.0)
        lengths[name] = int(made["length_ns"])
    (cache / "rig.toml").write_text(rig_toml(base_port), encoding="utf-8")
    return VirtualTakes(cache, tuple(takes), lengths)


def _key(name: str, seconds: float | None) -> str:
    """A hash of the code that renders and of what was asked for."""
    digest = hashlib.sha256(f"{name} {seconds}".encode())
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), here.parent / "camera_model.py", here.parent / "transform.py"]):
        if path.name not in _NOT_RENDERING:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _rendered(cache: Path, name: str, key: str, seconds: float | None, progress: Progress | None) -> dict[str, Any]:
    try:
        return _render_take(cache, name, key, seconds, progress)
    except OSError as error:
        raise DeviceError(
            f"cannot render the take '{name}' into {cache} ({error.strerror}); it takes 0.35 GB there"
        ) from None


def _render_take(cache: Path, name: str, key: str, seconds: float | None, progress: Progress | None) -> dict[str, Any]:
    """Into a folder at the side, which takes its place when it is whole."""
    side, folder = cache / f"{name}.rendering", cache / name
    for stale in (side, folder):
        shutil.rmtree(stale, ignore_errors=True)
    side.mkdir()
    scene = _SCENES[name]()
    if seconds is not None:
        scene = replace(scene, length_ns=min(scene.length_ns, int(seconds * 1e9)))
    write_take(side, name, scene, (lambda share: progress(name, share)) if progress else None)
    made = save_made(side, key, scene.length_ns)
    side.rename(folder)
    return made
