"""What the page's process answers over HTTP, in front of a real control server."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest

from capture.control.seen_alarms import alarm_key
from capture.recorder_state import RecorderState
from tests.capture.dashboards import CAMERA, LIDAR, ROBOT, Served, served, standby


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("workspace"),
        ["--panel", "tests.capture.panels:progress", "--panel", "tests.capture.panels:broken"],
    ) as page:
        yield page


@pytest.fixture
def fresh(page: Served) -> Served:
    page.said.said = standby()
    page.said.asked.clear()
    wait_until(lambda: page.view()["state"] and not page.view()["lost"])
    return page


def seconds_until(holds: Callable[[], bool]) -> float:
    """Less what a busy machine held up the asking."""
    began_s = asked_s = time.monotonic()
    held_up_s = 0.0
    while not holds():
        time.sleep(0.05)
        held_up_s += max(0.0, time.monotonic() - asked_s - 0.2)
        asked_s = time.monotonic()
    return asked_s - began_s - held_up_s


def wait_until(holds, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)


def test_the_view_holds_the_recorders_state_and_no_decoders_description(fresh: Served) -> None:
    fresh.said.said = replace(standby(), streams=tuple(replace(s, description="x" * 9000) for s in standby().streams))
    view = fresh.view()
    assert view["state"]["task"] == "pick up the cup"
    assert [s["name"] for s in view["state"]["streams"]] == [CAMERA, LIDAR, ROBOT]
    assert [s["shows"] for s in view["state"]["streams"]] == ["picture", "plan", "figures"]
    assert all(s["description"] == "" for s in view["state"]["streams"])
    assert not view["lost"]


def test_a_rate_is_compared_with_the_rigs_and_else_with_what_it_mostly_was(fresh: Served) -> None:
    camera, lidar, _ = fresh.view()["state"]["streams"]
    assert (camera["expected_hz"], camera["is_usual"]) == (10.0, False)
    wait_until(lambda: fresh.view()["state"]["streams"][1]["expected_hz"] == 10.0)
    assert lidar["is_usual"]


@pytest.mark.parametrize(
    ("action", "body", "asked"),
    [
        ("start", {"details": {"task": "pour water", "consent_ids": ["c1", "c2"]}}, ("start", {"task": "pour water", "consent_ids": ["c1", "c2"]})),
        ("stop", {}, ("stop", None)),
        ("pause", {}, ("pause", None)),
        ("resume", {}, ("resume", None)),
        ("mark", {}, ("mark", ("mark", ""))),
        ("note", {"text": " door closed "}, ("mark", ("note", "door closed"))),
        ("episode_start", {"text": "pick up the cup"}, ("episode_start", "pick up the cup")),
        ("episode_stop", {"outcome": "failure"}, ("failure", None)),
        ("snapshot", {}, ("snapshot", None)),
        ("describe", {"details": {"operator": "Bo"}}, ("describe", {"operator": "Bo"})),
    ],
)  # fmt: skip
def test_every_action_reaches_the_recorder_and_its_answer_holds_the_state_after_it(fresh: Served, action, body, asked):
    answer = fresh.do(action, body).json()
    assert answer["ok"]
    assert fresh.said.asked == [asked]
    assert answer["view"]["state"]["mode"] == fresh.said.state().mode
    assert answer["view"]["state"]["sound"]["count"] == fresh.said.state().sound.count


@pytest.mark.parametrize(
    ("action", "body", "status", "why"),
    [
        ("explode", {}, 409, "cannot 'explode'"),
        ("episode_stop", {"outcome": "splendid"}, 400, "outcome"),
        ("note", {"text": "x" * 1001}, 400, "text"),
        ("note", {"text": "x" * 70_000}, 400, ""),
        ("describe", {"details": {"password": "x"}}, 400, "details.password"),
        ("mark", [1, 2], 400, ""),
    ],
)
def test_what_makes_no_sense_is_refused_in_words_and_asks_the_recorder_nothing(fresh, action, body, status, why):
    answer = fresh.do(action, body)
    assert answer.status_code == status
    assert why in answer.json()["error"]
    assert not fresh.said.asked


def test_what_the_recorder_refuses_is_told_in_its_words(fresh: Served, monkeypatch) -> None:
    from capture.errors import CaptureError

    def refuse() -> None:
        raise CaptureError("the recording is not paused")

    monkeypatch.setattr(fresh.said, "resume", refuse)
    answer = fresh.do("resume")
    assert (answer.status_code, answer.json()) == (409, {"ok": False, "error": "the recording is not paused"})


def test_a_cameras_picture_comes_narrowed_and_a_sweep_as_a_plan_with_the_wall_where_it_is(fresh: Served) -> None:
    picture = fresh.get(f"preview/{CAMERA}")
    assert picture.headers["content-type"] == "image/jpeg"
    small = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert small.shape == (180, 320, 3)
    assert small[170, 300, 0] > 200, "red grows to the right, as it was sent"
    assert small[10, 10, 0] < 60

    plan = cv2.imdecode(np.frombuffer(fresh.get(f"preview/{LIDAR}?reach=20").content, np.uint8), cv2.IMREAD_COLOR_RGB)
    lit = plan.max(axis=2) > 120
    ten_metres_ahead = round(plan.shape[0] / 2 * (1 - 10 / 20))
    assert lit[ten_metres_ahead - 3 : ten_metres_ahead + 4, 190:290].any(axis=0).mean() > 0.9
    assert not lit[:55, :200].any(), "nothing beyond the ground, which ends 15 m ahead"

    text = fresh.get(f"preview/{ROBOT}")
    assert text.text == "speed_m_s 1.250"
    assert abs(float(text.headers["x-host-ns"]) / 1e9 - time.time()) < 10


def test_however_many_look_the_recorder_is_asked_for_a_picture_at_most_about_twice_a_second(fresh: Served) -> None:
    before, began_s = fresh.said.previews.get(CAMERA, 0), time.monotonic()
    answers = [fresh.get(f"preview/{CAMERA}").status_code for _ in range(40)]
    asked, passed_s = fresh.said.previews[CAMERA] - before, time.monotonic() - began_s
    assert set(answers) == {200}
    assert asked <= passed_s / 0.45 + 1


def test_a_picture_that_does_not_decode_is_no_picture_and_a_foreign_stream_is_not_found(fresh: Served) -> None:
    whole, fresh.said.packets[CAMERA] = fresh.said.packets[CAMERA], [b"\xff\xd8 garbage"]
    time.sleep(0.5)
    assert fresh.get(f"preview/{CAMERA}").status_code == 204
    fresh.said.packets[CAMERA] = whole
    for path in ("preview/other/image", "preview/", f"preview/{CAMERA}?width=5000", f"preview/{LIDAR}?reach=x"):
        assert fresh.get(path).status_code == 404, path


def test_panels_of_other_stages_are_shown_and_a_broken_one_says_so(fresh: Served) -> None:
    wait_until(lambda: len(fresh.view()["panels"]) == 2)
    progress, broken = fresh.view()["panels"]
    assert progress == {"title": "Progress", "lines": [{"text": "11 episodes", "level": "good"}]}
    assert broken["lines"][0]["level"] == "bad"
    assert "ZeroDivisionError" in broken["lines"][0]["text"]


def test_an_alarm_is_unseen_until_acknowledged_whatever_its_figures_and_unseen_again_when_it_comes_back(fresh) -> None:
    fresh.said.said = standby(alarms=("camera_1: nothing for 3 s", "camera_2: nothing for 3 s"))
    wait_until(lambda: len(fresh.view()["unseen_alarms"]) == 2)
    fresh.do("acknowledge")
    fresh.said.said = standby(alarms=("camera_1: nothing for 4 s", "camera_2: nothing for 5 s"))
    assert fresh.view()["unseen_alarms"] == []
    assert len(fresh.view()["alarms"]) == 2
    fresh.said.said = standby(alarms=("camera_1: nothing for 9 s", "camera_3: nothing for 3 s"))
    wait_until(lambda: fresh.view()["unseen_alarms"] == ["camera_3: nothing for 3 s"])
    fresh.said.said = standby()
    wait_until(lambda: not fresh.view()["alarms"])
    fresh.said.said = standby(alarms=("camera_1: nothing for 3 s",))
    wait_until(lambda: len(fresh.view()["unseen_alarms"]) == 1)


def test_a_state_that_was_under_way_when_an_action_was_answered_takes_nothing_back(
    fresh: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, under_way, go_on = fresh.said.state, threading.Event(), threading.Event()

    def held_up_once() -> RecorderState:
        made = state()
        if not under_way.is_set():
            under_way.set()
            assert go_on.wait(30)
        return made

    monkeypatch.setattr(fresh.said, "state", held_up_once)
    assert under_way.wait(30)
    assert fresh.do("start").json()["view"]["state"]["mode"] == "recording"
    go_on.set()
    with fresh.browser.stream("GET", fresh.url + "events") as events:
        lines = (line for line in events.iter_lines() if line.startswith("data: "))
        modes = [json.loads(line.removeprefix("data: "))["state"]["mode"] for line in itertools.islice(lines, 6)]
    assert modes == ["recording"] * 6


def test_two_sensors_or_addresses_are_two_alarms_but_two_figures_are_one() -> None:
    assert alarm_key("431.5 MB left") == alarm_key("9 MB left")
    assert alarm_key("camera_1 is gone") != alarm_key("camera_2 is gone")
    assert alarm_key("http://192.168.1.31/ is gone") != alarm_key("http://192.168.1.32/ is gone")


# ---- who may


def raw(page: Served, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """A request as it is, without what a library would put right."""
    connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    with contextlib.closing(connection), contextlib.closing(answer):
        return answer.status, answer.read()


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "headers",
    [
        {**JSON, "Origin": "http://evil.example"},
        {**JSON, "Origin": "null"},
        {**JSON, "Host": "evil.example"},  # a name of theirs that points here
        {**JSON, "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},  # what a form may send without asking
        {},
    ],
)
def test_another_site_can_make_the_recorder_do_nothing(fresh: Served, headers: dict[str, str]) -> None:
    status, _ = raw(fresh, "POST", "/do/stop", headers, b"{}")
    assert status == 403
    assert not fresh.said.asked
    own = urlsplit(fresh.url).netloc
    assert (
        raw(fresh, "POST", "/do/stop", {**JSON, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}, b"{}")[0]
        == 200
    )


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}]
)
def test_another_site_can_read_nothing(fresh: Served, headers: dict[str, str]) -> None:
    for path in ("/events", f"/preview/{CAMERA}", "/"):
        assert raw(fresh, "GET", path, headers)[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/page/../../server.py", "/%2e%2e/server.py", "/preview/../../etc/passwd", "/page.js/../../__main__.py", "//etc/passwd", "/page.js%00.html"],
)  # fmt: skip
def test_no_path_leads_to_any_other_file(fresh: Served, path: str) -> None:
    status, body = raw(fresh, "GET", path, {})
    assert status == 404
    assert b"import" not in body
    assert b"root:" not in body


def test_no_other_page_may_frame_it_and_nothing_is_loaded_from_elsewhere(fresh: Served) -> None:
    answer = fresh.get("")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for name in ("", "page.css", "page.js", "icon.svg"):
        text = fresh.get(name).text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "").replace("\n//", ""), f"{name} names another host"


def test_opened_to_the_network_it_asks_for_the_token_and_gives_a_cookie_for_it(tmp_path) -> None:
    with served(tmp_path, ["--host", "0.0.0.0"], token="s3cret") as page:
        for path in ("", "page.js", "events", f"preview/{CAMERA}", "?token=", "?token=wrong", "events?token=s3cret"):
            assert page.get(path).status_code == 401, path
        assert page.do("stop").status_code == 401
        assert not page.said.asked
        with httpx.Client(base_url=page.url) as phone:
            entered = phone.get("/?token=s3cret")
            assert entered.status_code == 200
            assert "HttpOnly; SameSite=Strict" in entered.headers["set-cookie"]
            assert phone.get("page.js").status_code == 200
            assert phone.post("do/mark", json={}).status_code == 200


def test_it_is_not_opened_to_the_network_without_a_token(tmp_path) -> None:
    with pytest.raises(ValueError, match="invalid literal"), served(tmp_path, ["--host", "0.0.0.0"]):
        pass


# ---- the recorder goes


def test_a_recorder_that_is_gone_is_lost_within_two_seconds_and_found_again(tmp_path) -> None:
    with served(tmp_path) as page:
        wait_until(lambda: page.view()["state"])
        page.control.close()
        assert seconds_until(lambda: page.view()["lost"]) < 2.0
        assert "no recorder" in page.view()["said"] or "ended" in page.view()["said"]
        assert page.view()["state"]["task"] == "pick up the cup", "what was known last stays"
        refused = page.do("mark")
        assert refused.status_code == 409
        assert "no recorder" in refused.json()["error"]

        from capture.control.server import ControlServer
        from capture.workspace import Workspace

        again = ControlServer(page.said, Workspace(tmp_path), "van")
        wait_until(lambda: not page.view()["lost"])
        again.close()


def test_a_page_whose_command_has_died_stays_to_say_so_and_leaves_for_the_next_recorder(tmp_path) -> None:
    with served(tmp_path, ["--supervised"]) as page:
        wait_until(lambda: page.view()["state"])
        page.control.close()
        page.process.stdin.close()
        time.sleep(3.5)
        assert page.process.poll() is None
        assert page.view()["lost"]

        from capture.control.server import ControlServer
        from capture.workspace import Workspace

        again = ControlServer(page.said, Workspace(tmp_path), "van")
        assert page.process.wait(60) in (0, -signal.SIGTERM)
        again.close()


def test_a_page_whose_command_has_died_leaves_when_nobody_looks(tmp_path) -> None:
    with served(tmp_path, ["--supervised"]) as page:
        page.control.close()
        page.process.stdin.close()
        with page.browser.stream("GET", page.url + "events") as looking:
            lines, until_s = looking.iter_lines(), time.monotonic() + 6
            while time.monotonic() < until_s:
                next(lines)
            assert page.process.poll() is None, "somebody looks"
        assert page.process.wait(60) == 0


def test_ended_in_order_it_tells_the_pages_that_look_at_it(tmp_path) -> None:
    with served(tmp_path) as page:
        with httpx.stream("GET", page.url + "events", timeout=60) as events:
            lines = events.iter_lines()
            next(lines)
            os.kill(page.process.pid, signal.SIGTERM)
            assert "event: end" in list(lines)
        page.process.wait(60)
