"""The root of fieldrig's error tree.

    FieldrigError
      DeviceError         devices/      a sensor, its packets or its driver
        UndecodableError                what comes can be recorded as it is, and means nothing here yet
      CaptureError        capture/      a recording
      CalibrationError    calibration/  a calibration or what it is made from
      AnnotateError       annotate/     labels or the labelling server
      ExportError         export/       a dataset or its check

A message is one line: what, where, the value with its unit, and what to do. Only the command line catches these.
"""


class FieldrigError(Exception):
    """Something a person can put right: the message says how."""


class DeviceError(FieldrigError):
    """A sensor, its packets or its driver."""


class UndecodableError(DeviceError):
    """A stream whose packets can be recorded as they are, and mean nothing here yet."""
