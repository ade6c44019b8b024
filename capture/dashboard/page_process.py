"""The page's process as the recorder's command sees it: started, watched, started again; nothing of it can hold up a recording."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from capture.dashboard.addresses import LOOPBACK, PORT, TOKEN_VARIABLE, page_addresses, page_token
from capture.workspace import Workspace

_PORTS_TRIED = 20
_AGAIN_S = (
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
)  # after the first end, the second, ...: a page that cannot live is not asked in a loop
_LIVED_S = 30.0  # what lived so long may be started again at once
_CLOSE_S = 2.0


class PageProcess:
    """Serves the page until closed. say: takes a line when the page has come up, and when it is gone."""

    def __init__(
        self,
        rig_file: Path,
        workspace: Workspace,
        say: Callable[[str], None],
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        panels: Sequence[str] = (),
        foxglove: int | None = None,
        silent: bool = False,
    ) -> None:
        self.token = "" if host in LOOPBACK else page_token(workspace)
        self._host, self._port, self._tries = host, port, _PORTS_TRIED
        self._say = say
        self._command = [sys.executable, "-m", "capture.dashboard", str(workspace.root), str(rig_file.absolute())]
        self._command += ["--supervised", "--host", host]
        self._command += [word for panel in panels for word in ("--panel", panel)]
        self._command += ["--foxglove", str(foxglove)] if foxglove is not None else []
        self._command += ["--silent"] if silent else []
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()
        self._changed = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="fieldrig-page", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def addresses(self) -> list[str]:
        return page_addresses(self._host, self._port, self.token)

    @property
    def pid(self) -> int | None:
        """Of the process that serves now."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.terminate()
            try:
                process.wait(_CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        ends = 0
        while not self._closed.is_set():
            began_s = time.monotonic()
            said = self._serve()
            if self._closed.is_set():
                return
            ends = 0 if time.monotonic() - began_s > _LIVED_S else ends
            wait_s = _AGAIN_S[min(ends, len(_AGAIN_S) - 1)]
            self._say(
                f"the page's process has ended ({said}); it is started again in {wait_s:.1f} s, recording goes on"
            )
            ends += 1
            self._closed.wait(wait_s)

    def _serve(self) -> str:
        """One life of the process; returns why it ended."""
        try:
            process = self._started()
        except OSError as error:
            return f"it cannot be started: {error}"
        errors: deque[bytes] = deque(maxlen=1)
        with process:
            reader = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
            reader.start()
            for line in process.stdout or ():
                self._heard(line.decode(errors="replace").strip())
            code = process.wait()
            reader.join()
        last = errors[-1].decode(errors="replace").strip() if errors else ""
        return last or f"exit code {code}"

    def _heard(self, line: str) -> None:
        if line.isdecimal():
            self._port, self._tries = int(line), 1  # phones know this one by now
            line = f"page: {self.addresses[0]}"
        self._say(line)

    def _started(self) -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl+C at the recorder is the recorder's alone. Its standard input ends with this process."""
        ports = ["--port", str(self._port), "--ports-tried", str(self._tries)]
        with self._changed:
            self._process = subprocess.Popen(
                [*self._command, *ports],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, TOKEN_VARIABLE: self.token},
                start_new_session=True,
            )
            if self._closed.is_set():
                self._process.terminate()
            return self._process
