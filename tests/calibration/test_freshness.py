"""What preflight hears from calibration, in every colour."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.calibration import Calibration, save
from calibration.errors import CalibrationError
from calibration.freshness import Freshness
from capture.preflight.check import Context
from capture.preflight.finding import Colour, Finding
from capture.preflight.trial import Trial
from capture.workspace import Workspace
from devices.rig import rig_from_dict
from tests.calibration.builders import known_calibration

CALIBRATED = ("lidar", "camera_left")
DAY_NS = 86_400_000_000_000
MADE_NS = known_calibration().made_ns


def heard(workspace: Path, *sensors: str, days: float = 2.0) -> list[Finding]:
    """What the check says of a rig of these sensors, so many days after the calibration was made."""
    keys = {
        "lidar": {"driver": "velodyne", "model": "VLP-16"},
        "robot": {"driver": "named_vector", "ports": {"state": 0}},
    }
    camera = {"driver": "mjpeg", "url": "http://127.0.0.1:1/"}
    rig = rig_from_dict({"name": "made-up", "sensors": {name: keys.get(name, camera) for name in sensors}})
    now_ns = MADE_NS + round(days * DAY_NS)
    return list(Freshness().run(Context(rig, Workspace(workspace), Trial(5.0, now_ns, ()), now_ns)))


def made_later(made: Calibration) -> Calibration:
    parts = (made.recordings, made.cameras, made.mounts, made.time_offsets, made.verdict, made.reasons)
    return Calibration(made.rig, made.made_ns + 1, *parts)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_fresh_good_calibration_of_all_sensors_is_green_with_its_age(tmp_path: Path) -> None:
    made = known_calibration()
    save(made, Workspace(tmp_path))
    found = only(heard(tmp_path, *CALIBRATED, "robot"))
    assert (found.colour, found.measured) == (Colour.GREEN, f"{made.id}: good, 2.0 days old")


def test_no_calibration_is_amber_and_no_finding_for_a_rig_that_needs_none(tmp_path: Path) -> None:
    found = only(heard(tmp_path, *CALIBRATED))
    assert (found.colour, found.measured) == (Colour.AMBER, "this rig has never been calibrated")
    assert "fieldrig calibrate" in found.advice
    assert heard(tmp_path, "robot") == []


def test_an_old_one_is_amber(tmp_path: Path) -> None:
    save(known_calibration(), Workspace(tmp_path))
    assert only(heard(tmp_path, *CALIBRATED, days=29)).colour is Colour.GREEN
    assert only(heard(tmp_path, *CALIBRATED, days=31)).colour is Colour.AMBER


def test_a_camera_that_came_later_is_amber_by_name(tmp_path: Path) -> None:
    save(known_calibration(), Workspace(tmp_path))
    found = only(heard(tmp_path, *CALIBRATED, "camera_rear"))
    assert found.colour is Colour.AMBER
    assert "does not place camera_rear" in found.measured


def test_a_doubtful_one_is_amber_and_a_refused_one_red_with_their_reasons(tmp_path: Path) -> None:
    save(known_calibration("doubtful"), Workspace(tmp_path))
    doubtful = only(heard(tmp_path, *CALIBRATED))
    assert (doubtful.colour, "nearly parallel" in doubtful.measured) == (Colour.AMBER, True)
    save(made_later(known_calibration("refused")), Workspace(tmp_path))
    refused = only(heard(tmp_path, *CALIBRATED))
    assert (refused.colour, "nearly parallel" in refused.measured) == (Colour.RED, True)


def test_a_damaged_one_raises_in_words_that_preflight_shows(tmp_path: Path) -> None:
    path = save(known_calibration(), Workspace(tmp_path))
    path.write_text("{")
    with pytest.raises(CalibrationError, match="is no calibration file"):
        heard(tmp_path, *CALIBRATED)
