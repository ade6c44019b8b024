"""Every check of what the sensors sent, in every colour that it can give."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.preflight.buffers import buffers, rmem_max_bytes
from capture.preflight.camera_settings import camera_settings
from capture.preflight.clocks import sensor_clocks
from capture.preflight.finding import Colour
from capture.preflight.rates import rates
from capture.preflight.sensors import decoding, losses, speaking
from capture.preflight.trial import StreamFacts
from devices.device import ClockSource, Stream
from devices.rig import rig_from_dict
from devices.samples import GnssFix, ImuSample, NamedVector, Sweep
from tests.capture.trials import END_NS, MB, facts, only, rig_expecting, silent, stamps, trial

GREEN, AMBER, RED = Colour.GREEN, Colour.AMBER, Colour.RED

# speaks


def test_a_sensor_that_sends_is_green_with_its_packets_and_bytes_a_second() -> None:
    found = only(speaking(rig_expecting(), trial(facts(30))))
    assert (found.colour, found.measured) == (GREEN, "30.0 packets/s, 3 MB/s")


def test_a_sensor_that_says_nothing_is_red() -> None:
    found = only(speaking(rig_expecting(), trial(silent())))
    assert (found.colour, found.measured) == (RED, "nothing came in 5.0 s")
    assert "check its power" in found.advice


def test_a_sensor_that_cannot_be_opened_is_red_with_the_drivers_own_words() -> None:
    found = only(
        speaking(rig_expecting(), trial(unopened={"camera": "camera: no camera at http://x; check the address"}))
    )
    assert (found.colour, found.advice) == (RED, "camera: no camera at http://x; check the address")


def test_a_sensor_that_went_away_is_red_with_the_drivers_own_words() -> None:
    found = only(speaking(rig_expecting(), trial(facts(failure="camera/image: the connection broke"))))
    assert (found.colour, found.advice) == (RED, "camera/image: the connection broke")


def test_one_silent_output_of_a_sensor_that_speaks_is_amber() -> None:
    found = only(speaking(rig_expecting(), trial(facts(), silent(name="camera/imu", yields=ImuSample))))
    assert (found.colour, found.subject) == (AMBER, "camera/imu")


def test_what_speaks_only_when_something_happens_may_be_silent() -> None:
    assert only(speaking(rig_expecting(), trial(silent(is_steady=False)))).colour is GREEN
    assert rates(rig_expecting(), trial(silent(is_steady=False))) == []


# rate


@pytest.mark.parametrize(
    ("hz", "expected_hz", "colour"),
    [(30, 30, GREEN), (29.5, 30, GREEN), (28.5, 30, AMBER), (31.5, 30, AMBER), (15, 30, RED), (60, 30, RED)],
)
def test_a_rate_is_judged_by_what_rig_toml_expects(hz: float, expected_hz: float, colour: Colour) -> None:
    found = only(rates(rig_expecting(expected_hz), trial(facts(hz))))
    assert found.colour is colour
    assert f"{hz:.2f} a second, {expected_hz:g} expected" in found.measured


STATED = [
    ("jpeg", '{"settings": {"fps": 30}}'),
    ("jpeg", '{"fps": 30.0}'),
    ("yuyv", '{"rate_hz": 30, "settings": {}}'),
    ("ouster.lidar", '{"lidar_mode": "1024x30"}'),
    ("ouster.lidar", '{"config_params": {"lidar_mode": "512x30"}}'),
]


@pytest.mark.parametrize(("encoding", "description"), STATED)
def test_a_rate_is_judged_by_what_the_sensor_states(encoding: str, description: str) -> None:
    stream = Stream("camera/image", encoding, description)
    assert only(rates(rig_expecting(), trial(facts(30, stream=stream)))).colour is GREEN
    assert only(rates(rig_expecting(), trial(facts(15, stream=stream)))).colour is RED
    assert only(rates(rig_expecting(15), trial(facts(15, stream=stream)))).colour is GREEN, "rig.toml overrules"


UNSTATED = ["", "VLP-16", "[30]", "{", '{"fps": "30"}', '{"fps": true}', '{"fps": 0}', '{"lidar_mode": 7}', "[" * 9999]


@pytest.mark.parametrize("encoding", ["jpeg", "ouster.lidar"])
@pytest.mark.parametrize("description", [*UNSTATED, '{"lidar_mode": "1024x0"}'])
def test_a_description_that_states_no_rate_makes_none_up(encoding: str, description: str) -> None:
    found = only(rates(rig_expecting(), trial(facts(17, stream=Stream("camera/image", encoding, description)))))
    assert (found.colour, found.measured) == (GREEN, "17.00 a second, steady (nothing states what it should be)")


@pytest.mark.parametrize(
    ("description", "colour"),
    [('{"lidar_mode": "1024x10"}', GREEN), ('{"rate_hz": 100}', GREEN), ('{"rate_hz": 200}', RED)],
)
def test_an_imu_beside_a_camera_is_judged_by_its_own_word_not_by_the_sensors(description: str, colour: Colour) -> None:
    imu = facts(100, "camera/imu", yields=ImuSample, stream=Stream("camera/imu", "ouster.imu", description))
    both = rates(rig_expecting(30), trial(facts(30), imu))
    assert [finding.colour for finding in both] == [GREEN, colour]


def test_of_a_sensor_that_is_nothing_but_an_imu_the_rate_is_asked() -> None:
    assert only(rates(rig_expecting(30), trial(facts(100, "camera/imu", yields=ImuSample)))).colour is RED


def test_a_stream_without_a_stated_rate_is_amber_when_it_is_unsteady() -> None:
    stutter = np.concatenate([stamps(100, 0, 3), stamps(30, 3, 5)])
    found = only(rates(rig_expecting(), trial(facts(arrivals_ns=stutter))))
    assert found.colour is AMBER
    assert "between 30 and 100 packets a second" in found.measured


def test_a_slow_stream_is_not_called_unsteady_or_silent_for_being_slow() -> None:
    found = only(rates(rig_expecting(), trial(facts(1.0))))
    assert found.colour is GREEN


def test_a_stream_that_falls_silent_is_red_though_its_mean_rate_is_right() -> None:
    died = facts(arrivals_ns=stamps(30, 0, 3))
    assert only(rates(rig_expecting(), trial(died))).measured == "fell silent 2.0 s before the end"
    paused = facts(arrivals_ns=np.concatenate([stamps(30, 0, 2), stamps(30, 3.5, 5)]))
    found = only(rates(rig_expecting(), trial(paused)))
    assert (found.colour, found.measured) == (RED, "was silent for 1.5 s")


BURSTS = [END_NS - 4_800_000_000 + second * 1_010_000_000 + part * 100_000 for second in range(5) for part in range(12)]


def gnss(heard_s: float = 5.0, without_s: tuple[int, ...] = ()) -> StreamFacts:
    """Twelve sentences a second, all at once; a fix is whole when the next second's begin."""
    arrivals = np.array([
        at for number, at in enumerate(BURSTS)
        if at < END_NS - 5_000_000_000 + heard_s * 1e9 and number // 12 not in without_s
    ], dtype=np.int64)  # fmt: skip
    return facts(arrivals_ns=arrivals, sample_arrivals_ns=arrivals[12::12], yields=GnssFix)


