"""The error of this stage; devices/errors.py draws the whole tree."""

from devices.errors import FieldrigError


class AnnotateError(FieldrigError):
    """Labels, or the server that people make them in."""
