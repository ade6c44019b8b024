"""Moving recordings to servers: a real SFTP server, a store that fsspec reaches, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
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
from tests.capture.rigs import free_port
from tests.capture.test_offload import contents


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(Workspace(tmp_path_factory.mktemp("recorded")), packets=150, padding=400)


@pytest.fixture
def source(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "here" / "recordings" / recorded.name)


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

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """To every session that it serves."""
        for session in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
                session.send_signal(number)

    def stop(self) -> None:
        """With every session that it serves."""
        self.signal(signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def make_known(self, home: Path) -> None:
        """As `ssh-keyscan` enters it."""
        kind, key, *_ = (self._folder / "host.pub").read_text().split()
        (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def change_key(self) -> None:
        """As a machine that was set up anew."""
        self.stop()
        for name in ("host", "host.pub"):
            (self._folder / name).unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._folder / "host"], check=True)
        self.start()

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
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    server = SftpServer(program, keys)
    server.make_known(home)
    monkeypatch.setitem(
        fsspec.config.conf, "sftp", {"key_filename": str(keys / "user"), "look_for_keys": False, "allow_agent": False}
    )
    yield server
    server.stop()


def test_a_recording_reaches_an_sftp_server_and_is_read_back_from_it(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    there, before = tmp_path / "there", contents(source)
    assert offload(source, sftp.url(there)).sent == 6
    assert contents(there / source.name) == before
    assert offload(source, sftp.url(there), zstd=True).kept == "uncompressed"
    assert offload(source, sftp.url(there), zstd=True, replace=True).sent == 5
    assert verify(there / source.name).verdict == "good"
    assert offload(source, sftp.url(there), replace=True, delete=True).deleted
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


def test_an_interrupted_run_goes_on_within_the_file(source: Path, tmp_path: Path, sftp: SftpServer) -> None:
    """What is there of it is not sent again: a byte that is wrong in it shows when the file is read back, and costs one try."""
    there, name = tmp_path / "there", f"{source.name}_0.mcap"
    whole = (source / name).read_bytes()
    part = there / source.name / f"{name}.part"
    for wrong, sendings in ((False, 1), (True, 2)):
        shutil.rmtree(there, ignore_errors=True)
        part.parent.mkdir(parents=True)
        part.write_bytes((b"!" if wrong else whole[:1]) + whole[1:500_000])
        told: list[OffloadProgress] = []
        offload(source, sftp.url(there), progress=told.append)
        assert contents(there / source.name) == contents(source)
        last = max(each.done_bytes for each in told if each.name == name)
        assert last == 2 * sendings * len(whole)
    shutil.rmtree(there)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"another file that was longer" * 100_000)
    offload(source, sftp.url(there))
    assert contents(there / source.name) == contents(source)


def test_a_server_that_vanishes_on_the_way_is_one_line_and_the_next_run_goes_on(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    there, before = tmp_path / "there", contents(source)

    def vanish(now: OffloadProgress) -> None:
        if now.name.endswith("_1.mcap") and sftp.runs:
            sftp.stop()

    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, sftp.url(there), delete=True, progress=vanish)
    assert "\n" not in str(error.value)
    assert contents(source) == before
    with pytest.raises(CaptureError, match="cannot reach"):
        offload(source, sftp.url(there), delete=True)
    sftp.start()
    assert offload(source, sftp.url(there), delete=True).sent == 5
    assert contents(there / source.name) == before


def test_a_server_that_refuses_is_one_line(source: Path, sftp: SftpServer) -> None:
    with pytest.raises(CaptureError, match="run the same command again") as error:
        offload(source, sftp.url(Path("/proc/no-such-place")), delete=True)
    assert "\n" not in str(error.value)
    assert source.exists()


def advised(error: CaptureError) -> str:
    """The command that a refusal ends with."""
    text = str(error)
    assert "\n" not in text
    return text.rpartition("run: ")[2]


def test_a_server_that_nobody_knows_gets_nothing_until_it_is_entered_as_the_refusal_says(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    known, there = tmp_path / "home/.ssh/known_hosts", tmp_path / "there"
    for content in (
        "",
        "example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhQ3W6sRDY4zFGSkyfz1T1cVtVcLfpUuNUPUXRbEBhm\n",
        None,
    ):
        known.unlink() if content is None else known.write_text(content)
        with pytest.raises(
            CaptureError, match=rf"\[127\.0\.0\.1\]:{sftp.port} is not in ~/\.ssh/known_hosts"
        ) as refused:
            offload(source, sftp.url(there), delete=True)
        assert not there.exists()
    key = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "keys/host.pub"], capture_output=True, text=True, check=True
    )
    assert key.stdout.split()[1] in str(refused.value), "what its keeper would read out"
    command = advised(refused.value)
    assert command == f"ssh-keyscan -p {sftp.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert offload(source, sftp.url(there), delete=True).deleted


def test_a_server_whose_key_has_changed_gets_nothing_until_its_old_key_is_taken_out(
    source: Path, tmp_path: Path, sftp: SftpServer
) -> None:
    before, there = contents(source), tmp_path / "there"
    sftp.change_key()
    with pytest.raises(
        CaptureError, match=r"shows another key \(ssh-ed25519 SHA256:.*somebody stands between"
    ) as refused:
        offload(source, sftp.url(there), delete=True)
    assert contents(source) == before
    assert not there.exists()
    # ssh-keygen goes by the user's account, not by $HOME.
    command = advised(refused.value).replace("ssh-keygen", f"ssh-keygen -f {tmp_path}/home/.ssh/known_hosts")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert offload(source, sftp.url(there), delete=True).deleted


def test_a_line_that_dies_without_a_word_is_given_up_and_taken_up_again(
    source: Path, tmp_path: Path, sftp: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.offload.sftp._SILENT_S", 1.0)
    before, there = contents(source), tmp_path / "there"

    def freeze(now: OffloadProgress) -> None:
        if now.name.endswith("_1.mcap"):
            sftp.signal(signal.SIGSTOP)

    started = time.monotonic()
    with pytest.raises(CaptureError, match="run the same command again"):
        offload(source, sftp.url(there), delete=True, progress=freeze)
    assert time.monotonic() - started < 30
    assert contents(source) == before
    sftp.signal(signal.SIGCONT)
    assert offload(source, sftp.url(there), delete=True).deleted
    assert contents(there / source.name) == before


def test_a_password_in_a_url_is_not_told(source: Path) -> None:
    with pytest.raises(CaptureError, match="cannot reach") as error:
        offload(source, f"sftp://crew:s3cret@127.0.0.1:{free_port()}/field")
    assert "s3cret" not in str(error.value)


def test_a_chain_of_file_systems_is_no_way_around_the_servers_key(source: Path, sftp: SftpServer) -> None:
    with pytest.raises(CaptureError, match="name the server itself"):
        offload(source, f"simplecache::{sftp.url(Path('/tmp'))}")


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
    assert offload(source, "memory://field").sent == 6
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


def test_a_missing_driver_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    monkeypatch.delitem(sys.modules, "capture.offload.sftp", raising=False)
    monkeypatch.delitem(_registry, "sftp", raising=False)
    with pytest.raises(CaptureError, match="sftp:// needs paramiko, which is not installed: pip install paramiko"):
        offload(source, "sftp://127.0.0.1:1/field")
