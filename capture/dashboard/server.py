"""The page's server: one page, its state four times a second, previews for whoever looks, and the actions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from capture.dashboard.access import Access, AccessControl
from capture.dashboard.actions import ACTIONS, Request
from capture.dashboard.birdseye import GRID_M, PlanView
from capture.dashboard.gallery import WIDTHS_PX, Gallery, Look
from capture.dashboard.link import RecorderLink, laptop_time
from capture.dashboard.panel import PanelBoard
from capture.dashboard.short_alarm import in_short
from capture.errors import CaptureError
from capture.health import CHECK_SENDERS, rejected_in_words
from capture.recorder_state import RecorderState, StreamState
from capture.tunes import ALARM_EVERY_S, TUNES
from devices.device import Stream
from devices.errors import FieldrigError

STATE_EVERY_S = 0.25
_REQUEST_BYTES_MAX = 1 << 16
_PREVIEWERS = 3  # threads: a recorder that does not answer must not take those that actions need
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(slots=True)
class Viewers:
    """Pages that are open somewhere. Counted on the server's one thread, asked from any."""

    open: int = 0
    _last_s: float = field(default_factory=time.monotonic)

    def come(self) -> None:
        self.open += 1

    def leave(self) -> None:
        self.open -= 1
        self._last_s = time.monotonic()

    @property
    def gone_s(self) -> float:
        """How long nobody has looked."""
        return 0.0 if self.open else time.monotonic() - self._last_s


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the page is made of, and who looks at it."""

    link: RecorderLink
    gallery: Gallery
    board: PanelBoard
    viewers: Viewers = field(default_factory=Viewers)

    def view(self) -> dict[str, Any]:
        """All that the page shows, as JSON; of a recorder that is lost the last state, and that it is lost."""
        link = self.link
        state = link.state
        shown = None if state is None else asdict(state) | {"streams": [self._stream(s) for s in state.streams]}
        return {
            "now_ms": 0.0 if state is None else state.now_ns / 1e6 + link.silent_s * 1e3,
            "time": laptop_time(),
            "lost": link.is_lost,
            "said": link.said,
            "state": shown,
            "alarms": [] if state is None else self._alarms(state),
            "unseen_alarms": link.unseen_alarms,
            "panels": [asdict(panel) for panel in self.board.shown],
        }

    def _stream(self, state: StreamState) -> dict[str, Any]:
        stream = stream_of(state)
        expected_hz = self.gallery.expected_hz(stream)
        beside = {
            "description": "",  # what a decoder needs, not a person
            "shows": self.gallery.shows(stream),
            "expected_hz": expected_hz or self.link.usual_hz(state.name),
            "is_usual": expected_hz is None,
            "rejected": state.rejected or sum(self.gallery.rejected(state.name).values()),
        }
        return asdict(state) | beside

    def _alarms(self, state: RecorderState) -> list[dict[str, str]]:
        alarms = [*self.link.alarms, *([] if self.link.is_lost else self._undecoded(state))]
        return [asdict(each) | {"since": self.link.since(each.key)} for each in in_short(alarms, state.streams)]

    def _undecoded(self, state: RecorderState) -> list[str]:
        """What only decoding tells; the recorder tells of the rest."""
        seen = {each.name: self.gallery.rejected(each.name) for each in state.streams if not each.rejected}
        return [
            f"{name}: of those looked at just now, {rejected_in_words(why)}; {CHECK_SENDERS}"
            for name, why in seen.items()
            if why
        ]


def application(dashboard: Dashboard, access: Access, is_ending: Callable[[], bool] = lambda: False) -> Starlette:
    """is_ending: whether the server is about to end in order, which the pages are told, so that they need not alarm anybody."""
    limiter = anyio.CapacityLimiter(_PREVIEWERS)

    async def file(request: HttpRequest) -> Response:
        name, kind = _FILES[request.url.path]
        return Response((_PAGE / name).read_bytes(), media_type=kind)

    async def tunes(_: HttpRequest) -> Response:
        return JSONResponse({"tunes": dict(TUNES), "alarm_every_s": ALARM_EVERY_S})

    async def events(_: HttpRequest) -> Response:
        return StreamingResponse(_states(dashboard, is_ending), media_type="text/event-stream")

    async def preview(request: HttpRequest) -> Response:
        stream, look = _stream_named(dashboard, request.path_params["stream"]), _look(request)
        if stream is None or look is None:
            return PlainTextResponse("no such stream, or no such way to look at it", status_code=404)
        try:
            made = await anyio.to_thread.run_sync(dashboard.gallery.preview, stream, look, limiter=limiter)
        except FieldrigError as error:
            return PlainTextResponse(str(error), status_code=503)
        if made is None:
            return Response(status_code=204)
        return Response(made.data, media_type=made.kind, headers={"X-Host-Ns": str(made.host_ns)})

    async def act(request: HttpRequest) -> Response:
        body = await _body(request)
        try:
            asked = Request.model_validate_json(body or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return JSONResponse({"ok": False, "error": f"{where}: {first['msg']}"}, status_code=400)
        try:
            folder = await anyio.to_thread.run_sync(_done, dashboard, request.path_params["action"], asked)
        except FieldrigError as error:
            return JSONResponse({"ok": False, "error": str(error)}, status_code=409)
        return JSONResponse({"ok": True, "folder": folder, "view": dashboard.view()})

    routes = [
        *(Route(path, file) for path in _FILES),
        Route("/tunes.json", tunes),
        Route("/events", events),
        Route("/preview/{stream:path}", preview),
        Route("/do/{action}", act, methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(AccessControl, access=access)])


def stream_of(state: StreamState) -> Stream:
    return Stream(state.name, state.encoding, state.description)


async def _states(dashboard: Dashboard, is_ending: Callable[[], bool]) -> AsyncIterator[str]:
    dashboard.viewers.come()
    try:
        while not is_ending():
            yield f"data: {json.dumps(dashboard.view())}\n\n"
            await asyncio.sleep(STATE_EVERY_S)
        yield "event: end\ndata: {}\n\n"
    finally:
        dashboard.viewers.leave()


def _done(dashboard: Dashboard, action: str, asked: Request) -> str:
    """Raises CaptureError when the recorder refuses, or cannot be heard."""
    link = dashboard.link
    if action == "acknowledge" and link.is_lost:
        link.acknowledge_loss()
        return ""
    if action not in ACTIONS:
        raise CaptureError(f"the page cannot '{action}'")
    recorder = link.client()
    folder = ACTIONS[action](recorder, asked)
    link.take(recorder.state())
    return "" if folder is None else str(folder)


def _stream_named(dashboard: Dashboard, name: str) -> Stream | None:
    state = dashboard.link.state
    return next((stream_of(each) for each in (state.streams if state else ()) if each.name == name), None)


def _look(request: HttpRequest) -> Look | None:
    asked = request.query_params
    try:
        width_px, reach_m = int(asked.get("width", WIDTHS_PX[0])), int(asked.get("reach", 20))
    except ValueError:
        return None
    if width_px not in WIDTHS_PX or reach_m not in GRID_M:
        return None
    return Look(width_px, PlanView(reach_m, all_heights=asked.get("heights") == "all"))


async def _body(request: HttpRequest) -> bytes:
    """The request's body, cut off where it becomes larger than any that the page sends: it is then no JSON any more."""
    received = b""
    async for part in request.stream():
        received += part
        if len(received) > _REQUEST_BYTES_MAX:
            break
    return received[:_REQUEST_BYTES_MAX]
