"""The error of this stage; devices/errors.py draws the whole tree."""

from devices.errors import FieldrigError


class CaptureError(FieldrigError):
    """A recording: making, reading or repairing it."""
