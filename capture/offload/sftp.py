"""An SFTP server whose key is known: fsspec's client for it takes any server that answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from capture.errors import CaptureError

_WINDOW_BYTES = 4 << 20
_REQUEST_BYTES = 32 << 10  # the most that every SFTP server answers at once
_SILENT_S = 60.0  # a line that is cut without a word is given up then
_PORT = 22
_KNOWN_TO_ALL = Path("/etc/ssh/ssh_known_hosts")


class KnownServer(SFTPFileSystem):  # type: ignore[misc]  # fsspec carries no types
    """Raises CaptureError when its key stands in no known_hosts, or another one does."""

    cachable = False  # a connection that broke is no use to the next recording

    @classmethod
    def of(cls, url: str) -> tuple[KnownServer, str]:
        """The server that a URL names, and the path on it."""
        return cls(**cls._get_kwargs_from_urls(url)), cls._strip_protocol(url).rstrip("/")

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        if _KNOWN_TO_ALL.is_file():
            self.client.load_host_keys(str(_KNOWN_TO_ALL))
        self.client.set_missing_host_key_policy(_Refusal())
        try:
            self.client.connect(self.host, **{"timeout": _SILENT_S, **self.ssh_kwargs})
        except paramiko.BadHostKeyException as error:
            raise CaptureError(_changed(error, self.ssh_kwargs.get("port", _PORT))) from None
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(_SILENT_S)

    def open_to_write(self, path: str, start: int) -> Any:
        """The file, cut off at ``start``, from where on it is written without waiting for each block's answer."""
        file = self.open(path, "r+b" if start else "wb")
        file.truncate(start)
        file.seek(start)
        file.set_pipelined(True)
        return file

    def open_to_read(self, path: str) -> io.BufferedReader:
        return io.BufferedReader(_WindowedReader(self.open(path, "rb")), _WINDOW_BYTES)


class _Refusal(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # nor does paramiko
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise CaptureError(
            f"the SFTP server {hostname} is not in ~/.ssh/known_hosts. Its key is {_told(key)}: compare that with what its "
            f"keeper says, then run: {_scan(hostname)}"
        )


def _changed(error: paramiko.BadHostKeyException, port: int) -> str:
    entry = error.hostname if port == _PORT else f"[{error.hostname}]:{port}"
    return (
        f"the SFTP server {entry} shows another key ({_told(error.key)}) than known_hosts holds ({_told(error.expected_key)}): it "
        "was set up anew, or somebody stands between. Nothing was sent; if its keeper confirms the new one, run: "
        f"ssh-keygen -R '{entry}' && {_scan(entry)}"
    )


def _scan(entry: str) -> str:
    """What enters a server, named as known_hosts names it: ``host``, or ``[host]:port``."""
    host, _, port = entry.removeprefix("[").partition("]:")
    return f"ssh-keyscan {f'-p {port} ' if port else ''}{host} >> ~/.ssh/known_hosts"


def _told(key: paramiko.PKey) -> str:
    """As `ssh-keygen -l` writes it."""
    return f"{key.get_name()} {key.fingerprint}"


class _WindowedReader(io.RawIOBase):
    """A file on the server, asked for a window at a time: with one request under way it would be as slow as the line is long."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file
        self._size: int = file.stat().st_size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._size - self._at))
        wanted = [
            (at, min(_REQUEST_BYTES, self._at + length - at))
            for at in range(self._at, self._at + length, _REQUEST_BYTES)
        ]
        data = b"".join(self._file.readv(wanted))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
