"""A recording's folder on a server: whatever fsspec reaches (object stores, SFTP, WebDAV)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from capture.errors import CaptureError
from capture.offload.destination import GO_ON, Fill

# Object stores: an object appears whole when its upload is complete, and not before; renaming would copy it.
_WHOLE_UPLOADS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2"})
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "sftp": "paramiko", "ssh": "paramiko", "az": "adlfs"}  # fmt: skip
_BLOCK_BYTES = 16 << 20
_SFTP = frozenset({"sftp", "ssh"})
_WINDOW_BYTES = 4 << 20
_REQUEST_BYTES = 32 << 10  # the most that every SFTP server answers at once


class RemoteDestination:
    """A folder of an fsspec file system. Its drivers and credentials are configured as fsspec and they say."""

    def __init__(self, url: str, recording_id: str) -> None:
        self._scheme = url.partition("://")[0]
        self._url = f"{url.rstrip('/')}/{recording_id}"
        self._files, self._folder = self._open_file_system()
        self._is_whole = self._scheme in _WHOLE_UPLOADS
        if not self._is_whole:
            with self._trouble():
                self._files.makedirs(self._folder, exist_ok=True)

    @property
    def where(self) -> str:
        return self._url

    def shares_disk_with(self, _path: Path) -> bool:
        return False

    def holds(self, _path: Path) -> bool:
        return False

    def free_bytes(self) -> int | None:
        return None

    def size_of(self, name: str) -> int | None:
        with self._trouble():
            try:
                self._files.invalidate_cache()
                return int(self._files.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def unfinished_bytes(self, _name: str) -> int:
        return 0

    def write(self, name: str, fill: Fill, _start: int) -> None:
        path = self._part(name)
        with self._trouble():
            if not self._is_whole and "/" in name:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = self._files.open(path, "wb", **({"block_size": _BLOCK_BYTES} if self._is_whole else {}))
            if self._scheme in _SFTP:
                file.set_pipelined(True)
            try:
                fill(file.write)
            except BaseException:
                if self._is_whole:
                    with suppress(Exception):  # what it began is invisible, and its server clears it away
                        file.discard()
                        file.closed = True
                raise
            file.close()

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        with self._trouble(), self._opened(self._path(name)) as file:
            yield file

    @contextmanager
    def read_unfinished(self, name: str) -> Iterator[BinaryIO]:
        with self._trouble():
            self._files.invalidate_cache()
            with self._opened(self._part(name)) as file:
                yield file

    def commit(self, name: str) -> None:
        if not self._is_whole:
            with self._trouble():
                self._files.mv(self._part(name), self._path(name))

    def discard(self, name: str) -> None:
        with self._trouble(), suppress(FileNotFoundError):
            self._files.rm_file(self._part(name))

    def put(self, name: str, content: bytes) -> None:
        self.write(name, lambda append: append(content), 0)
        self.commit(name)

    def remove(self, name: str) -> None:
        with self._trouble(), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _opened(self, path: str) -> Any:
        file = self._files.open(path, "rb")
        return io.BufferedReader(_SftpReader(file), _WINDOW_BYTES) if self._scheme in _SFTP else file

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _part(self, name: str) -> str:
        return self._path(name) if self._is_whole else self._path(f"{name}.part")

    def _open_file_system(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            files, path = url_to_fs(self._url)
        except ImportError:
            driver = _DRIVERS.get(self._scheme, "its fsspec driver")
            raise CaptureError(
                f"{self._scheme}:// needs {driver}, which is not installed: pip install {driver}"
            ) from None
        except Exception as error:  # every driver has its own
            raise CaptureError(f"cannot reach {self._url}: {_said(error)}") from error
        return files, path.rstrip("/")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except CaptureError:
            raise
        except Exception as error:  # every driver has its own; each of their clients raises others still
            raise CaptureError(f"{self._url}: {_said(error)}; {GO_ON}") from error


class _SftpReader(io.RawIOBase):
    """A file on an SFTP server, asked for a window at a time: with one request under way it would be as slow as the line is long."""

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


def _said(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
