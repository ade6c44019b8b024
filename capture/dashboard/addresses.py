"""Where the page is to be found: for this machine's browser, and for a phone's camera."""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping, Sequence
from typing import Any

PORT = 8750
TOKEN_VARIABLE = "FIELDRIG_PAGE_TOKEN"  # noqa: S105 the variable's name: in the environment no list of processes shows the token
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ANY = ("0.0.0.0", "::")


def page_addresses(host: str, port: int, token: str = "") -> list[str]:
    """The URLs under which a page that listens at ``host`` is found; where it listens everywhere, those of the local network first."""
    import psutil

    hosts = [host] if host not in _ANY else [*network_addresses(psutil.net_if_addrs()), "127.0.0.1"]
    entry = f"?token={token}" if token else ""
    return [f"http://[{each}]:{port}/{entry}" if ":" in each else f"http://{each}:{port}/{entry}" for each in hosts]


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
