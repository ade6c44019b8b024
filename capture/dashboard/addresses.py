"""Where the page is to be found: for this machine's browser, and for a phone's camera."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from capture.errors import CaptureError
from capture.workspace import Workspace

PORT, PORT_MAX = 8750, 65_535
TOKEN_VARIABLE = "FIELDRIG_PAGE_TOKEN"  # noqa: S105 the variable's name: in the environment no list of processes shows the token
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TOKEN_FILE = ".page-token"  # noqa: S105 a file name
_TOKEN_BYTES = 12
_ANY = ("0.0.0.0", "::")


def check_address(host: str, port: int) -> None:
    """Raises CaptureError where no page can ever listen."""
    if not 0 <= port <= PORT_MAX:
        raise CaptureError(f"--page-port {port} is no port: give a number from 1 to {PORT_MAX}, e.g. {PORT}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        own = ", ".join(_own_addresses())
        raise CaptureError(
            f"--page-host {host or repr(host)} is no address of this machine ({error}); give {LOOPBACK[0]} for this machine alone, {_ANY[0]} for the "
            f"local network, or one of: {own}"
        ) from None


def page_addresses(host: str, port: int, token: str = "") -> list[str]:
    """The URLs under which a page that listens at ``host`` is found; where it listens everywhere, those of the local network first."""
    hosts = [host] if host not in _ANY else _own_addresses()
    entry = f"?token={token}" if token else ""
    return [f"http://[{each}]:{port}/{entry}" if ":" in each else f"http://{each}:{port}/{entry}" for each in hosts]


def page_token(workspace: Workspace) -> str:
    """This workspace's: the same at every start, so that phones that were let in once stay so. Deleting its file shuts them out.

    Raises CaptureError when it can be neither read nor written.
    """
    path = workspace.recordings / _TOKEN_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file,
        ):
            file.write(secrets.token_urlsafe(_TOKEN_BYTES))
        token = path.read_text(encoding="ascii", errors="ignore").strip()
    except OSError as error:
        raise CaptureError(
            f"cannot keep the page's token in {path}: {error.strerror}; delete it, or give another --workspace"
        ) from None
    if len(token) < _TOKEN_BYTES:
        raise CaptureError(f"{path} holds no token; delete it, and it is made anew")
    return token


def _own_addresses() -> list[str]:
    import psutil

    return [*network_addresses(psutil.net_if_addrs()), LOOPBACK[0]]


def network_addresses(interfaces: Mapping[str, Sequence[Any]]) -> list[str]:
    """This machine's IPv4 addresses beyond loopback and link-local; those of containers and bridges last."""
    found = [
        (name.startswith(("docker", "br-", "veth", "virbr")), address.address)
        for name, addresses in interfaces.items()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith(("127.", "169.254."))
    ]
    return [address for _, address in sorted(found)]


def qr_code(url: str) -> str:
    """For a terminal: two rows of modules a line of text."""
    import segno

    text = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=text, border=2, compact=True)
    return text.getvalue()