@pytest.mark.parametrize("heard_s", [1.9, 2.5, 3.5, 5.0])
def test_a_receiver_that_speaks_once_a_second_is_not_called_silent_or_unsteady(heard_s: float) -> None:
    ended = trial(gnss(heard_s), duration_s=heard_s, ended_ns=END_NS - round((5 - heard_s) * 1e9))
    found = only(rates(rig_expecting(), ended))
    assert found.colour is (GREEN if heard_s > 3 else AMBER)
    assert "silent" not in found.measured
    assert only(rates(rig_expecting(1), ended)).colour is found.colour


def test_a_receiver_that_misses_a_second_is_not_red_and_one_that_stops_is() -> None:
    assert only(rates(rig_expecting(), trial(gnss(without_s=(2,))))).colour is GREEN
    stopped = trial(gnss(), ended_ns=END_NS + 8_000_000_000)
    found = only(rates(rig_expecting(), stopped))
    assert (found.colour, found.measured) == (RED, "fell silent 8.8 s before the end")


def test_where_no_rate_is_stated_a_silence_is_told_with_how_to_state_it() -> None:
    paused = facts(arrivals_ns=np.concatenate([stamps(30, 0, 2), stamps(30, 3.5, 5)]))
    assert "rate_hz = " in only(rates(rig_expecting(), trial(paused))).advice
    assert "rate_hz" not in only(rates(rig_expecting(30), trial(paused))).advice


