"""Moving recordings to servers: a real SFTP server, an object store, and what goes wrong on the way."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import psutil
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from capture.checksums import NAME
from capture.errors import CaptureError
from capture.offload.offload import offload
from capture.offload.progress import OffloadProgress
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.recordings import wait_for, write_recording
from tests.capture.test_offload import contents


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(Workspace(tmp_path_factory.mktemp("recorded")), packets=150, padding=400)


@pytest.fixture
def source(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "here" / "recordings" / recorded.name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class SftpServer:
    """OpenSSH's server on loopback, for this user and one key."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port, self._program, self._folder = free_port(), program, folder
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nStrictModes no\nUsePAM no\n"
            f"AuthorizedKeysFile {folder / 'authorized'}\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        )
        self.start()

    def start(self) -> None:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True) if os.geteuid() == 0 else None
        self._process = subprocess.Popen(
            [self._program, "-D", "-e", "-f", self._folder / "config"], stderr=subprocess.DEVNULL, process_group=0
        )
        wait_for(lambda: listens(self.port))

    def stop(self) -> None:
        """With every session that it serves."""
        for session in psutil.Process(self._process.pid).children(recursive=True):
            session.kill()
        self._process.kill()
        self._process.wait()

    def url(self, path: Path) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{path}"


@pytest.fixture
def sftp(
    tmp_path: Path, needs_system_package: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SftpServer]:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    program = needs_system_package("sshd", "openssh-server")
    keys = tmp_path / "keys"
    keys.mkdir()
    server = SftpServer(program, keys)
    monkeypatch.setitem(
        fsspec.config.conf, "sftp", {"key_filename": str(keys / "user"), "look_for_keys": False, "allow_agent": False}
    )
    fsspec.get_filesystem_class("sftp").clear_instance_cache()
    yield server
    server.stop()
    fsspec.get_filesystem_class("sftp").clear_instance_cache()


def test_a_recording_reaches_an_sftp_server_and_is_read_back_from_it(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    there, before = tmp_path / "there", contents(source)
    assert offload(source, sftp.url(there)).sent == 4
    assert contents(there / source.name) == before
    assert offload(source, sftp.url(there), zstd=True).sent == 3
    assert verify(there / source.name).verdict == "good"
    assert offload(source, sftp.url(there), delete=True).deleted
    assert contents(there / source.name) == before
    assert not source.exists()


def test_a_byte_that_turns_on_the_server_is_found_and_nothing_is_deleted(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    there = tmp_path / "there"

    def turn(now: OffloadProgress) -> None:
        part = there / source.name / f"{source.name}_1.mcap.part"
        if now.name.endswith("_1.mcap") and now.doing == "reading back" and part.exists():
            with part.open("r+b") as file:
                file.seek(1_500_000)
                file.write(b"!")

    with pytest.raises(CaptureError, match="came back with other bytes than were sent, 2 times"):
        offload(source, sftp.url(there), delete=True, progress=_first_of_each_phase(turn))
    assert verify(source).verdict == "good"
    assert not (there / source.name / NAME).exists()


def _first_of_each_phase(act: Callable[[OffloadProgress], None]) -> Callable[[OffloadProgress], None]:
    """Acts when the file has been sent whole, before it is read back: the last step of sending stands for it."""

    def told(now: OffloadProgress) -> None:
        act(OffloadProgress(now.name, "reading back", now.done_bytes, now.total_bytes))

    return told


def test_a_server_that_vanishes_on_the_way_is_one_line_and_the_next_run_goes_on(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    there, before = tmp_path / "there", contents(source)

    def vanish(now: OffloadProgress) -> None:
        if now.name.endswith("_1.mcap") and listens(sftp.port):
            sftp.stop()

    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, sftp.url(there), delete=True, progress=vanish)
    assert "\n" not in str(error.value)
    assert contents(source) == before
    fsspec.get_filesystem_class("sftp").clear_instance_cache()
    with pytest.raises(CaptureError, match="cannot reach"):
        offload(source, sftp.url(there), delete=True)
    sftp.start()
    assert offload(source, sftp.url(there), delete=True).sent == 3
    assert contents(there / source.name) == before


def test_a_server_that_refuses_is_one_line(source: Path, sftp: SftpServer) -> None:
    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, sftp.url(Path("/proc/no-such-place")), delete=True)
    assert "\n" not in str(error.value)
    assert source.exists()


class Store(MemoryFileSystem):
    """An object store in memory, which can turn a byte, refuse, or lose what it has taken."""

    protocol = "memory"
    trouble = ""
    cachable = False

    def _open(self, path, mode="rb", **kwargs):  # type: ignore[no-untyped-def]
        if mode == "wb" and self.trouble == "refuse":
            raise PermissionError("AccessDenied: not for you")
        file = super()._open(path, mode, **kwargs)
        if mode == "rb" and self.trouble == "turn" and path.endswith("_1.mcap.part"):
            data = bytearray(file.getvalue())
            data[len(data) // 2] ^= 1
            self.store[path].seek(0)
            self.store[path].write(data)
            self.store[path].seek(0)
        return file


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Store]]:
    monkeypatch.setitem(_registry, "memory", Store)
    monkeypatch.setattr(Store, "store", {})
    monkeypatch.setattr(Store, "pseudo_dirs", [""])
    yield Store
    Store.trouble = ""


