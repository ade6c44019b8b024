"""The calibration of a rig: one immutable file whose name is the hash of its content, with its evidence and its
verdict.

The rig frame is a gauge: the hand-measured mounting of the lidar *is* rig_from_lidar, exactly and without uncertainty,
and the cameras are placed relative to the lidar. Nothing a recording holds could tell where on the vehicle the rig's
origin lies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from capture.whole_file import write_whole
from devices.camera_model import CameraModel
from devices.errors import DeviceError
from devices.transform import Transform
from devices.written import text_of

if TYPE_CHECKING:
    from capture.workspace import Workspace

Verdict = Literal["good", "doubtful", "refused"]
Evidence = Mapping[str, Any]  # figures and words, as JSON holds them
VERDICTS: tuple[Verdict, ...] = ("good", "doubtful", "refused")
_FORMAT = "fieldrig-calibration-1"


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """How one camera sees.

    sigma: standard deviations of fx fy cx cy and each distortion coefficient, in this order; () where the maker states
    none.
    rms_px: root of the mean squared 2-D distance between seen and predicted corners, None where it was not measured
    here.
    """

    model: CameraModel
    sigma: tuple[float, ...]
    rms_px: float | None
    views: int
    verdict: Verdict
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Mount:
    """Where one sensor sits.

    covariance: (6, 6) of (w, d), rotation in rad then translation in m, both along the rig's axes: the true rotation is
    exp(w) R and the true translation t + d. All zero for the sensor that fixes the rig frame; None where it is unknown.
    """

    rig_from_sensor: Transform
    covariance: NDArray[np.float64] | None
    verdict: Verdict
    evidence: Evidence

    def __post_init__(self) -> None:
        if self.covariance is not None:
            covariance = np.array(self.covariance, dtype=np.float64)
            if covariance.shape != (6, 6):
                raise CalibrationError(f"a mount's covariance is 6x6, not {covariance.shape}")
            covariance.setflags(write=False)
            object.__setattr__(self, "covariance", covariance)

    @property
    def sigma_deg(self) -> float | None:
        """Standard deviation of the rotation: the root of the sum of its three variances."""
        return None if self.covariance is None else float(np.degrees(np.sqrt(np.trace(self.covariance[:3, :3]))))

    @property
    def sigma_m(self) -> float | None:
        """Standard deviation of the translation: the root of the sum of its three variances."""
        return None if self.covariance is None else float(np.sqrt(np.trace(self.covariance[3:, 3:])))


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """latency_ns: from the instant measured to its arrival at best; subtract it from what the clock fit gives.

    sigma_ns: how well the capture time is then known, None where nobody can tell. source: ``stated in rig.toml`` or
    where else it is from.
    """

    latency_ns: int
    sigma_ns: int | None
    source: str
    verdict: Verdict = "good"
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Everything that is known about where a rig's sensors sit, how they see, and when. id: hash of all the rest."""

    rig: str
    made_ns: int
    recordings: tuple[str, ...]
    cameras: Mapping[str, CameraCalibration]
    mounts: Mapping[str, Mount]
    time_offsets: Mapping[str, TimeOffset]
    verdict: Verdict
    reasons: tuple[str, ...]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", content_id(as_table(self)))

    def rig_from(self, sensor: str) -> Transform:
        """rig_from_SENSOR. Raises CalibrationError naming the sensors that are placed."""
        if sensor not in self.mounts:
            raise CalibrationError(
                f"calibration {self.id} does not say where '{sensor}' sits; it knows: {', '.join(sorted(self.mounts))}"
            )
        return self.mounts[sensor].rig_from_sensor

    def camera(self, sensor: str) -> CameraModel:
        """How a camera sees. Raises CalibrationError naming the cameras that are known."""
        if sensor not in self.cameras:
            raise CalibrationError(
                f"calibration {self.id} has no camera '{sensor}'; it knows: {', '.join(sorted(self.cameras)) or 'none'}"
            )
        return self.cameras[sensor].model

    def between(self, to: str, from_: str) -> Transform:
        """TO_from_FROM, e.g. camera_left_from_lidar."""
        return self.rig_from(to).inverse() @ self.rig_from(from_)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The least favourable of some verdicts; good when there are none."""
    return max(verdicts, key=VERDICTS.index, default="good")


def refuse(calibration: Calibration) -> None:
    """Raise CalibrationError when a calibration was refused: what uses one calls this first."""
    if calibration.verdict == "refused":
        why = "; ".join(calibration.reasons) or "no reason was recorded"
        raise CalibrationError(f"calibration {calibration.id} of rig '{calibration.rig}' was refused: {why}")


def save(calibration: Calibration, workspace: Workspace) -> Path:
    """Write calibrations/RIG/ID.json, whole or not at all; the file's path. One that is there already is the same."""
    path = Path(workspace.calibrations) / calibration.rig / f"{calibration.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, file_text(calibration))
    return path