def test_a_camera_that_froze_after_its_first_picture_is_red_unless_it_is_that_slow() -> None:
    frozen = facts(arrivals_ns=stamps(30)[:1])
    found = only(rates(rig_expecting(), trial(frozen)))
    assert (found.colour, found.measured) == (RED, "fell silent 5.0 s before the end")
    assert only(rates(rig_expecting(0.5), trial(frozen))).colour is AMBER


def test_too_few_samples_for_a_rate_are_amber_and_none_at_all_red() -> None:
    few = facts(30, sample_arrivals_ns=stamps(30)[:2], yields=Sweep)
    found = only(rates(rig_expecting(), trial(few)))
    assert (found.colour, found.measured) == (AMBER, "2 samples in 5.0 s")
    assert "--for 30s" in found.advice
    assert only(rates(rig_expecting(), trial(replace(few, sample_arrivals_ns=stamps(30)[:0])))).colour is RED


# decodes, losses


@pytest.mark.parametrize(
    ("rejected", "colour"), [({}, GREEN), ({"wrong CRC": 2}, AMBER), ({"another model": 140}, RED)]
)
def test_packets_that_mean_nothing_are_told_with_their_reasons(rejected: dict[str, int], colour: Colour) -> None:
    found = only(decoding(trial(facts(30, rejected=rejected))))
    assert found.colour is colour
    for reason, count in rejected.items():
        assert f"{count} of 150 packets looked at are passed over ({count} x {reason})" in found.measured


def test_video_whose_key_frame_has_not_come_is_amber_not_red() -> None:
    none = stamps(30)[:0]
    video = facts(30, carries_over=True, sample_arrivals_ns=none, rejected={"before the first key frame": 150})
    for found in (only(decoding(trial(video))), only(rates(rig_expecting(30), trial(video)))):
        assert found.colour is AMBER
        assert "key frame a second" in found.advice
    garbage = replace(video, yields=Sweep)
    assert only(decoding(trial(garbage))).colour is RED
    assert only(rates(rig_expecting(30), trial(garbage))).colour is RED


def test_a_silent_stream_has_nothing_to_decode() -> None:
    assert decoding(trial(silent())) == []


@pytest.mark.parametrize(("buffer", "says"), [(425_984, "receive buffer"), (None, "its cable, its bus")])
def test_one_lost_packet_is_red(buffer: int | None, says: str) -> None:
    assert only(losses(trial(facts()))).measured == "none of 150 packets lost"
    assert losses(trial(silent())) == [], "nothing came: nothing is said of losses"
    found = only(losses(trial(facts(), facts(name="b/image", lost=1, receive_buffer_bytes=buffer))))
    assert (found.colour, found.subject, found.measured) == (RED, "b/image", "1 packets lost of 151")
    assert says in found.advice


# buffers


