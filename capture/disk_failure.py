"""A disk that fails, told in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from capture.errors import CaptureError
from capture.workspace import Workspace


@contextlib.contextmanager
def disk_failures_in_words(workspace: Workspace) -> Iterator[None]:
    """Raises CaptureError for an OSError within."""
    try:
        yield
    except OSError as error:
        raise CaptureError(
            f"the disk at {workspace.root} fails: {error}; free some space, then `fieldrig repair` what is in {workspace.recordings}"
        ) from None
