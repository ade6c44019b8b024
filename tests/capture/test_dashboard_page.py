"""The page in a real browser: what a crew sees, touches and hears. Real sensors' packets, a real recorder where a take is made."""

import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from capture.control.server import ControlServer
from capture.recorder import Recorder
from capture.recorder_state import EpisodeState, RecorderState, StatedMark
from capture.recording_info import load_info
from capture.workspace import Workspace
from devices.rig import load_rig
from tests.capture.dashboards import CAMERA, Served, page_process, served, standby
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, write_rig

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
LARGE_PHONE = PHONE | {"viewport": {"width": 390, "height": 844}}
LAPTOP = {"viewport": {"width": 1366, "height": 768}}
LISTEN = """
    window.tones = [];
    window.heldUpMs = 0;  // how long a busy machine held up the page, or what it hears, since all was well
    let heardAt = 0, tickAt = 0;
    addEventListener("load", () => {
        const shown = window.show;
        window.show = (newest) => {
            shown(newest);
            const now = performance.now();
            if (newest.lost) window.heldUpMs += Math.max(0, now - heardAt - 300);
            else { window.heldUpMs = 0; window.lastGoodAt = now; }
            heardAt = now;
        };
    });
    setInterval(() => {
        const now = performance.now();
        window.heldUpMs += Math.max(0, now - tickAt - 100);
        tickAt = now;
    }, 50);
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) { window.tones.push(this.frequency.value); return start.call(this, at); };
"""
GONE = "camera_left/image: http://127.0.0.1:1/stream closed the connection; is the camera still up?"
LONG_GONE = (
    "{name}/image: http://192.168.178.{host}:8080/axis-cgi/mjpg/video.cgi?resolution=1920x1080&fps=30 is gone (it closed the connection); "
    "opening it anew fails: http://192.168.178.{host}:8080/axis-cgi/mjpg/video.cgi?resolution=1920x1080&fps=30 cannot be reached "
    "([Errno 113] No route to host); check its address, its power and the network"
)
DEAD_CLOCK = (
    "lidar/points claims PTP, but its clock is 1970-01-01 + 4021 s: it counts since power-up; start a PTP master on its network "
    "(ptp4l with phc2sys), or set the sensor to its own oscillator"
)


def states() -> dict:
    """The faces of the page."""
    now_ns = time.time_ns()
    taking = {
        "mode": "recording",
        "recording_id": "20260131T104200Z-van-x7d2",
        "elapsed_s": 4021.0,
        "file_bytes": 8_600_000_000,
        "synced_s_ago": 0.4,
        "marks": (StatedMark(now_ns, "mark", "door closed"), StatedMark(now_ns, "episode_stop", "success")),
        "order": "acme-cups",
        "order_lines": ("pick up the cup, north yard: 12 of 40 episodes",),
    }
    open_episode = EpisodeState(True, "pick up the cup", 23.4, {"success": 11, "failure": 2, "discard": 1})
    gone = tuple(
        replace(s, connected=False, failure=GONE, rate_hz=0.0) if s.name == CAMERA else replace(s, lost=42)
        for s in standby().streams
    )
    return {
        "standby": standby(),
        "recording": standby(**taking, episode=open_episode),
        "paused": standby(**{**taking, "mode": "paused"}),
        "closing": standby(**{**taking, "mode": "closing"}),
        "clock": standby(**taking, alarms=(DEAD_CLOCK,)),
        "full": standby(
            **taking, disk_left_s=430.0, alarms=("the disk is full in 7 min at this rate; free some space",)
        ),
        "snapshot": standby(mode="snapshot", kept_s=30.0),
        "alarm": standby(
            **taking, streams=gone, alarms=(GONE, "lidar/points loses packets (42 by now); check its cable")
        ),
    }