@pytest.mark.parametrize(
    ("buffer", "colour"), [(134_217_728, GREEN), (20_000_000, GREEN), (8_388_608, AMBER), (425_984, RED)]
)
def test_a_receive_buffer_must_bridge_a_pause_of_its_reader(buffer: int, colour: Colour) -> None:
    lidar = facts(1280, "lidar/points", yields=Sweep, receive_buffer_bytes=buffer, size_bytes=5 * 31 * MB)
    found = only(buffers(trial(lidar), rmem_max=212_992))
    assert found.colour is colour
    if colour is not GREEN:
        assert found.advice.startswith("sudo sysctl -w net.core.rmem_max=67108864 (it is 212992); to keep it: echo ")
        assert found.advice.endswith("| sudo tee /etc/sysctl.d/60-fieldrig.conf")


def test_a_buffer_that_the_system_would_grant_larger_is_not_blamed_on_the_system() -> None:
    lidar = facts(1280, receive_buffer_bytes=425_984, size_bytes=5 * 31 * MB)
    assert "sysctl" not in only(buffers(trial(lidar), rmem_max=1 << 30)).advice
    assert "it is" not in only(buffers(trial(lidar), rmem_max=None)).advice


def test_a_camera_over_tcp_has_no_such_buffer() -> None:
    assert buffers(trial(facts()), rmem_max=212_992) == []


def test_rmem_max_is_read_where_the_system_says_it(tmp_path: Path) -> None:
    (tmp_path / "rmem_max").write_text("212992\n")
    assert rmem_max_bytes(tmp_path / "rmem_max") == 212_992
    assert rmem_max_bytes(tmp_path / "gone") is None


# camera settings


def camera(name: str, driver: str = "uvc", **settings: Any) -> StreamFacts:
    return facts(
        name=f"{name}/image", driver=driver, description=json.dumps({"settings": settings}) if settings else ""
    )


def test_cameras_that_are_fixed_and_alike_are_green() -> None:
    fixed = {"exposure_us": 4000, "gain": 1.0, "auto_exposure": False}
    found = only(camera_settings(trial(camera("a", **fixed), camera("b", **fixed))))
    assert (found.colour, found.subject) == (GREEN, "a/image, b/image")
    assert found.measured == "equal and fixed: exposure_us 4000, gain 1.0"


@pytest.mark.parametrize("key", ["auto_exposure", "auto_white_balance", "auto_focus"])
def test_whatever_a_camera_sets_by_itself_is_amber(key: str) -> None:
    found = only(camera_settings(trial(camera("a", exposure_us=4000, **{key: True}))))
    assert (found.colour, found.measured) == (AMBER, f"{key} on")


def test_a_setting_that_the_camera_did_not_take_is_amber_with_both_values() -> None:
    said = {"settings": {"exposure_us": 4100}, "differs": {"exposure_us": {"asked": 4000, "is": 4100}, "gain": 3}}
    found = camera_settings(trial(facts(driver="uvc", description=json.dumps(said))))
    assert (only(found).colour, only(found).measured) == (AMBER, "exposure_us is 4100, 4000 was asked")


def test_cameras_of_a_kind_that_differ_are_amber_with_both_values() -> None:
    found = only(camera_settings(trial(camera("a", exposure_us=4000, gain=1), camera("b", exposure_us=8000, gain=1))))
    assert found.colour is AMBER
    assert "exposure_us: 4000, 8000" in found.measured
    assert "gain" not in found.measured


def test_cameras_of_different_kinds_may_differ() -> None:
    colour, infrared = camera("a", "realsense", exposure_us=4000), camera("b", "realsense", exposure_us=8000)
    infrared = replace(infrared, stream=replace(infrared.stream, name="a/infrared"))
    assert [each.colour for each in camera_settings(trial(colour, infrared))] == [GREEN, GREEN]
    both = camera_settings(trial(camera("a", exposure_us=4000), camera("b", "realsense", exposure_us=8000)))
    assert [finding.colour for finding in both] == [GREEN, GREEN]


