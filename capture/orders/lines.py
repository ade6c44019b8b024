"""What a recorder shows of the order that it records for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from capture.details import Details
from capture.errors import CaptureError
from capture.orders.done import DoneEpisodes
from capture.orders.orders import load_order
from capture.orders.status import DoneEpisode, missing
from capture.recording_info import EpisodeInfo
from capture.workspace import Workspace

_LOOK_AGAIN_S = 5.0


class OrderLines:
    """What is still to be recorded, a line a task. Called many times a second, it answers at once with what is known.

    The workspace is looked through in a thread of its own, every few seconds and when the order changes.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._done = DoneEpisodes(workspace)
        self._lines: tuple[str, ...] = ()
        self._seen: tuple[str, Sequence[DoneEpisode]] = ("", ())
        self._looked_s = float("-inf")
        self._looking: threading.Thread | None = None

    def __call__(self, details: Details, under_way: Sequence[EpisodeInfo] = ()) -> Sequence[str]:
        """details: of the recording under way or the next; under_way: the episodes that it has so far."""
        if not details.order:
            return ()
        if details.order != self._seen[0]:
            self._lines = ()
        now = [
            DoneEpisode("", each.task or details.task, each.outcome, details.site, details.operator, details.order)
            for each in under_way
        ]
        is_due = time.monotonic() - self._looked_s > _LOOK_AGAIN_S or self._seen != (details.order, now)
        if is_due and (self._looking is None or not self._looking.is_alive()):
            self._seen, self._looked_s = (details.order, now), time.monotonic()
            self._looking = threading.Thread(
                target=self._look, args=(details.order, now), name="fieldrig-order", daemon=True
            )
            self._looking.start()
        return self._lines

    def _look(self, name: str, under_way: Sequence[DoneEpisode]) -> None:
        try:
            order = load_order(self._workspace, name)
            self._lines = missing(order, [*self._done.look(), *under_way])
        except CaptureError as error:
            self._lines = (str(error),)
        except Exception as error:  # a defect must not end the thread in silence
            self._lines = (f"order {name}: cannot be counted: {type(error).__name__}: {error}; report this",)