def stored(store: type[Store], recording: str) -> dict[str, bytes]:
    prefix = f"/field/{recording}/"
    return {path.removeprefix(prefix): file.getvalue() for path, file in store.store.items() if path.startswith(prefix)}


def test_whatever_fsspec_reaches_takes_a_recording_and_gives_it_back(source: Path, store: type[Store]) -> None:
    before = contents(source)
    assert offload(source, "memory://field").sent == 4
    assert stored(store, source.name) == before
    assert offload(source, "memory://field", delete=True).sent == 0
    assert not source.exists()
    assert stored(store, source.name) == before


@pytest.mark.parametrize(("trouble", "says"), [("turn", "came back with other bytes"), ("refuse", "AccessDenied")])
def test_a_store_that_turns_a_byte_or_refuses_loses_nothing(
    source: Path, store: type[Store], trouble: str, says: str
) -> None:
    before, Store.trouble = contents(source), trouble
    with pytest.raises(CaptureError, match=says) as error:
        offload(source, "memory://field", delete=True)
    assert "\n" not in str(error.value)
    assert contents(source) == before
    assert NAME not in stored(store, source.name)
    Store.trouble = ""
    offload(source, "memory://field", delete=True)
    assert stored(store, source.name) == before


def test_a_store_that_loses_an_object_after_it_arrived_stops_the_deletion(source: Path, store: type[Store]) -> None:
    def lose(now: OffloadProgress) -> None:
        if now.name == "metadata.yaml" and now.doing == "reading back":
            store.store.pop(f"/field/{source.name}/{source.name}_0.mcap", None)

    before = contents(source)
    with pytest.raises(CaptureError, match="nothing was deleted"):
        offload(source, "memory://field", delete=True, progress=lose)
    assert contents(source) == before


def test_the_recording_itself_reached_over_a_server_is_not_deleted(source: Path, sftp: SftpServer) -> None:
    """The copy of every file would be the file itself."""
    before = contents(source)
    with pytest.raises(CaptureError, match="nothing was deleted"):
        offload(source, sftp.url(source.parent), delete=True)
    assert contents(source) == before


class S3Server:
    """s3rver, a server of the S3 protocol that keeps its objects in a folder: `npm install --global s3rver`."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.process = subprocess.Popen(
            [program, "--directory", folder, "--port", str(self.port), "--address", "127.0.0.1", "--silent",
             "--configure-bucket", "field"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: listens(self.port))


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    program = shutil.which("s3rver")
    if program is None:
        pytest.skip("needs an S3 server: npm install --global s3rver")
    server = S3Server(program, tmp_path / "s3")
    options = {"key": "S3RVER", "secret": "S3RVER", "endpoint_url": f"http://127.0.0.1:{server.port}"}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield server
    server.process.kill()
    server.process.wait()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_a_recording_reaches_an_s3_server_whole_and_comes_back_whole(
    source: Path, s3: S3Server, tmp_path: Path
) -> None:
    before = contents(source)
    assert offload(source, "s3://field/2026").sent == 4
    assert offload(source, "s3://field/2026", zstd=True).sent == 3
    assert offload(source, "s3://field/2026").sent == 3
    assert offload(source, "s3://field/2026", delete=True).deleted
    assert not source.exists()
    files = fsspec.filesystem("s3")
    files.get(f"field/2026/{source.name}", str(tmp_path / "back"), recursive=True)
    assert contents(tmp_path / "back") == before


def test_an_s3_server_that_vanishes_in_the_midst_of_an_upload_never_shows_half_an_object(
    source: Path, s3: S3Server
) -> None:
    before = contents(source)

    def vanish(now: OffloadProgress) -> None:
        if now.name.endswith("_1.mcap"):
            s3.process.kill()

    started = time.monotonic()
    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, "s3://field", delete=True, progress=vanish)
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 60
    assert contents(source) == before
    assert [path for path in s3.folder.rglob("*_0.mcap*") if path.is_file()]
    assert not [path for path in s3.folder.rglob("*_1.mcap*") if path.is_file()]


def test_a_bucket_that_is_not_there_or_a_driver_that_is_missing_is_one_line(
    source: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, "s3://no-such-bucket/x", delete=True)
    assert "\n" not in str(error.value)
    assert source.exists()


def test_a_missing_driver_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    monkeypatch.delitem(_registry, "sftp", raising=False)
    with pytest.raises(CaptureError, match="sftp:// needs paramiko, which is not installed: pip install paramiko"):
        offload(source, "sftp://127.0.0.1:1/field")
