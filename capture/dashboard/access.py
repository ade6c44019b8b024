"""Who may use the page: this machine's browsers, and, where it is opened to the network, whoever was given its address with the token.

Other sites that are open in the same browser may not: neither by a form or script (Origin, Sec-Fetch-Site), nor by a name of theirs that
they let point to this machine (Host).
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "fieldrig"
_COOKIE_S = 30 * 24 * 3600
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Access:
    """token: asked of everybody; empty: only loopback is listened at, and nothing is asked."""

    token: str = ""

    def refusal(self, method: str, headers: Headers) -> str:
        """Why a request is not answered, in one line; nothing where it may be."""
        host = headers.get("host", "")
        if not self._is_ours(_name_of(host)):
            return f"this page is not known as '{host}'; open it by the address that the terminal shows"
        is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"  # from a chat's page, say
        if headers.get("sec-fetch-site", "same-origin") in {"cross-site", "same-site"} and not is_link:
            return "asked by another site"
        origin = headers.get("origin")
        if method != "GET" and origin is not None and origin != f"http://{host}":
            return f"asked by another site: {origin}"
        if method != "GET" and headers.get("content-type", "").partition(";")[0] != "application/json":
            return "say what to do in JSON (Content-Type: application/json)"
        return ""

    def knows(self, token: str) -> bool:
        return not self.token or hmac.compare_digest(token.encode(), self.token.encode())

    def _is_ours(self, name: str) -> bool:
        if name in _LOOPBACK_NAMES:
            return True
        own = socket.gethostname().lower()
        return bool(self.token) and (_is_address(name) or name in {own, f"{own}.local"})


class AccessControl:
    """Lets through what may pass; gives the cookie for the token, and every answer the headers that keep other sites out."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal, cookie = self._judge(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = {**_HEADERS, **({"Set-Cookie": cookie} if cookie else {})}
                own = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _judge(self, scope: Scope) -> tuple[Response | None, str]:
        """(why not, the cookie to set)"""
        headers, method = Headers(scope=scope), str(scope["method"])
        if reason := self._access.refusal(method, headers):
            return PlainTextResponse(reason, status_code=403), ""
        if self._access.knows(cookie_parser(headers.get("cookie", "")).get(COOKIE, "")):
            return None, ""
        given = QueryParams(scope["query_string"]).get("token", "")
        if method == "GET" and scope["path"] == "/" and self._access.knows(given):
            return None, f"{COOKIE}={given}; HttpOnly; SameSite=Strict; Path=/; Max-Age={_COOKIE_S}"
        return PlainTextResponse("open the address that the terminal shows, with its token", status_code=401), ""


def _name_of(host: str) -> str:
    """``[::1]:8750`` -> ``::1``, ``van.local:8750`` -> ``van.local``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
