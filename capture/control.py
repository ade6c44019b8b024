"""How other programs on this machine steer a running recorder: its page, `fieldrig mark`, a robot's task runner.

The recorder listens on loopback and leaves its port and a secret in the workspace: recordings/.recorder-RIG.json, readable by its owner
only. A request is one JSON line, ``{"token": "...", "do": "mark", "text": "door closed"}``; the answer is one line,
``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. ``watch`` answers with a line a state until the caller hangs up; ``preview``'s line
says the packets' stamps and sizes, and their bytes follow.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from capture.errors import CaptureError
from capture.recorder_state import OUTCOMES, Outcome, RecorderState, state_from_json, state_to_json
from capture.workspace import Workspace
from devices.errors import FieldrigError
from devices.samples import Packet, Stamps

_LINE_BYTES_MAX = 1 << 20
_ANSWER_S = 60.0  # closing a recording syncs and hashes; a slow disk may take this long
_CONNECT_S = 2.0
DETAILS = ("operator", "site", "task", "order", "consent_ids")


class Steered(Protocol):
    """What a recorder can be asked for. Each raises FieldrigError saying why it cannot."""

    def state(self) -> RecorderState: ...
    def start(self, details: Mapping[str, Any]) -> Path: ...
    def stop(self) -> Path: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mark(self, kind: str, text: str) -> None: ...
    def episode_start(self, task: str) -> None: ...
    def episode_stop(self, outcome: Outcome) -> None: ...
    def snapshot(self) -> Path: ...
    def describe(self, details: Mapping[str, Any]) -> None: ...
    def preview(self, stream: str) -> Sequence[Packet]: ...


class ControlServer:
    """Listens for requests until closed. Raises CaptureError when the workspace cannot be written to."""

    def __init__(self, recorder: Steered, workspace: Workspace, rig: str) -> None:
        self._recorder = recorder
        self._token = secrets.token_hex(16)
        self._stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handle)
        self._address = _address_file(workspace, rig)
        try:
            self._leave_address(rig)
        except OSError as error:
            self._server.server_close()
            raise CaptureError(f"cannot write {self._address}: {error.strerror}; give another --workspace") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="fieldrig-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        if _read_address(self._address).get("token") == self._token:
            self._address.unlink(missing_ok=True)

    def _leave_address(self, rig: str) -> None:
        self._address.parent.mkdir(parents=True, exist_ok=True)
        said = {"rig": rig, "pid": os.getpid(), "port": self._server.server_address[1], "token": self._token}
        self._address.unlink(missing_ok=True)
        descriptor = os.open(self._address, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(said, file)

    def _handle(self, caller: socketserver.StreamRequestHandler) -> None:
        """One request of one caller; a caller that goes away in the middle is nobody's trouble."""
        with contextlib.suppress(OSError):
            line = caller.rfile.readline(_LINE_BYTES_MAX)
            try:
                request = self._checked(line)
                if request["do"] == "watch":
                    self._watch(caller, float(request.get("hz", 4.0)))
                    return
                answer = self._answer(request)
            except FieldrigError as error:
                answer = _line({"ok": False, "error": str(error)})
            except (ValueError, TypeError, KeyError) as error:
                answer = _line({"ok": False, "error": f"the recorder does not understand this request: {error}"})
            except Exception as error:  # the caller is told, whatever it was
                answer = _line({"ok": False, "error": f"the recorder failed: {type(error).__name__}: {error}"})
            caller.wfile.write(answer)

    def _checked(self, line: bytes) -> dict[str, Any]:
        request = json.loads(line)
        if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token", "")), self._token):
            raise CaptureError("this recorder was not started in this workspace: the secret is another one")
        return request

    def _answer(self, request: Mapping[str, Any]) -> bytes:
        recorder, do = self._recorder, request["do"]
        details = {key: request[key] for key in DETAILS if key in request}
        actions: dict[str, Callable[[], Path | None]] = {
            "start": lambda: recorder.start(details),
            "stop": recorder.stop,
            "pause": recorder.pause,
            "resume": recorder.resume,
            "mark": lambda: recorder.mark(str(request.get("kind", "mark")), str(request.get("text", ""))),
            "episode_start": lambda: recorder.episode_start(str(request.get("text", ""))),
            "episode_stop": lambda: recorder.episode_stop(_outcome(request.get("outcome", ""))),
            "snapshot": recorder.snapshot,
            "describe": lambda: recorder.describe(details),
        }
        if do == "state":
            return b'{"ok": true, "state": ' + state_to_json(recorder.state()) + b"}\n"
        if do == "preview":
            return _packed(recorder.preview(str(request.get("stream", ""))))
        if do not in actions:
            raise CaptureError(f"no recorder can '{do}'; it can: {', '.join(actions)}, state, watch, preview")
        folder = actions[do]()
        return _line({"ok": True, "folder": "" if folder is None else str(folder)})

    def _watch(self, caller: socketserver.StreamRequestHandler, hz: float) -> None:
        while True:
            caller.wfile.write(state_to_json(self._recorder.state()) + b"\n")
            if self._stop.wait(1 / min(max(hz, 0.1), 20.0)):
                return


