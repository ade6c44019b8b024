"""The live view for Foxglove, watched through a browser's WebSocket as its app does."""

import base64
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Page, sync_playwright

from capture.dashboard.foxglove_view import FoxgloveView
from capture.dashboard.gallery import Gallery
from capture.dashboard.page_process import PageProcess
from capture.workspace import Workspace
from devices.rig import load_rig
from devices.samples import Packet
from tests.capture.dashboards import (
    CAMERA,
    LIDAR,
    RIG,
    ROBOT,
    Served,
    camera_jpeg,
    served,
    standby,
    vector_line,
    wall_points,
)
from tests.capture.recordings import wait_for
from tests.capture.rigs import free_port
from tests.capture.stated_recorder import packet

pytest.importorskip("foxglove", reason="needs the extra 'live'")

# The protocol foxglove.sdk.v1: JSON for control; binary messages of opcode 1, subscription u32, log time u64, payload.
WATCH = """
    ([port, topics, count]) => new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}`, ["foxglove.sdk.v1"]), advertised = {}, got = {};
        socket.binaryType = "arraybuffer";
        socket.onerror = () => reject(new Error("no server"));
        setTimeout(() => reject(new Error(JSON.stringify([Object.keys(advertised), Object.keys(got)]))), 8000);
        const done = () => { socket.close(); resolve([advertised, got]); };
        socket.onmessage = ({ data }) => {
            if (typeof data === "string") {
                const said = JSON.parse(data);
                if (said.op !== "advertise") return;
                for (const each of said.channels) {
                    advertised[each.topic] = `${each.encoding} ${each.schemaName}`;
                    if (topics.includes(each.topic)) {
                        const wanted = [{ id: topics.indexOf(each.topic), channelId: each.id }];
                        socket.send(JSON.stringify({ op: "subscribe", subscriptions: wanted }));
                    }
                }
                if (!topics.length && Object.keys(advertised).length === count) done();
                return;
            }
            const bytes = new Uint8Array(data), view = new DataView(data);
            if (bytes[0] !== 1) return;
            let text = "";
            for (const byte of bytes.subarray(13)) text += String.fromCharCode(byte);
            got[topics[view.getUint32(1, true)]] = btoa(text);
            if (Object.keys(got).length === topics.length) done();
        };
    })
"""


@pytest.fixture(scope="module")
def page(needs_system_package) -> Iterator[Page]:
    chromium = needs_system_package("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> Iterator[tuple[int, Served]]:
    port = free_port()
    with served(tmp_path_factory.mktemp("workspace"), ["--foxglove", str(port)]) as van:
        wait_for(lambda: bool(van.view()["state"]))
        yield port, van


def test_foxglove_sees_the_cameras_own_jpeg_the_points_and_the_figures(page: Page, view) -> None:
    port, _ = view
    topics = [f"/{name}" for name in (CAMERA, LIDAR, ROBOT)]
    advertised, got = page.evaluate(WATCH, [port, topics, 3])
    assert [advertised[topic] for topic in topics[:2]] == [
        "protobuf foxglove.CompressedImage",
        "protobuf foxglove.PointCloud",
    ]
    assert advertised["/robot/state"].startswith("json ")
    assert len(advertised) == 3
    payloads = {topic: base64.b64decode(text) for topic, text in got.items()}
    assert camera_jpeg() in payloads["/camera_left/image"], "byte for byte"
    assert wall_points() in payloads["/lidar/points"], "x, y, z, intensity as they were sent"
    assert re.search(rb'"speed_m_s": ?1.25', payloads["/robot/state"])


def test_the_recorder_is_asked_for_nothing_that_nobody_subscribes_to(page: Page, view) -> None:
    port, van = view
    page.evaluate(WATCH, [port, ["/robot/state"], 3])
    seen = [dict(van.said.previews)]

    def is_still() -> bool:
        time.sleep(0.6)
        seen.append(dict(van.said.previews))
        return seen[-1] == seen[-2]

    wait_for(is_still)
    before = seen[-1]
    page.evaluate(WATCH, [port, [], 3])
    time.sleep(1.0)
    assert van.said.previews == before


def test_a_stream_that_cannot_be_shown_is_said_once_and_takes_no_other_with_it(page: Page, tmp_path) -> None:
    def packets(stream: str) -> list[Packet]:
        if stream == CAMERA:
            raise ZeroDivisionError("a defect")
        return [packet(stream, vector_line())]

    path, said = tmp_path / "rig.toml", list[str]()
    path.write_text(RIG, encoding="utf-8")
    with closing(FoxgloveView("van", free_port(), Gallery(load_rig(path), packets), standby, said.append)) as view:
        port = int(view.address.rpartition(":")[2])
        page.evaluate(f"asked => {{ window.camera = ({WATCH})(asked).catch(() => 0); }}", [port, [f"/{CAMERA}"], 3])
        wait_for(lambda: bool(said))
        _, got = page.evaluate(WATCH, [port, ["/robot/state"], 3])
        assert list(got) == ["/robot/state"]
    assert said == [f"{CAMERA} cannot be shown in Foxglove: ZeroDivisionError: a defect"]


def test_a_port_that_is_taken_costs_the_view_and_not_the_page(tmp_path) -> None:
    with socket.socket() as taken, served(tmp_path) as van:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        lines: list[str] = []
        rig = tmp_path / "rig.toml"
        with PageProcess(rig, Workspace(tmp_path), lines.append, port=free_port(), foxglove=port, silent=True) as page:
            wait_for(lambda: len(lines) >= 2)
            assert van.browser.get(page.addresses[0]).status_code == 200
        assert any(line.startswith(f"no view for Foxglove at port {port}") for line in lines), lines
        assert not any("has ended" in line for line in lines)