@pytest.fixture(scope="module")
def browser(needs_system_package) -> Iterator[Browser]:
    chromium = needs_system_package("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serving(tmp_path_factory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("workspace")) as serving:
        yield serving


@pytest.fixture
def van(serving: Served) -> Served:
    serving.said.said = standby()
    serving.said.asked.clear()
    wait_for(lambda: is_calm(serving.view()))
    return serving


def is_calm(view: dict) -> bool:
    return bool(view["state"]) and view["state"]["mode"] == "standby" and not (view["lost"] or view["alarms"])


@pytest.fixture
def phone(browser: Browser, van: Served) -> Iterator[Page]:
    yield from opened(browser, van.url, PHONE)


@pytest.fixture
def laptop(browser: Browser, van: Served) -> Iterator[Page]:
    yield from opened(browser, van.url, LAPTOP)


def opened(browser: Browser, url: str, device: dict, **more) -> Iterator[Page]:
    """The page once it shows a state; what it throws fails the test."""
    context = browser.new_context(**device, **more)
    page, thrown = context.new_page(), []
    page.add_init_script(LISTEN)
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto(url)
    page.wait_for_selector("body:not([data-mode=none])")
    page.wait_for_selector("#lost", state="hidden")
    yield page
    context.close()
    assert not thrown


def face(page: Page, van: Served, name: str) -> None:
    van.said.said = states()[name]
    van.said._started_s = time.monotonic() - van.said.said.elapsed_s
    mode = van.said.said.mode
    page.wait_for_function("mode => document.body.dataset.mode === mode && !view.lost", arg=mode)
    page.wait_for_function("count => view.alarms.length === count", arg=len(van.said.said.alarms))


def asked(van: Served) -> list:
    return [name for name, _ in van.said.asked]


# ---- what a glove can hit, and an eye can read


SIZES = """
    () => [...document.querySelectorAll("button, input, summary, a")]
        .filter((each) => each.checkVisibility())
        .map((each) => { const r = each.getBoundingClientRect(); return [each.id || each.className || each.textContent.trim(), r.width, r.height]; })
"""


@pytest.mark.parametrize("device", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_nothing_to_touch_is_smaller_than_48_px_and_what_starts_and_ends_a_take_is_96(browser, van, device):
    for page in opened(browser, van.url, device):
        for name in states():
            face(page, van, name)
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            page.evaluate("for (const each of document.querySelectorAll('.stream')) each.classList.add('large')")
            sizes = page.evaluate(SIZES)
            assert len(sizes) > 5
            assert not [(what, width, height) for what, width, height in sizes if min(width, height) < 48], name
            big = {what: min(width, height) for what, width, height in sizes if what in {"record", "mark"}}
            assert min(big["record"], big["mark"]) >= 96
            assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], name
            seen = page.locator("#record").bounding_box()
            assert seen["y"] + seen["height"] <= page.viewport_size["height"], "in sight without scrolling"


FIGURES = """
    () => {
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const ground = (node) => {
            for (let each = node; each; each = each.parentElement) {
                const [r, g, b, a = 1] = rgb(getComputedStyle(each).backgroundColor);
                if (a > 0) return [r, g, b];
            }
            return null;
        };
        const shown = (node) => node.checkVisibility() && [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
        return [...document.querySelectorAll("body *")].filter(shown)
            .filter((node) => !node.closest("button:disabled, #lost, noscript, option"))
            .map((node) => [node.id || node.className || node.tagName, rgb(getComputedStyle(node).color), ground(node)]);
    }
"""


def luminance(rgb) -> float:
    """WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb[:3])]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_a_contrast_of_7_in_the_sun_and_in_the_dark(browser, van, scheme):
    for page in opened(browser, van.url, PHONE, color_scheme=scheme):
        for name in states():
            face(page, van, name)
            found = page.evaluate(FIGURES)
            assert {"mode", "glance"} <= {what for what, _, _ in found}
            dull = [(what, round(contrast(ink, ground), 1)) for what, ink, ground in found if contrast(ink, ground) < 7]
            assert not dull, name


def test_contrast_is_computed_as_wcag_does() -> None:
    assert math.isclose(contrast((0, 0, 0), (255, 255, 255)), 21.0)
    assert math.isclose(contrast((119, 119, 119), (255, 255, 255)), 4.48, abs_tol=0.01)


# ---- what is shown


def test_the_phone_shows_each_sensor_with_its_picture_rate_losses_clock_and_age(phone: Page, van: Served) -> None:
    camera, lidar, robot = (phone.locator(".stream").nth(i) for i in range(3))
    lidar.scroll_into_view_if_needed()
    phone.wait_for_function(
        "() => [...document.querySelectorAll('.stream img')].filter((each) => each.naturalWidth >= 320).length === 2"
    )
    assert camera.locator(".name").inner_text() == "camera_left/image"
    assert camera.locator(".hz").inner_text() == "10.0 Hz"
    assert camera.locator(".of").inner_text() == "of 10.0"
    assert lidar.locator(".clock").inner_text() == "+0.13 ms ± 0.004 ms (PTP)"
    assert lidar.locator(".age").inner_text().endswith("s ago")
    assert camera.locator(".clock").inner_text() == "none of its own"
    robot.scroll_into_view_if_needed()
    phone.wait_for_function(
        "() => [...document.querySelectorAll('.stream pre')].some((each) => each.textContent === 'speed_m_s 1.250')"
    )
    assert phone.locator("#glance").inner_text() == "✓ 3 streams good · disk 5 h"
    assert phone.locator("#disk-left").inner_text() == "5 h 41 min"


def test_a_sensor_that_is_gone_or_loses_packets_is_named_at_the_top_and_on_its_card(phone: Page, van: Served) -> None:
    face(phone, van, "alarm")
    assert phone.locator("#glance").inner_text() == "! camera_left/image gone, lidar/points 42 lost and 1 more"
    assert phone.locator(".stream").first.get_attribute("data-level") == "bad"
    assert phone.locator(".failure").first.inner_text() == GONE.removeprefix("camera_left/image: ")
    assert phone.locator("#alarm-lines .alarm-what").first.inner_text() == "camera_left/image is gone"
    assert phone.locator("#alarms").bounding_box()["y"] < 300


def test_where_there_is_an_alarm_nothing_in_sight_says_that_all_is_good(phone: Page, van: Served) -> None:
    face(phone, van, "clock")
    assert phone.locator("#glance").inner_text() == "! lidar/points alarm"
    assert phone.locator(".stream .status").all_inner_texts() == ["good", "alarm", "good"]
    assert phone.locator("#alarm-lines strong").inner_text() == DEAD_CLOCK.partition("; ")[0]
    phone.locator("#alarm-lines summary").tap()
    assert phone.locator("#alarm-lines p").inner_text() == DEAD_CLOCK
    assert phone.locator(".stream").nth(1).locator(".clock").inner_text().endswith("(PTP)")
    face(phone, van, "full")
    phone.wait_for_function("() => document.getElementById('glance').innerText === '! 1 alarm · disk 7 min'")
    assert "bad" in phone.locator("#glance").get_attribute("class")


def two_cameras_gone(*more: str) -> RecorderState:
    """While recording, with long reasons. more: further alarms."""
    camera, lidar, robot = standby().streams
    why = {
        f"camera_{side}/image": LONG_GONE.format(name=f"camera_{side}", host=host)
        for side, host in (("left", 40), ("right", 41))
    }
    gone = [replace(camera, name=name, connected=False, failure=text, rate_hz=0.0) for name, text in why.items()]
    return replace(states()["recording"], streams=(*gone, lidar, robot), alarms=(*why.values(), *more))


def alarmed(page: Page, van: Served, state: RecorderState) -> None:
    van.said.said = state
    page.wait_for_function(
        "count => document.querySelectorAll('#alarm-lines > *').length === count", arg=len(state.alarms)
    )
    page.wait_for_function("mode => document.body.dataset.mode === mode", arg=state.mode)


def in_reach(page: Page, selector: str) -> float:
    """The smaller side of what can be touched without scrolling, with nothing over it or cut off; px, 0 where it cannot be."""
    side: float = page.locator(selector).evaluate("""(node) => {
        const { left, top, right, bottom } = node.getBoundingClientRect();
        const hit = [[left + 8, top + 8], [right - 8, top + 8], [left + 8, bottom - 8], [right - 8, bottom - 8]];
        const isFree = hit.every(([x, y]) => node.contains(document.elementFromPoint(x, y)));
        return isFree ? Math.min(right - left, bottom - top) : 0;
    }""")
    return side


LOSES = "lidar/points loses packets (42 by now); close other programs, or check its cable and the receive buffer"


@pytest.mark.parametrize("device", [LARGE_PHONE, PHONE, LAPTOP], ids=["large phone", "phone", "laptop"])
@pytest.mark.parametrize("more", [(LOSES,), (DEAD_CLOCK,), (LOSES, DEAD_CLOCK, *(f"camera {at} is odd; see it" for at in "abcd"))],
                         ids=["three", "three, a long one", "eight"])  # fmt: skip
def test_however_many_alarms_what_ends_a_take_and_what_silences_them_are_in_reach_of_a_glove(
    browser, van, device, more
) -> None:
    for page in opened(browser, van.url, device):
        alarmed(page, van, two_cameras_gone(*more))
        assert page.evaluate("scrollY") == 0
        assert in_reach(page, "#record") >= 96
        assert in_reach(page, "#mark") >= 96
        assert in_reach(page, "#acknowledge") >= 64
        for each in page.locator("#alarm-lines summary").all():
            each.click()
            assert in_reach(page, "#acknowledge") >= 64, "with the reasons open, too"
        page.locator("#acknowledge").click()
        page.wait_for_selector("#alarms.seen")
        assert in_reach(page, "#record") >= 96


def test_an_alarm_says_in_short_what_happened_since_when_and_what_to_do_and_a_touch_tells_the_reason(
    browser, van
) -> None:
    state = two_cameras_gone(LOSES)
    for page in opened(browser, van.url, LARGE_PHONE):
        before = time.strftime("%H:%M:%S")
        alarmed(page, van, state)
        whats = page.locator("#alarm-lines .alarm-what").all_inner_texts()
        assert whats == [
            "camera_left/image is gone", "camera_right/image is gone", "lidar/points loses packets (42 by now)",
        ]  # fmt: skip
        sinces = page.locator("#alarm-lines .alarm-since").all_inner_texts()
        assert all(before <= each.removeprefix("since ") <= time.strftime("%H:%M:%S") for each in sinces), sinces
        assert page.locator("#alarm-lines .alarm-do").all_inner_texts()[::2] == [
            "check its address, its power and the network",
            "close other programs, or check its cable and the receive buffer",
        ]
        assert "Errno" not in page.locator("#alarms").inner_text()
        page.locator("#alarm-lines summary").nth(1).tap()
        assert state.alarms[1] in page.locator("#alarms").inner_text()
        assert state.alarms[0] not in page.locator("#alarms").inner_text()

        later = tuple(each.replace("42", "43") for each in state.alarms if "camera_left" not in each)
        alarmed(page, van, replace(state, streams=state.streams[1:], alarms=later))
        page.wait_for_function("() => document.getElementById('alarm-lines').innerText.includes('(43 by now)')")
        assert state.alarms[1] in page.locator("#alarms").inner_text(), "it stays open while others come, go and count"
        assert page.locator("#alarm-lines .alarm-since").all_inner_texts() == sinces[1:]


def test_a_page_that_is_opened_later_knows_since_when_an_alarm_has_been(browser, van) -> None:
    for first in opened(browser, van.url, LARGE_PHONE):
        alarmed(first, van, two_cameras_gone())
        since = first.locator(".alarm-since").first.inner_text()
    time.sleep(1.1)
    for second in opened(browser, van.url, LAPTOP):
        alarmed(second, van, two_cameras_gone())
        assert second.locator(".alarm-since").first.inner_text() == since


def test_while_a_recording_is_closed_nothing_can_be_started_or_ended_and_the_page_says_why(
    phone: Page, van: Served
) -> None:
    face(phone, van, "closing")
    assert phone.locator("#mode").inner_text() == "CLOSING"
    assert phone.locator("#record").inner_text() == "Closing"
    assert phone.locator("#record").is_disabled()
    assert not [each for each in ("#episode", "#note-form", "#pause") if phone.locator(each).is_visible()]
    face(phone, van, "standby")
    assert phone.locator("#record").inner_text() == "Start"
    assert phone.locator("#record").is_enabled()


def test_a_start_folds_away_what_was_filled_in_before_it(phone: Page, van: Served) -> None:
    assert phone.locator("#about").get_attribute("open") is not None
    phone.locator("#record").tap()
    phone.wait_for_selector("body[data-mode=recording]")
    assert phone.locator("#about").get_attribute("open") is None
    phone.keyboard.press("i")
    assert phone.evaluate("document.activeElement.name") == "task"


def test_a_picture_that_does_not_change_any_more_is_called_old(laptop: Page, van: Served, monkeypatch) -> None:
    laptop.wait_for_function("() => document.querySelector('.stream img').naturalWidth > 0")
    kept = van.said.preview(CAMERA)
    monkeypatch.setattr(van.said, "preview", lambda stream: kept if stream == CAMERA else [])
    laptop.locator(".stream.stream .old").first.wait_for(state="visible")
    assert "old" in laptop.locator(".old").first.inner_text()


def test_previews_are_asked_for_only_while_their_card_is_in_sight(phone: Page, van: Served) -> None:
    phone.evaluate("scrollTo(0, 0)")
    phone.evaluate("document.getElementById('about').open = true")
    seen = [dict(van.said.previews)]

    def is_still() -> bool:
        """For as long as three of what is asked for most often: what was asked for before is there."""
        phone.wait_for_timeout(1500)
        seen.append(dict(van.said.previews))
        return seen[-1] == seen[-2]

    wait_for(is_still, 15)
    before = seen[-1]
    phone.locator(".stream").first.scroll_into_view_if_needed()
    wait_for(lambda: van.said.previews[CAMERA] > before.get(CAMERA, 0))


def test_a_touch_enlarges_a_picture_and_the_plan_reaches_as_far_as_asked(laptop: Page, van: Served) -> None:
    laptop.locator(".stream .view").first.click()
    laptop.wait_for_function("() => document.querySelector('.stream img').naturalWidth === 960")
    lidar = laptop.locator(".stream").nth(1)
    lidar.locator(".view").click()
    with laptop.expect_response(lambda answer: "reach=50" in answer.url) as answer:
        lidar.locator(".reach").click()
    assert answer.value.status == 200
    with laptop.expect_response(lambda answer: "heights=all" in answer.url):
        lidar.locator(".heights").click()


# ---- what a crew does


def test_one_touch_starts_but_only_a_second_of_holding_stops(phone: Page, van: Served) -> None:
    phone.locator("#record").tap()
    phone.wait_for_selector("body[data-mode=recording]")
    for _ in range(3):
        phone.locator("#record").tap()
    assert phone.locator("#toast").inner_text() == "Hold for one second to stop"
    held(phone, 500)
    assert "stop" not in asked(van)
    held(phone, 1300)
    phone.wait_for_selector("body[data-mode=standby]")
    assert asked(van) == ["start", "stop"], "the finger that is lifted off the button starts nothing anew"


def held(page: Page, ms: int) -> None:
    box = page.locator("#record").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(ms)
    page.mouse.up()


def test_the_keys_do_what_the_buttons_do(laptop: Page, van: Served) -> None:
    def press(key: str, name: str) -> None:
        laptop.keyboard.press(key)
        laptop.wait_for_function("count => view.state.sound.count === count", arg=van_count + len(expected) + 1)
        expected.append(name)

    van_count, expected = van.said.said.sound.count, []
    for key, name in [("r", "start"), ("Space", "mark"), ("e", "episode_start"), ("e", "success"), ("e", "episode_start"),
                      ("f", "failure"), ("e", "episode_start"), ("d", "discard"), ("p", "pause"), ("p", "resume")]:  # fmt: skip
        press(key, name)
    laptop.keyboard.press("r")
    laptop.wait_for_timeout(300)
    assert asked(van) == expected, "a short r does not stop"
    laptop.keyboard.down("r")
    laptop.wait_for_selector("body[data-mode=standby]")
    laptop.keyboard.up("r")
    laptop.wait_for_timeout(300)
    assert asked(van) == [*expected, "stop"], "nor does the key that is let go of start anew"


def test_the_space_bar_marks_and_does_not_press_the_button_that_has_the_focus_nor_in_a_note(laptop: Page, van) -> None:
    face(laptop, van, "recording")
    laptop.locator("#pause").focus()
    laptop.keyboard.press("Space")
    laptop.wait_for_function("() => document.getElementById('toast').textContent === 'Marked'")
    laptop.keyboard.press("n")
    laptop.keyboard.type("a red cup")
    laptop.keyboard.press("Enter")
    laptop.wait_for_function("() => document.getElementById('toast').textContent === 'Note taken'")
    assert van.said.asked == [("mark", ("mark", "")), ("mark", ("note", "a red cup"))]
    assert laptop.locator("#note").input_value() == ""
    assert "note: a red cup" in laptop.locator("#marks").inner_text()


def test_an_episode_is_started_ended_and_counted_with_the_thumb(phone: Page, van: Served) -> None:
    face(phone, van, "recording")
    assert phone.locator("#episode-since").inner_text() == "00:23"
    phone.locator("[data-outcome=success]").tap()
    phone.wait_for_function("() => document.getElementById('done-success').textContent === '12'")
    assert not phone.locator("#outcomes").is_visible()
    phone.locator("#episode-start").tap()
    phone.locator("[data-outcome=discard]").tap()
    phone.wait_for_function("() => document.getElementById('done-discard').textContent === '2'")
    assert van.said.asked == [("success", None), ("episode_start", "pick up the cup"), ("discard", None)]


def test_what_is_typed_about_a_recording_is_saved_before_the_start_that_follows_it(phone: Page, van: Served) -> None:
    phone.fill("input[name=operator]", "Bo")
    phone.fill("input[name=consent_ids]", "c-17, c-18,")
    phone.locator("#record").tap()
    phone.wait_for_selector("body[data-mode=recording]")
    assert van.said.asked == [
        ("describe", {"operator": "Bo"}), ("describe", {"consent_ids": ["c-17", "c-18"]}), ("start", {}),
    ]  # fmt: skip
    van.said.said = replace(van.said.said, site="quarry")
    phone.wait_for_function("() => document.querySelector('input[name=site]').value === 'quarry'")


def test_a_field_whose_text_is_refused_shows_again_what_the_recorder_holds(
    laptop: Page, van: Served, monkeypatch
) -> None:
    from capture.errors import CaptureError

    van.said.said = replace(van.said.said, order="acme-cups", consent_ids=("c-17",))
    laptop.wait_for_function("() => document.querySelector('input[name=order]').value === 'acme-cups'")

    def unknown(details) -> None:
        raise CaptureError("no order orders/gibtsnicht.toml; there are: acme-cups")

    monkeypatch.setattr(van.said, "describe", unknown)
    for name, held in (("order", "acme-cups"), ("consent_ids", "c-17"), ("site", "yard")):
        laptop.fill(f"input[name={name}]", "gibtsnicht")
        laptop.press(f"input[name={name}]", "Enter")
        laptop.wait_for_function(f"() => document.querySelector('input[name={name}]').value === '{held}'")
        assert "no order orders/gibtsnicht.toml" in laptop.inner_text("#toast")
    monkeypatch.undo()
    laptop.fill("input[name=site]", "quarry")
    laptop.press("input[name=site]", "Enter")
    laptop.wait_for_function("() => document.getElementById('toast').textContent === 'Saved'")
    assert laptop.input_value("input[name=site]") == "quarry"


def test_what_the_recorder_refuses_is_said_in_its_words_and_sounds_refused(
    laptop: Page, van: Served, monkeypatch
) -> None:
    from capture.errors import CaptureError

    def full(details) -> None:
        raise CaptureError("only 12 MB are free at /data; free some space")

    monkeypatch.setattr(van.said, "start", full)
    laptop.locator("#record").click()
    laptop.wait_for_function("() => document.getElementById('toast').textContent.includes('only 12 MB are free')")
    assert laptop.evaluate("tones") == [220, 220]


def test_what_is_missing_for_the_order_is_shown(laptop: Page, van: Served) -> None:
    face(laptop, van, "recording")
    assert laptop.locator("#panels .heading").inner_text() == "Still missing for acme-cups"
    assert laptop.locator("#panels li").all_inner_texts() == ["pick up the cup, north yard: 12 of 40 episodes"]


# ---- what a crew hears


def test_every_action_is_heard_by_the_tune_that_the_laptop_plays_too(laptop: Page, van: Served) -> None:
    from capture.tunes import TUNES

    laptop.mouse.click(700, 5)
    laptop.wait_for_selector("#sound", state="hidden")
    for key, name in [("r", "start"), ("Space", "mark"), ("e", "episode_start"), ("s", "success"), ("e", "episode_start"),
                      ("f", "failure"), ("e", "episode_start"), ("d", "discard")]:  # fmt: skip
        laptop.evaluate("tones.length = 0")
        laptop.keyboard.press(key)
        wanted = [hz for hz, _ in TUNES[name] if hz]
        laptop.wait_for_function("count => tones.length >= count", arg=len(wanted))
        laptop.wait_for_timeout(300)
        assert laptop.evaluate("tones") == wanted, "once, however often the state comes"


def test_the_alarm_sounds_until_it_is_acknowledged_and_again_for_another_fault(laptop: Page, van: Served) -> None:
    laptop.mouse.click(700, 5)
    laptop.wait_for_selector("#sound", state="hidden")
    face(laptop, van, "alarm")
    laptop.wait_for_function("() => tones.length >= 12")  # two alarms of six tones
    laptop.keyboard.press("a")
    laptop.wait_for_selector("#alarms.seen")
    assert "camera_left/image is gone" in laptop.locator("#alarm-lines").inner_text(), "it stays in sight"
    laptop.evaluate("tones.length = 0")
    laptop.wait_for_timeout(2500)
    assert laptop.evaluate("tones") == []
    van.said.said = replace(van.said.said, alarms=(*van.said.said.alarms, "the disk is full in 3 min at this rate"))
    laptop.wait_for_function("() => tones.length >= 6")
    assert laptop.locator("#acknowledge").is_visible()


def test_a_page_that_nobody_has_touched_says_that_it_cannot_sound(phone: Page, van: Served) -> None:
    assert phone.locator("#sound").is_visible()
    phone.locator("#sound").tap()
    phone.wait_for_selector("#sound", state="hidden")


# ---- when the line is cut


def seconds_until_lost(page: Page, word: str) -> float:
    """From the last state that the page heard until it says so, by the page's own clock, less what a busy machine held it up."""
    page.wait_for_function(
        """word => {
            const said = document.getElementById("lost");
            window.saidAt = performance.now();
            return said.checkVisibility() && said.innerText.includes(word);
        }""",
        arg=word, polling=50,
    )  # fmt: skip
    return page.evaluate("(saidAt - lastGoodAt - heldUpMs) / 1000")


def test_a_page_whose_process_dies_or_freezes_says_so_in_two_seconds_and_finds_it_again(browser, tmp_path) -> None:
    with served(tmp_path) as page_served:
        for page in opened(browser, page_served.url, PHONE):
            page.touchscreen.tap(180, 300)
            page_served.process.send_signal(signal.SIGSTOP)
            assert seconds_until_lost(page, "NO CONNECTION") < 2.0
            font_px = page.evaluate("parseFloat(getComputedStyle(document.getElementById('lost-word')).fontSize)")
            assert font_px >= 44
            page_served.process.send_signal(signal.SIGCONT)
            page.wait_for_selector("#lost", state="hidden")
            page.evaluate("tones.length = 0")
            page_served.process.kill()
            assert seconds_until_lost(page, "NO CONNECTION") < 2.0
            page.wait_for_function("() => tones.length >= 6")
            assert "last known: standby" in page.locator("#lost-since").inner_text()
            page.locator("#hush").tap()
            page.wait_for_selector("#hush", state="hidden")


def test_a_recorder_that_is_frozen_or_killed_is_said_to_be_lost_in_two_seconds_by_a_page_that_lives_on(
    browser, tmp_path
) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "bench.toml", state, action)
    command = [sys.executable, "-m", "fieldrig", "record", str(rig), "--workspace", str(tmp_path), "--no-page"]
    with (
        Sender({"state": state, "action": action}, 100),
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as recorder,
    ):
        try:
            with page_process(tmp_path, rig=rig.read_text()) as (_, url):
                for page in opened(browser, url, LAPTOP):
                    page.wait_for_selector("body[data-mode=recording]")
                    page.mouse.click(700, 5)
                    recorder.send_signal(signal.SIGSTOP)
                    assert seconds_until_lost(page, "RECORDER LOST") < 2.0
                    recorder.send_signal(signal.SIGCONT)
                    page.wait_for_selector("#lost", state="hidden")
                    recorder.kill()
                    assert seconds_until_lost(page, "RECORDER LOST") < 2.0
                    page.wait_for_function("() => tones.length >= 6 && view.unseen_alarms.length === 1")
                    page.locator("#hush").click()
                    page.wait_for_function("() => view.unseen_alarms.length === 0")
                    page.evaluate("tones.length = 0")
                    page.wait_for_timeout(2300)
                    assert page.evaluate("tones") == [], "seen on one page, silent on all and on the laptop"
        finally:
            recorder.kill()


