"""What the page can ask the recorder to do, checked before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from capture.control.client import RecorderClient
from capture.details import TEXT_MAX
from capture.recorder_state import Outcome

_Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=TEXT_MAX)]


class GivenDetails(BaseModel):
    """What a recording is about. What is left out stays as it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    operator: _Words | None = None
    site: _Words | None = None
    task: _Words | None = None
    order: _Words | None = None
    consent_ids: list[_Words] | None = Field(default=None, max_length=200)

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Request(BaseModel):
    """An action's particulars. text: of a mark or note, or an episode's task."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: _Words = ""
    outcome: Outcome = "success"
    details: GivenDetails = GivenDetails()


Action = Callable[[RecorderClient, Request], Path | None]

ACTIONS: Mapping[str, Action] = {
    "start": lambda recorder, request: recorder.start(**request.details.given()),
    "stop": lambda recorder, _: recorder.stop(),
    "pause": lambda recorder, _: recorder.pause(),
    "resume": lambda recorder, _: recorder.resume(),
    "mark": lambda recorder, request: recorder.mark(request.text),
    "note": lambda recorder, request: recorder.note(request.text),
    "episode_start": lambda recorder, request: recorder.episode_start(request.text),
    "episode_stop": lambda recorder, request: recorder.episode_stop(request.outcome),
    "snapshot": lambda recorder, _: recorder.snapshot(),
    "describe": lambda recorder, request: recorder.describe(**request.details.given()),
    "acknowledge": lambda recorder, _: recorder.acknowledge(),
}