def file_text(calibration: Calibration) -> str:
    """What a calibration's file holds."""
    table = {"id": calibration.id, **as_table(calibration)}
    return json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load(path: Path) -> Calibration:
    """Read a calibration file. Raises CalibrationError when it is missing, is none, or was edited after it was
    written.
    """
    try:
        table = json.loads(text_of(Path(path)))
    except FileNotFoundError:
        raise CalibrationError(f"no calibration at {path}; `fieldrig calibrate RECORDING` makes one") from None
    except OSError as error:
        raise CalibrationError(
            f"cannot read the calibration {path}: {error.strerror or error}; see whether you may"
        ) from None
    except ValueError as error:
        raise CalibrationError(
            f"{path} is no calibration file ({error}); `fieldrig calibrate RECORDING` makes one"
        ) from None
    if not isinstance(table, dict) or table.get("format") != _FORMAT:
        raise CalibrationError(f"{path} is no calibration file (its format is not '{_FORMAT}')")
    stated = table.pop("id", None)
    if stated != content_id(table):
        raise CalibrationError(
            f"{path} was edited: its content hashes to {content_id(table)}, not to its id {stated}; "
            "a calibration is never changed, make a new one"
        )
    try:
        return _from_table(table)
    except (KeyError, TypeError, ValueError, DeviceError) as error:
        raise CalibrationError(f"{path} lacks something or holds something wrong: {error!r}") from None


def content_id(table: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the canonical JSON: keys sorted, no spaces, UTF-8."""
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_table(calibration: Calibration) -> dict[str, Any]:
    """What the file holds beside the id (docs/FORMATS.md)."""
    return {
        "format": _FORMAT,
        "rig": calibration.rig,
        "made_ns": calibration.made_ns,
        "recordings": list(calibration.recordings),
        "verdict": calibration.verdict,
        "reasons": list(calibration.reasons),
        "cameras": {name: _camera_table(camera) for name, camera in calibration.cameras.items()},
        "mounts": {name: _mount_table(mount) for name, mount in calibration.mounts.items()},
        "time_offsets": {
            name: {
                "latency_ns": offset.latency_ns,
                "sigma_ns": offset.sigma_ns,
                "source": offset.source,
                "verdict": offset.verdict,
                "evidence": dict(offset.evidence),
            }
            for name, offset in calibration.time_offsets.items()
        },
    }


def _camera_table(camera: CameraCalibration) -> dict[str, Any]:
    model = camera.model
    return {
        "lens": model.lens,
        "width_px": model.width_px,
        "height_px": model.height_px,
        "fx": model.fx,
        "fy": model.fy,
        "cx": model.cx,
        "cy": model.cy,
        "distortion": list(model.distortion),
        "sigma": list(camera.sigma),
        "rms_px": camera.rms_px,
        "views": camera.views,
        "verdict": camera.verdict,
        "evidence": dict(camera.evidence),
    }


def _mount_table(mount: Mount) -> dict[str, Any]:
    return {
        "rig_from_sensor": mount.rig_from_sensor.matrix.tolist(),
        "covariance": None if mount.covariance is None else mount.covariance.tolist(),
        "verdict": mount.verdict,
        "evidence": dict(mount.evidence),
    }


def _from_table(table: Mapping[str, Any]) -> Calibration:
    return Calibration(
        rig=table["rig"],
        made_ns=table["made_ns"],
        recordings=tuple(table["recordings"]),
        cameras={name: _camera(entry) for name, entry in table["cameras"].items()},
        mounts={
            name: Mount(
                Transform("rig", name, np.array(entry["rig_from_sensor"])),
                None if entry["covariance"] is None else np.array(entry["covariance"]),
                _verdict(entry["verdict"]),
                entry["evidence"],
            )
            for name, entry in table["mounts"].items()
        },
        time_offsets={
            name: TimeOffset(
                entry["latency_ns"], entry["sigma_ns"], entry["source"], _verdict(entry["verdict"]), entry["evidence"]
            )
            for name, entry in table["time_offsets"].items()
        },
        verdict=_verdict(table["verdict"]),
        reasons=tuple(table["reasons"]),
    )


def _camera(entry: Mapping[str, Any]) -> CameraCalibration:
    shape = (entry["width_px"], entry["height_px"], entry["fx"], entry["fy"], entry["cx"], entry["cy"])
    model = CameraModel(entry["lens"], *shape, tuple(entry["distortion"]))
    verdict = _verdict(entry["verdict"])
    return CameraCalibration(model, tuple(entry["sigma"]), entry["rms_px"], entry["views"], verdict, entry["evidence"])


def _verdict(word: str) -> Verdict:
    for verdict in VERDICTS:
        if word == verdict:
            return verdict
    raise ValueError(f"no verdict '{word}'; it is one of: {', '.join(VERDICTS)}")
