"""Who sends to a UDP port of this machine: how sensors that broadcast, or were set up to send here, are found."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence

_KEPT = 16  # datagrams a sender
_SENDERS_MAX = 256
_ONE_AT_A_TIME = threading.Lock()  # two drivers may ask about the same port; only one socket of two hears what comes


def heard(port: int, timeout_s: float) -> Mapping[str, Sequence[bytes]]:
    """Sender's address -> its first datagrams to that port within the time. Nothing while another program listens there."""
    senders: dict[str, list[bytes]] = {}
    with _ONE_AT_A_TIME, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        try:
            listening.bind(("", port))
        except OSError:
            return {}
        listening.setblocking(False)
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            if not select.select([listening], [], [], left_s)[0]:
                break
            data, (address, _) = listening.recvfrom(65536)
            if address in senders or len(senders) < _SENDERS_MAX:
                kept = senders.setdefault(address, [])
                if len(kept) < _KEPT:
                    kept.append(data)
    return senders
