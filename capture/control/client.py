"""A running recorder as other programs reach it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from capture.control.address import Address, listening_addresses
from capture.control.wire import ANSWER_S, line, packets_of
from capture.errors import CaptureError
from capture.recorder_state import Outcome, RecorderState, state_from_json
from capture.workspace import Workspace
from devices.samples import Packet

_SILENT_S = 2.0


class RecorderClient:
    """Speaks to a running recorder; each call is a connection of its own. All raise CaptureError with what the recorder answered."""

    def __init__(self, address: Address, boot_ns: int | None = None) -> None:
        """boot_ns: since_boot_ns() of the instant that marks and episodes mean; else it is when the recorder hears of them."""
        self._address = address
        self._meant = {} if boot_ns is None else {"boot_ns": boot_ns}

    @staticmethod
    def find(workspace: Workspace, rig: str | None = None, boot_ns: int | None = None) -> RecorderClient:
        """The recorder that runs in a workspace. Raises CaptureError when there is none, or several and no rig is named."""
        found = listening_addresses(workspace, rig)
        if not found:
            which = f" of the rig '{rig}'" if rig else ""
            raise CaptureError(
                f"no recorder{which} runs in {workspace.root}; start one with `fieldrig record RIG.toml`, or give its --workspace"
            )
        if len(found) > 1:
            rigs = ", ".join(address.rig for address in found)
            raise CaptureError(f"several recorders run in {workspace.root}: {rigs}; say which with --rig")
        if found[0].is_suspended:  # its socket takes what nobody will read
            raise found[0].silent()
        return RecorderClient(found[0], boot_ns)

    def state(self) -> RecorderState:
        with self._asked({"do": "state"}) as (_, answer):
            return state_from_json(json.dumps(answer["state"]).encode())

    def watch(self, hz: float = 4.0) -> Iterator[RecorderState]:
        """States until the recorder ends. Raises CaptureError when it ends, or says nothing for some seconds."""
        with self._address.connected(max(_SILENT_S, 3 / hz)) as connection, connection.makefile("rb") as lines:
            connection.sendall(line({"token": self._address.token, "do": "watch", "hz": hz}))
            try:
                while said := lines.readline():
                    yield state_from_json(said)
            except ValidationError:
                raise CaptureError(json.loads(said).get("error", "the recorder gave no state")) from None
            except OSError as error:
                raise CaptureError(f"the recorder says nothing any more: {error}") from None
        raise CaptureError("the recorder has ended")

    # what a crew commands

    def start(self, **details: Any) -> Path:
        """details: operator, site, task, order, consent_ids; what is left out stays as it was. Returns the recording's folder."""
        return Path(self._do("start", **details))

    def describe(self, **details: Any) -> None:
        """Sets operator, site, task, order or consent_ids, of the recording under way as well."""
        self._do("describe", **details)

    def stop(self) -> Path:
        """Ends the recording; returns its folder once it is complete."""
        return Path(self._do("stop"))

    def pause(self) -> None:
        self._do("pause")

    def resume(self) -> None:
        self._do("resume")

    def mark(self, text: str, kind: str = "mark") -> None:
        self._do("mark", text=text, kind=kind, **self._meant)

    def note(self, text: str) -> None:
        self.mark(text, "note")

    def episode_start(self, task: str = "") -> None:
        self._do("episode_start", text=task, **self._meant)

    def episode_stop(self, outcome: Outcome) -> None:
        self._do("episode_stop", outcome=outcome, **self._meant)

    def snapshot(self) -> Path:
        """Writes what the memory holds; returns the folder once it is complete."""
        return Path(self._do("snapshot"))

    def acknowledge(self) -> None:
        """Somebody has seen every alarm that there is now: they fall silent on every page and at the laptop."""
        self._do("acknowledge")

    # what it shows

    def preview(self, stream: str) -> list[Packet]:
        """The newest picture, or the newest packets of about one sweep; none before the first has come."""
        with self._asked({"do": "preview", "stream": stream}) as (body, answer):
            return packets_of(answer, body, stream)

    def _do(self, what: str, **with_: Any) -> str:
        with self._asked({"do": what, **with_}) as (_, answer):
            return str(answer.get("folder", ""))

    @contextlib.contextmanager
    def _asked(self, request: dict[str, Any]) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:
        with self._address.connected(ANSWER_S) as connection, connection.makefile("rb") as body:
            try:
                connection.sendall(line({"token": self._address.token, **request}))
                answer = json.loads(body.readline() or b"{}")
            except TimeoutError:
                raise self._address.silent() from None
            except (OSError, ValueError) as error:
                raise CaptureError(f"the recorder did not answer '{request['do']}': {error}") from None
            if not answer.get("ok"):
                raise CaptureError(answer.get("error", f"the recorder ended before it answered '{request['do']}'"))
            yield body, answer
