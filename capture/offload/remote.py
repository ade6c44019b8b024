"""A recording's folder on a server: whatever fsspec reaches (object stores, SFTP, WebDAV)."""

from __future__ import annotations

import re
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
_S3 = frozenset({"s3", "s3a"})
_SFTP = frozenset({"sftp", "ssh"})


class RemoteDestination:
    """A folder of an fsspec file system. Its drivers and credentials are configured as fsspec and they say."""

    def __init__(self, url: str, recording_id: str) -> None:
        self._scheme = url.partition("://")[0]
        if "::" in self._scheme:
            raise CaptureError(f"{url} is a chain of file systems; name the server itself, like sftp://host/folder")
        self._url = f"{url.rstrip('/')}/{recording_id}"
        self._where = re.sub(r"(?<=://)([^/:@]*):[^/@]*@", r"\1:...@", self._url)  # a password stays untold
        self._files, self._folder = self._open_file_system()
        self._is_whole = self._scheme in _WHOLE_UPLOADS
        if not self._is_whole:
            with self._trouble():
                self._files.makedirs(self._folder, exist_ok=True)
        if self._scheme in _S3:
            self._discard_uploads()

    @property
    def where(self) -> str:
        return self._where

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

    def unfinished_bytes(self, name: str) -> int:
        """Only SFTP can go on within a file; what an object store was sent of one is gone."""
        if self._scheme not in _SFTP:
            return 0
        with self._trouble():
            try:
                return int(self._files.info(self._part(name))["size"])
            except FileNotFoundError:
                return 0

    def write(self, name: str, fill: Fill, start: int) -> None:
        path = self._part(name)
        with self._trouble():
            if not self._is_whole and "/" in name:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = self._opened_to_write(path, start)
            try:
                fill(file.write)
                file.close()
            except BaseException:
                if self._is_whole:
                    # Else it would send its rest when it is forgotten, and half a file would be an object.
                    file.closed = True
                    with suppress(Exception):
                        file.discard()
                raise

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

    def _opened_to_write(self, path: str, start: int) -> Any:
        if self._scheme in _SFTP:
            return self._files.open_to_write(path, start)
        return self._files.open(path, "wb", **({"block_size": _BLOCK_BYTES} if self._is_whole else {}))

    def _opened(self, path: str) -> Any:
        return self._files.open_to_read(path) if self._scheme in _SFTP else self._files.open(path, "rb")

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _part(self, name: str) -> str:
        return self._path(name) if self._is_whole else self._path(f"{name}.part")

    def _discard_uploads(self) -> None:
        """What a run that was killed has sent of a file is no object yet, but takes up room that somebody pays for."""
        bucket, _, prefix = self._folder.partition("/")
        with suppress(Exception):  # who may not list uploads may yet offload
            for upload in self._files.list_multipart_uploads(bucket):
                if upload["Key"].startswith(f"{prefix}/"):
                    self._files.abort_mpu(bucket, upload["Key"], upload["UploadId"])

    def _open_file_system(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            if self._scheme in _SFTP:
                from capture.offload.sftp import KnownServer

                return KnownServer.of(self._url)
            files, path = url_to_fs(self._url)
        except ImportError:
            driver = _DRIVERS.get(self._scheme, "its fsspec driver")
            raise CaptureError(
                f"{self._scheme}:// needs {driver}, which is not installed: pip install {driver}"
            ) from None
        except CaptureError:
            raise
        except Exception as error:  # every driver has its own
            raise CaptureError(f"cannot reach {self._where}: {_said(error)}") from error
        return files, path.rstrip("/")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except CaptureError:
            raise
        except Exception as error:  # every driver has its own; each of their clients raises others still
            raise CaptureError(f"{self._where}: {_said(error)}; {_advice(error)}{GO_ON}") from error


def _advice(error: Exception) -> str:
    if isinstance(error, PermissionError) or "credentials" in str(error).lower():
        return "see whether its credentials are right and may write there, then "
    return "see whether it names a place that is there, then " if isinstance(error, FileNotFoundError) else ""


def _said(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, TimeoutError) and not words:
        words = "the server does not answer"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