def test_a_recorder_that_is_ended_in_order_leaves_a_calm_page(browser, tmp_path) -> None:
    with served(tmp_path) as page_served:
        for page in opened(browser, page_served.url, PHONE):
            page.touchscreen.tap(180, 300)
            page_served.process.terminate()
            page.wait_for_function("() => document.getElementById('lost').innerText.includes('ENDED')")
            page.wait_for_timeout(2300)
            assert page.evaluate("tones") == []
            assert page.locator("#lost.calm").is_visible()
            assert not page.locator("#hush").is_visible()


def test_a_state_that_the_page_cannot_show_leaves_no_page_that_looks_alive(browser: Browser, van: Served) -> None:
    with browser.new_context(**PHONE) as context:
        page = context.new_page()
        page.goto(van.url)
        page.wait_for_selector("body:not([data-mode=none])")
        page.evaluate("() => { window.show = () => { throw new Error('a defect'); }; }")
        page.wait_for_function("() => document.getElementById('lost').innerText.includes('NO CONNECTION')")


def test_what_is_shown_never_gives_way_to_an_older_state_unless_the_connection_is_a_new_one(laptop: Page) -> None:
    modes = laptop.evaluate("""() => {
        const at = view.state.boot_ns, seen = [];
        const come = (mode, after_ms) => {
            show({ ...view, state: { ...view.state, mode, boot_ns: at + after_ms * 1e6 } });
            seen.push(document.body.dataset.mode);
        };
        for (const [mode, after_ms] of [["recording", 2], ["standby", 1], ["paused", 3]]) come(mode, after_ms);
        source.onopen();
        come("standby", 0);
        return seen;
    }""")
    assert modes == ["recording", "recording", "paused", "standby"]


