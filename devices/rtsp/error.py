"""What goes wrong in a conversation with an RTSP camera; whoever opened it says which camera that is."""

from __future__ import annotations


class RtspError(Exception):
    """The camera says no, or nothing sensible; the message says what it said."""
