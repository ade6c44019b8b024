"""The Label Studio server as a process of ours: started, waited for, found again, stopped.

DATA_DIR/
  access.json     user, password and token, made up once; only the owner may read it
  server.json     pid, command and port of the server that runs or ran last, and the pid of who started it and will stop it
  server.log      what it printed since its last start
  database/       the server's own
  files/PROJECT/  the pictures that it serves
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from annotate.environment import environment
from annotate.errors import AnnotateError
from annotate.label_studio.server_process import end, lives, process_of
from capture.whole_file import write_whole
from devices.progress import Progress

HOST = "127.0.0.1"
USER = "admin@fieldrig.example"
_BOOT_LIMIT_S = 300.0  # a first boot with its migrations takes 30 to 140 s on two cores
_FIRST_BOOT_S = 90.0
# The server takes a setting that it misses under LABEL_STUDIO_NAME from bare NAME (HOST, PORT, DEBUG, USERNAME ...): pass on no more.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "SYSTEMROOT", "LD_LIBRARY_PATH")


class Server:
    """One server over one data folder.

    As a context manager it uses the server that is already running there, or starts one and stops it at the end. One whose starter
    was killed and left it behind it takes over, as if it had started it.
    port: None takes a free one (the last one used, where that is still free).
    """

    def __init__(self, data_dir: Path, port: int | None = None, *, boot_limit_s: float = _BOOT_LIMIT_S) -> None:
        self.data_dir = data_dir.resolve()
        self.files = self.data_dir / "files"
        self.log = self.data_dir / "server.log"
        self._state = self.data_dir / "server.json"
        self._wanted_port = port
        self._boot_limit_s = boot_limit_s
        self._port: int | None = None
        self._started_here = False
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    @property
    def url(self) -> str:
        """Raises AnnotateError before start()."""
        if self._port is None:
            raise AnnotateError("the labelling server has not been started; call start() first")
        return f"http://{HOST}:{self._port}"

    @property
    def token(self) -> str:
        return str(self._access()["token"])

    @property
    def user(self) -> str:
        return str(self._access()["user"])

    @property
    def password(self) -> str:
        return str(self._access()["password"])

    @property
    def process(self) -> psutil.Process | None:
        """The running server over this data folder, whoever started it."""
        if self._child is not None and self._child.poll() is None:
            return psutil.Process(self._child.pid)
        return process_of(self._read_state())

    def start(self, progress: Progress | None = None) -> None:
        """Use the running server or start one, and wait until it answers. Raises AnnotateError in one clear line."""
        try:
            running = self._found() or self._launch()
            self._port = int(self._read_state()["port"])
            self._wait(running, progress)
        except BaseException:  # an interrupt, too, must not leave behind what was started here
            self._leave()
            raise

    @contextmanager
    def started(self, progress: Progress | None = None) -> Iterator[Self]:
        """The context manager with progress."""
        try:
            self.start(progress)
            yield self
        finally:
            self._leave()

    def stay(self) -> None:
        """Wait while the server runs. Raises AnnotateError when it has ended."""
        while self.process is not None:
            time.sleep(0.5)
        raise AnnotateError(f"Label Studio has ended; its log {self.log} ends with: {_last_words(self.log)}")

    def stop(self) -> None:
        """End the server and its children; does nothing where none runs."""
        running = self.process
        if running is not None:
            end(running)
        self._let_go_of_child()
        self._started_here = False

    def _leave(self) -> None:
        if self._started_here:
            self.stop()

    def _let_go_of_child(self) -> None:
        """Take the exit status of a server that was started here and has ended."""
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _found(self) -> psutil.Process | None:
        """The server that runs already. What nobody would stop any more is taken over, or ended where it is at the wrong port."""
        running, state = self.process, self._read_state()
        if running is None:
            return None
        is_left_behind = not lives(state["starter"])
        if self._wanted_port not in (None, state["port"]):
            if not is_left_behind:
                raise AnnotateError(
                    f"a labelling server over {self.data_dir} already runs on port {state['port']}; "
                    f"stop it, or leave out --port {self._wanted_port}"
                )
            end(running)
            return None
        if is_left_behind:
            self._started_here = True
            self._write_state({**state, "starter": os.getpid()})
        return running

    def _launch(self) -> psutil.Process:
        program = environment("label-studio") / "label-studio"
        port = self._free_port()
        command = [str(program), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
        try:
            for folder in (self.files, self.data_dir / "database"):
                folder.mkdir(parents=True, exist_ok=True)
            with self.log.open("wb") as log:
                # In a session of its own, so that an interrupt of ours ends it through stop(), in order.
                self._let_go_of_child()
                self._started_here = True
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise AnnotateError(f"cannot start Label Studio ({program}): {error}; run `make setup` again") from None
        self._write_state({"pid": self._child.pid, "command": command, "port": port, "starter": os.getpid()})
        return psutil.Process(self._child.pid)

    def _free_port(self) -> int:
        """The server takes the next port in silence when its own is busy, so look first."""
        if self._wanted_port is not None:
            if _is_free(self._wanted_port):
                return self._wanted_port
            raise AnnotateError(f"port {self._wanted_port} is in use by another program; choose another with --port")
        last = self._read_state().get("port")
        if last is not None and _is_free(int(last)):
            return int(last)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])

    def _environment(self) -> dict[str, str]:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return passed_on | {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir / "database"),
            "LABEL_STUDIO_USERNAME": self.user,
            "LABEL_STUDIO_PASSWORD": self.password,
            "LABEL_STUDIO_USER_TOKEN": self.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }

    def _wait(self, running: psutil.Process, progress: Progress | None) -> None:
        began = time.monotonic()
        while not self._answers():
            waited = time.monotonic() - began
            if not running.is_running() or running.status() == psutil.STATUS_ZOMBIE:
                raise self._failure("it ended while starting")
            if waited > self._boot_limit_s:
                raise self._failure(f"no answer within {self._boot_limit_s:.0f} s")
            if progress is not None:
                progress(
                    "waiting for Label Studio (its first start takes a minute or two)",
                    min(waited / _FIRST_BOOT_S, 0.99),
                )
            time.sleep(0.25)

    def _answers(self) -> bool:
        """Whether the server is up, and is ours: it knows our token."""
        headers = {"Authorization": f"Token {self.token}"}
        try:
            with httpx.Client(base_url=self.url, timeout=5.0, trust_env=False) as client:
                if client.get("/health").status_code != httpx.codes.OK:
                    return False
                return client.get("/api/current-user/whoami", headers=headers).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _failure(self, what: str) -> AnnotateError:
        return AnnotateError(
            f"Label Studio did not start: {what}; its log {self.log} ends with: {_last_words(self.log)}"
        )

    def _access(self) -> dict[str, Any]:
        path = self.data_dir / "access.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = {"user": USER, "password": secrets.token_urlsafe(12), "token": secrets.token_hex(20)}
            self._write_access(path, found)
        except (OSError, ValueError) as error:
            raise AnnotateError(
                f"cannot read {path}: {error}; restore it, or delete {self.data_dir} and push again"
            ) from None
        return found

    def _write_access(self, path: Path, access: dict[str, Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise AnnotateError(f"cannot write {path}: {error}; the workspace must be writable") from None
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(access, file)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        try:
            write_whole(self._state, json.dumps(state))
        except OSError as error:
            raise AnnotateError(f"cannot write {self._state}: {error}; the workspace must be writable") from None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _last_words(log: Path) -> str:
    """The last line that says something: of a traceback the error itself."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(nothing)"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else "(nothing)"