def test_a_page_that_never_hears_anything_says_so_too(browser: Browser, van: Served) -> None:
    with browser.new_context(**PHONE) as context:
        page = context.new_page()
        page.route("**/events", lambda route: route.abort())
        page.goto(van.url)
        page.wait_for_function("() => document.getElementById('lost').innerText.includes('NO CONNECTION')")


def test_nothing_is_done_behind_the_curtain_of_a_lost_recorder(laptop: Page, van: Served) -> None:
    laptop.evaluate("() => { document.getElementById('lost').classList.add('shown'); commands.start(); }")
    laptop.wait_for_function("() => document.getElementById('toast').innerText.includes('not done')")
    assert asked(van) == []


# ---- all of it, with the real recorder


@pytest.fixture
def bench(browser, tmp_path) -> Iterator[tuple[Page, Path]]:
    """A small rig whose robot speaks over UDP, the real recorder in standby, and its page on a phone."""
    state, action = free_ports(2)
    path = write_rig(tmp_path / "bench.toml", state, action)
    recorder, workspace = Recorder(load_rig(path), Workspace(tmp_path)), Workspace(tmp_path)
    with Sender({"state": state, "action": action}, 100), recorder:
        recorder.run()
        control = ControlServer(recorder, workspace, recorder.rig_name)
        try:
            with page_process(tmp_path, rig=path.read_text()) as (_, url):
                for page in opened(browser, url, PHONE):
                    yield page, tmp_path
        finally:
            control.close()


