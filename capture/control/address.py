"""Where a running recorder is to be found: a file in its workspace, which goes when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from capture.errors import CaptureError
from capture.lock import one_at_a_time
from capture.workspace import Workspace

_CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """A recorder's rig and process, the loopback port that it listens at, and the secret that it asks for."""

    rig: str
    pid: int
    port: int
    token: str

    @contextlib.contextmanager
    def connected(self, timeout_s: float) -> Iterator[socket.socket]:
        """Raises CaptureError when nobody listens there any more, or nobody answers."""
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=_CONNECT_S)
        except TimeoutError:
            raise self.silent() from None
        except OSError:
            raise CaptureError("the recorder has ended") from None
        with connection:
            connection.settimeout(timeout_s)
            yield connection

    def is_listening(self) -> bool:
        """Whether anybody is there still, be it one who does not answer: a recorder that was killed leaves its address behind."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=_CONNECT_S).close()
        except TimeoutError:
            return True
        except OSError:
            return False
        return True

    def silent(self) -> CaptureError:
        """Of a recorder that is there and says nothing."""
        return CaptureError(
            f"the recorder of the rig '{self.rig}' runs (process {self.pid}) and does not answer; if it was suspended, "
            f"`kill -CONT {self.pid}` lets it go on, else end it: what it has recorded is repaired at the next start"
        )

    @property
    def is_suspended(self) -> bool:
        import psutil

        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def leave(self, workspace: Workspace) -> None:
        """For others to find; readable by its owner only.

        Raises CaptureError when the workspace cannot be written to, or a recorder of this rig runs there already.
        """
        path = address_file(workspace, self.rig)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(path.parent):
                refuse_a_second(workspace, self.rig)
                path.unlink(missing_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(asdict(self), file)
        except OSError as error:
            raise CaptureError(f"cannot write {path}: {error.strerror}; give another --workspace") from None

    def withdraw(self, workspace: Workspace) -> None:
        path = address_file(workspace, self.rig)
        if read_address(path) == self:  # else a later recorder has left its own
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def address_file(workspace: Workspace, rig: str) -> Path:
    return workspace.recordings / f".recorder-{rig}.json"


def read_address(path: Path) -> Address | None:
    """None where there is no such file, or none that a recorder has written."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Address(str(said["rig"]), int(said["pid"]), int(said["port"]), str(said["token"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def listening_addresses(workspace: Workspace, rig: str | None = None) -> list[Address]:
    """Of the recorders that run in a workspace: all of them, or the one of a rig."""
    paths = sorted(workspace.recordings.glob(".recorder-*.json"))
    if rig is not None:
        paths = [path for path in paths if path == address_file(workspace, rig)]
    return [address for address in map(read_address, paths) if address is not None and address.is_listening()]


def refuse_a_second(workspace: Workspace, rig: str) -> None:
    """Raises CaptureError while a recorder of a rig runs: two would take each other's place, and only one could be steered."""
    import psutil

    for other in listening_addresses(workspace, rig):
        if psutil.pid_exists(other.pid):  # else somebody else listens at the port of one that was killed
            raise CaptureError(
                f"a recorder of the rig '{rig}' runs in {workspace.root} already (process {other.pid}); end it first"
            )
