"""The recorder's side: it listens, and does what it is asked for."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socketserver
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from capture.control.address import Address
from capture.control.seen_alarms import SeenAlarms
from capture.control.wire import ANSWER_S, LINE_BYTES_MAX, line, with_packets
from capture.errors import CaptureError
from capture.recorder_state import OUTCOMES, Outcome, RecorderState, state_to_json
from capture.workspace import Workspace
from devices.errors import FieldrigError
from devices.samples import Packet

_POLL_S = 0.1  # how soon it ends when it is told to
_NO_DETAILS = ("token", "do")


class Steered(Protocol):
    """What a recorder can be asked for. Each raises FieldrigError saying why it cannot."""

    def state(self) -> RecorderState: ...
    def start(self, details: Mapping[str, Any]) -> Path: ...
    def stop(self) -> Path: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mark(self, kind: str, text: str, boot_ns: int | None = None) -> None: ...
    def episode_start(self, task: str, boot_ns: int | None = None) -> None: ...
    def episode_stop(self, outcome: Outcome, boot_ns: int | None = None) -> None: ...
    def snapshot(self) -> Path: ...
    def describe(self, details: Mapping[str, Any]) -> None: ...
    def preview(self, stream: str) -> Sequence[Packet]: ...


class ControlServer:
    """Listens for requests until closed.

    Raises CaptureError when the workspace cannot be written to, or a recorder of this rig runs there already.
    """

    def __init__(self, recorder: Steered, workspace: Workspace, rig: str) -> None:
        self._recorder = recorder
        self._workspace = workspace
        self._seen = SeenAlarms()
        self._stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handle)
        self._address = Address(rig, os.getpid(), self._server.server_address[1], secrets.token_hex(16))
        try:
            self._address.leave(workspace)
        except CaptureError:
            self._server.server_close()
            raise
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="fieldrig-control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._address.withdraw(self._workspace)

    def acknowledge(self) -> None:
        """Somebody has seen every alarm that there is now."""
        self._seen.acknowledge(self._recorder.state().alarms)

    def _state(self) -> bytes:
        state = self._recorder.state()
        return state_to_json(replace(state, unseen_alarms=self._seen.unseen(state.alarms)))

    def _handle(self, caller: socketserver.StreamRequestHandler) -> None:
        """One request of one caller; a caller that goes away in the middle is nobody's trouble."""
        with contextlib.suppress(OSError):
            try:
                request = self._checked(caller.rfile.readline(LINE_BYTES_MAX))
                if request["do"] == "watch":
                    self._watch(caller, float(request.get("hz", 4.0)))
                    return
                answer = self._answer(request)
            except FieldrigError as error:
                answer = line({"ok": False, "error": str(error)})
            except (ValueError, TypeError, KeyError) as error:
                answer = line({"ok": False, "error": f"the recorder does not understand this request: {error}"})
            except Exception as error:  # the caller is told, whatever it was
                answer = line({"ok": False, "error": f"the recorder failed: {type(error).__name__}: {error}"})
            caller.wfile.write(answer)

    def _checked(self, said: bytes) -> dict[str, Any]:
        if len(said) >= LINE_BYTES_MAX:
            raise CaptureError(f"a request is one line of less than {LINE_BYTES_MAX >> 20} MiB; make it shorter")
        request = json.loads(said)
        token = self._address.token
        if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token", "")), token):
            raise CaptureError("this recorder was not started in this workspace: the secret is another one")
        return request

    def _answer(self, request: Mapping[str, Any]) -> bytes:
        recorder, do, at = self._recorder, request["do"], _boot_ns(request.get("boot_ns"))
        details = {key: value for key, value in request.items() if key not in _NO_DETAILS}
        actions: dict[str, Callable[[], Path | None]] = {
            "start": lambda: recorder.start(details),
            "stop": recorder.stop,
            "pause": recorder.pause,
            "resume": recorder.resume,
            "mark": lambda: recorder.mark(str(request.get("kind", "mark")), str(request.get("text", "")), at),
            "episode_start": lambda: recorder.episode_start(str(request.get("text", "")), at),
            "episode_stop": lambda: recorder.episode_stop(_outcome(request.get("outcome", "")), at),
            "snapshot": recorder.snapshot,
            "describe": lambda: recorder.describe(details),
            "acknowledge": self.acknowledge,
        }
        if do == "state":
            return b'{"ok": true, "state": ' + self._state() + b"}\n"
        if do == "preview":
            return with_packets(recorder.preview(str(request.get("stream", ""))))
        if do not in actions:
            raise CaptureError(f"no recorder can '{do}'; it can: {', '.join(actions)}, state, watch, preview")
        folder = actions[do]()
        return line({"ok": True, "folder": "" if folder is None else str(folder)})

    def _watch(self, caller: socketserver.StreamRequestHandler, hz: float) -> None:
        while True:
            caller.wfile.write(self._state() + b"\n")
            if self._stop.wait(1 / min(max(hz, 0.1), 20.0)):
                return


class _Server(socketserver.ThreadingTCPServer):
    """A thread a caller; callers are few."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handle: Callable[[socketserver.StreamRequestHandler], None]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = ANSWER_S

            def handle(self) -> None:
                handle(self)

        super().__init__(address, Handler)


def _boot_ns(said: object) -> int | None:
    """Of the instant that a caller means; callers are on this machine, whose processes all count alike since boot."""
    if said is None or (isinstance(said, int) and not isinstance(said, bool)):
        return said
    raise CaptureError(f"boot_ns: {said!r} is no number of nanoseconds since boot; leave it out to mean now")


def _outcome(text: object) -> Outcome:
    for outcome in OUTCOMES:
        if text == outcome:
            return outcome
    raise CaptureError(f"an episode ends as one of {', '.join(OUTCOMES)}, not '{text}'")
