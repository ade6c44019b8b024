"""The error of this stage; devices/errors.py draws the whole tree."""

from devices.errors import FieldrigError


class ExportError(FieldrigError):
    """A dataset, or the check that opens it."""
