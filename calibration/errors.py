"""The error of this stage; devices/errors.py draws the whole tree."""

from devices.errors import FieldrigError


class CalibrationError(FieldrigError):
    """A calibration, or the measurements that it is made from."""