@pytest.mark.parametrize("description", ["", "{", "[]", '{"settings": 3}', '{"model": "x"}'])
def test_a_camera_that_does_not_tell_its_settings_is_amber_not_green(description: str) -> None:
    found = only(camera_settings(trial(facts(description=description))))
    assert (found.colour, found.measured) == (AMBER, "not told by the camera")


def test_settings_that_a_camera_can_neither_take_nor_tell_are_amber_for_each_key() -> None:
    differs = {"exposure_us": {"asked": 4000, "is": None}, "gain": {"asked": 2, "is": None}}
    found = camera_settings(trial(facts(driver="uvc", description=json.dumps({"settings": {}, "differs": differs}))))
    assert [(each.colour, each.measured) for each in found] == [
        (AMBER, "exposure_us cannot be read back, 4000 was asked, gain cannot be read back, 2 was asked"),
        (AMBER, "not told by the camera"),
    ]


def test_a_rig_without_cameras_has_no_camera_settings() -> None:
    assert camera_settings(trial(facts(yields=Sweep))) == []


# sensor clocks


def clocked(source: ClockSource, late_s: float, drift_ppm: float = 0.0) -> StreamFacts:
    """Stamps that are late_s behind their arrival here, on a clock that gains drift_ppm on this machine's."""
    arrivals = stamps(200)
    gained_ns = ((arrivals - arrivals[0]) * drift_ppm * 1e-6).astype(np.int64)
    return facts(200, clock_source=source, device_ns=arrivals - round(late_s * 1e9) + gained_ns)


@pytest.mark.parametrize(
    ("source", "late_s", "colour"),
    [
        (ClockSource.FREE, 1e6, GREEN),
        (ClockSource.PTP, 0.002, GREEN),
        (ClockSource.PTP, -36.998, GREEN),
        (ClockSource.PTP, 1234.0, AMBER),
        (ClockSource.PTP, END_NS / 1e9 - 53, AMBER),
        (ClockSource.GNSS, 0.1, GREEN),
        (ClockSource.RTCP, 0.3, GREEN),
        (ClockSource.RTCP, -37.0, AMBER),
        (ClockSource.HOST, 0.01, GREEN),
        (ClockSource.HOST, 60.0, AMBER),
    ],
)
def test_a_sensors_clock_must_stand_where_it_claims(source: ClockSource, late_s: float, colour: Colour) -> None:
    found = only(sensor_clocks(trial(clocked(source, late_s))))
    assert found.colour is colour
    if source is not ClockSource.FREE:
        assert found.measured.startswith("claims ")
    if colour is AMBER:
        assert ";" not in found.measured, "what to do is not what was measured"


def test_a_clock_that_claims_ptp_and_drifts_is_amber() -> None:
    found = only(sensor_clocks(trial(clocked(ClockSource.PTP, 0.002, drift_ppm=400))))
    assert found.colour is AMBER
    assert re.search(r"drifts by -(399|400)\.\d", found.measured)
    assert "ptp4l" in found.advice


def test_a_sensor_without_stamps_is_amber_and_one_whose_clock_stands_still_red() -> None:
    none = np.empty(0, dtype=np.int64)
    assert only(sensor_clocks(trial(facts(device_ns=none, device_arrivals_ns=none)))).colour is AMBER
    stopped = facts(device_ns=np.full(len(stamps(30)), 7, dtype=np.int64))
    found = only(sensor_clocks(trial(stopped)))
    assert (found.colour, "stands still" in found.measured) == (RED, True)


def test_vectors_are_judged_like_pictures() -> None:
    robot = rig_from_dict(
        {"name": "b", "sensors": {"robot": {"driver": "named_vector", "ports": {"state": 0}, "rate_hz": 50}}}
    )
    state = facts(50, "robot/state", yields=NamedVector)
    assert only(rates(robot, trial(state))).colour is GREEN
