"""The labelling screen in a real browser: what a person sees, and what the mouse does to a label."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from annotate.label_studio.client import Client
from annotate.label_studio.pull import pull
from annotate.label_studio.push import push
from annotate.label_studio.results import plan_from_rectangle
from annotate.store import LabelStore

SUBMIT = "button:has-text('Submit'):visible"
VIEWPORT = {"width": 1920, "height": 1080}


@pytest.fixture(scope="module")
def page(chromium, server) -> Iterator[Page]:
    """A browser in which the server's owner has logged in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(server.url + "/user/login")
        page.fill("input[name=email]", server.user)
        page.fill("input[name=password]", server.password)
        page.click("button[type=submit]")
        page.wait_for_load_state("networkidle")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def project(server, street) -> int:
    push(server, street.workspace, "browser", street.recording, street.calibration, every_ns=400_000_000)
    return Client(server).project("browser")


def open_next_task(page: Page, server, project: int) -> None:
    page.goto(f"{server.url}/projects/{project}/data?labeling=1")
    for name in ("birdseye", "cameras"):
        page.wait_for_function(
            "name => { const i = document.querySelector(`.find-${name} img`); return i && i.complete && i.naturalWidth > 0 }",
            arg=name,
            timeout=60_000,
        )
    page.locator(SUBMIT).wait_for()


def regions_in_list(page: Page) -> int:
    return page.locator("[class*=outliner-item__title], .lsf-outliner-item__title").count()


def test_a_task_shows_both_pictures_side_by_side_and_every_pre_label(page, server, project, tmp_path):
    (task,) = Client(server).tasks_with_predictions(project)
    open_next_task(page, server, project)
    overhead, cameras = (page.locator(f".find-{name} img").first.bounding_box() for name in ("birdseye", "cameras"))
    assert overhead["x"] + overhead["width"] <= cameras["x"], "side by side"
    assert overhead["width"] > 600
    assert max(overhead["y"] + overhead["height"], cameras["y"] + cameras["height"]) < VIEWPORT["height"], (
        "no scrolling"
    )
    boxes = [r for r in task.predictions if r["type"] == "rectanglelabels"]
    assert regions_in_list(page) == len(boxes)
    page.screenshot(path=tmp_path / "screen.png")
    assert (tmp_path / "screen.png").stat().st_size > 100_000


def test_a_box_that_is_moved_with_the_mouse_moves_its_cuboid_by_the_same_metres(page, server, street, project):
    (task,) = Client(server).tasks_with_predictions(project)
    box = next(
        r for r in task.predictions if r["type"] == "rectanglelabels" and r["value"]["rectanglelabels"] == ["car"]
    )
    plan = plan_from_rectangle(box["value"], task.view)
    open_next_task(page, server, project)

    picture = page.locator(".find-birdseye img").first.bounding_box()
    m_per_screen_px = task.view.width_px * task.view.m_per_px / picture["width"]
    ((u, v),) = task.view.pixels([plan.middle_m]) / task.view.width_px * picture["width"]
    start = (picture["x"] + u, picture["y"] + v)
    moved_px = np.array([33.0, 21.0])
    page.mouse.click(*start)
    page.wait_for_timeout(500)
    page.mouse.move(*start)
    page.mouse.down()
    for share in np.linspace(0.1, 1.0, 10):
        page.mouse.move(*(np.array(start) + share * moved_px))
    page.mouse.up()
    page.wait_for_timeout(500)
    page.locator(SUBMIT).click()
    page.wait_for_function("() => document.body.innerText.includes('No More Tasks')", timeout=30_000)

    report = pull(server, street.workspace, "browser")
    assert (report.frames, report.broken) == (1, ())
    (got,) = [c for c in LabelStore(street.workspace, "browser").load() if c.id == box["id"]]
    wanted = plan.middle_m + moved_px * (1, -1) * m_per_screen_px
    assert np.abs(got.center_m[:2] - wanted).max() < 0.12
    assert got.provenance.annotator == server.user
    assert got.size_m[:2] == pytest.approx((plan.length_m, plan.width_m), abs=1e-6)