class RecorderClient:
    """Speaks to a running recorder; each call is a connection of its own. All raise CaptureError with what the recorder answered."""

    def __init__(self, address: Path) -> None:
        self._address = address

    @staticmethod
    def find(workspace: Workspace, rig: str | None = None) -> RecorderClient:
        """The recorder that runs in a workspace. Raises CaptureError when there is none, or several and no rig is named."""
        found = [
            path for path in sorted(workspace.recordings.glob(".recorder-*.json")) if _is_listening(_read_address(path))
        ]
        if rig is not None:
            found = [path for path in found if path == _address_file(workspace, rig)]
        if not found:
            which = f" of the rig '{rig}'" if rig else ""
            raise CaptureError(
                f"no recorder{which} runs in {workspace.root}; start one with `fieldrig record RIG.toml`, or give its --workspace"
            )
        if len(found) > 1:
            rigs = ", ".join(_read_address(path).get("rig", "?") for path in found)
            raise CaptureError(f"several recorders run in {workspace.root}: {rigs}; say which with --rig")
        return RecorderClient(found[0])

    def state(self) -> RecorderState:
        with self._asked({"do": "state"}) as (_, answer):
            return state_from_json(json.dumps(answer["state"]).encode())

    def watch(self, hz: float = 4.0) -> Iterator[RecorderState]:
        """States until the recorder ends. Raises CaptureError when it ends, or says nothing for some seconds."""
        with self._connected(max(_CONNECT_S, 3 / hz)) as (connection, token):
            connection.sendall(_line({"token": token, "do": "watch", "hz": hz}))
            lines = connection.makefile("rb")
            try:
                while line := lines.readline():
                    yield state_from_json(line)
            except ValidationError:
                raise CaptureError(json.loads(line).get("error", "the recorder gave no state")) from None
            except OSError as error:
                raise CaptureError(f"the recorder says nothing any more: {error}") from None
        raise CaptureError("the recorder has ended")

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
        self._do("mark", text=text, kind=kind)

    def note(self, text: str) -> None:
        self.mark(text, "note")

    def episode_start(self, task: str = "") -> None:
        self._do("episode_start", text=task)

    def episode_stop(self, outcome: Outcome) -> None:
        self._do("episode_stop", outcome=outcome)

    def snapshot(self) -> Path:
        """Writes what the memory holds; returns the folder once it is complete."""
        return Path(self._do("snapshot"))

    def preview(self, stream: str) -> list[Packet]:
        """The newest picture, or the newest packets of about one sweep; none before the first has come."""
        with self._asked({"do": "preview", "stream": stream}) as (body, answer):
            packets = []
            for host_ns, device_ns, size in answer["packets"]:
                packets.append(Packet(stream, Stamps(host_ns, device_ns), body.read(size)))
            return packets

    def _do(self, what: str, **with_: Any) -> str:
        with self._asked({"do": what, **with_}) as (_, answer):
            return str(answer.get("folder", ""))

    @contextlib.contextmanager
    def _asked(self, request: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        with self._connected(_ANSWER_S) as (connection, token):
            try:
                connection.sendall(_line({"token": token, **request}))
                body = connection.makefile("rb")
                answer = json.loads(body.readline() or b"{}")
            except (OSError, ValueError) as error:
                raise CaptureError(f"the recorder did not answer '{request['do']}': {error}") from None
            if not answer.get("ok"):
                raise CaptureError(answer.get("error", f"the recorder ended before it answered '{request['do']}'"))
            yield body, answer

    @contextlib.contextmanager
    def _connected(self, timeout_s: float) -> Iterator[tuple[socket.socket, str]]:
        said = _read_address(self._address)
        try:
            connection = socket.create_connection(("127.0.0.1", int(said.get("port", 0))), timeout=_CONNECT_S)
        except OSError:
            raise CaptureError("the recorder has ended") from None
        with connection:
            connection.settimeout(timeout_s)
            yield connection, str(said.get("token", ""))


class _Server(socketserver.ThreadingTCPServer):
    """A thread a caller; callers are few."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handle: Callable[[socketserver.StreamRequestHandler], None]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = _ANSWER_S

            def handle(self) -> None:
                handle(self)

        super().__init__(address, Handler)


def _address_file(workspace: Workspace, rig: str) -> Path:
    return workspace.recordings / f".recorder-{rig}.json"


def _read_address(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_listening(said: Mapping[str, Any]) -> bool:
    """Whether anybody is there still: a recorder that was killed leaves its address behind."""
    try:
        socket.create_connection(("127.0.0.1", int(said["port"])), timeout=_CONNECT_S).close()
    except (OSError, KeyError, ValueError):
        return False
    return True


def _outcome(text: object) -> Outcome:
    for outcome in OUTCOMES:
        if text == outcome:
            return outcome
    raise CaptureError(f"an episode ends as one of {', '.join(OUTCOMES)}, not '{text}'")


def _packed(packets: Sequence[Packet]) -> bytes:
    heads = [(packet.stamps.host_ns, packet.stamps.device_ns, len(packet.data)) for packet in packets]
    return _line({"ok": True, "packets": heads}) + b"".join(packet.data for packet in packets)


def _line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