def test_a_whole_take_by_thumb_is_in_the_recording(bench) -> None:
    page, folder = bench
    page.fill("input[name=task]", "pick up the cup")
    page.fill("input[name=operator]", "Ann")
    page.fill("input[name=consent_ids]", "c-17")
    page.locator("#record").tap()
    page.wait_for_selector("body[data-mode=recording]")
    page.locator("#mark").tap()
    page.locator("#episode-start").tap()
    page.locator("[data-outcome=success]").tap()
    page.locator("#pause").tap()
    page.wait_for_selector("body[data-mode=paused]")
    page.locator("#pause").tap()
    page.wait_for_selector("body[data-mode=recording]")
    page.fill("#note", "cup fell")
    page.locator("#note-form button").tap()
    page.wait_for_function("() => document.getElementById('marks').innerText.includes('cup fell')")
    page.locator(".stream").first.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.stream pre')].some((each) => each.textContent.startsWith('count '))"
    )
    held(page, 1300)
    page.wait_for_selector("body[data-mode=standby]")

    (made,) = (path for path in (folder / "recordings").iterdir() if path.is_dir())
    info = load_info(made)
    assert (info.state, info.task, info.operator, list(info.consent_ids)) == (
        "finished",
        "pick up the cup",
        "Ann",
        ["c-17"],
    )
    assert [(episode.task, episode.outcome) for episode in info.episodes] == [("pick up the cup", "success")]
    assert len(info.pauses) == 1
    assert info.counts["robot/state"] > 50
