"""Moving recordings to an object store: rclone's S3 server, which checks signatures and keeps each object as a file."""

from __future__ import annotations

import gc
import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from capture.checksums import NAME
from capture.errors import CaptureError
from capture.offload.offload import offload
from capture.offload.progress import OffloadProgress
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.recordings import wait_for, write_recording
from tests.capture.rigs import free_port
from tests.capture.test_offload import contents
from tests.capture.test_offload_remote import listens

ROOT = Path(__file__).parents[2]
RCLONE = Path(sys.executable).with_name("rclone")
PART_BYTES = 16 << 20  # of an upload in several parts


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, each of which goes up in two parts."""
    folder = write_recording(Workspace(tmp_path_factory.mktemp("recorded")), segments=2, packets=150, padding=4000)
    assert all(PART_BYTES < path.stat().st_size < 2 * PART_BYTES for path in folder.glob("*.mcap"))
    return folder


@pytest.fixture
def source(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "here" / "recordings" / recorded.name)


class S3Server:
    """A bucket is a folder, an object a file in it."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        (folder / "field").mkdir(parents=True)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [RCLONE, "serve", "s3", self.folder, "--addr", f"127.0.0.1:{self.port}", "--auth-key", "crew,s3cret",
             "--config", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: listens(self.port))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Line:
    """A line to the server that is cut, each time, once so many more bytes have gone up; None: it holds."""

    def __init__(self, port: int) -> None:
        self._to, self.cuts = port, 0
        self.left_bytes: int | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with one, suppress(OSError):
            while (data := one.recv(1 << 16)) and self._holds(len(data) if counted else 0):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def _holds(self, more_bytes: int) -> bool:
        if self.left_bytes is None:
            return True
        self.left_bytes -= more_bytes
        self.cuts += self.left_bytes < 0
        return self.left_bytes >= 0


def reached_at(port: int, monkeypatch: pytest.MonkeyPatch, secret: str = "s3cret") -> None:
    """As the help of `fieldrig offload` says."""
    for name, value in (("ACCESS_KEY_ID", "crew"), ("SECRET_ACCESS_KEY", secret), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of botocore; s3fs tries five times itself
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server(tmp_path / "s3")
    reached_at(server.port, monkeypatch)
    yield server
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def refused(source: Path, to: str, **options: object) -> str:
    """What is said, in one line; the recording is as it was, and what is there is not taken for it."""
    before = contents(source)
    with pytest.raises(CaptureError) as error:
        offload(source, to, delete=True, **options)
    assert "\n" not in str(error.value)
    assert contents(source) == before
    return str(error.value)


def test_a_recording_reaches_the_server_in_parts_and_every_byte_is_there(source: Path, s3: S3Server) -> None:
    before, there = contents(source), s3.folder / "field/2026" / source.name
    assert offload(source, "s3://field/2026").sent == 5
    assert contents(there) == before
    assert offload(source, "s3://field/2026", zstd=True, replace=True).sent == 4
    assert verify(there).verdict == "good"
    assert contents(there) != before
    assert offload(source, "s3://field/2026").kept == "compressed"
    assert offload(source, "s3://field/2026", replace=True).sent == 4
    assert offload(source, "s3://field/2026", delete=True).sent == 0
    assert contents(there) == before
    assert not source.exists()


def test_a_byte_that_turns_in_the_store_is_found_and_nothing_is_deleted(source: Path, s3: S3Server) -> None:
    offload(source, "s3://field")
    copy = s3.folder / "field" / source.name / f"{source.name}_1.mcap"
    with copy.open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"!!")
    assert "_1.mcap is no longer what arrived; nothing was deleted" in refused(source, "s3://field")


@pytest.mark.parametrize("at", ["_0.mcap", "_1.mcap"])
def test_a_server_that_dies_in_the_midst_of_an_upload_is_one_line_and_the_next_run_goes_on(
    source: Path, s3: S3Server, at: str
) -> None:
    before, there = contents(source), s3.folder / "field" / source.name

    def die(now: OffloadProgress) -> None:
        if now.name.endswith(at):
            s3.stop()

    started = time.monotonic()
    assert "run the same command again" in refused(source, "s3://field", progress=die)
    assert time.monotonic() - started < 60
    assert not (there / NAME).exists()
    s3.start()
    gc.collect()  # what was forgotten in the midst of it must not become an object now
    good = {hashlib.sha256(data).hexdigest() for data in before.values()}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in there.glob("*.mcap")} <= good
    assert offload(source, "s3://field", delete=True).sent == (5 if at == "_0.mcap" else 4)
    assert contents(there) == before


def test_a_line_that_is_cut_again_and_again_is_one_line_and_when_it_holds_the_rest_goes_up(
    source: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, there, line = contents(source), s3.folder / "field" / source.name, Line(s3.port)
    reached_at(line.port, monkeypatch)
    line.left_bytes = 35_000_000  # within the second file
    assert "run the same command again" in refused(source, "s3://field")
    assert line.cuts > 1
    good = {hashlib.sha256(data).hexdigest() for data in before.values()}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in there.glob("*.mcap")} < good
    assert not (there / NAME).exists()
    line.left_bytes = None
    assert offload(source, "s3://field", delete=True).sent == 4
    assert contents(there) == before
    line.close()


PROGRAM = """
import sys
from pathlib import Path
from capture.offload.offload import offload
def told(now):
    print(now.name, now.done_bytes, flush=True)
    sys.stdin.readline()  # it does not run ahead of a test that a busy machine holds up
offload(Path(sys.argv[1]), "s3://field", delete=True, progress=told)
"""


@pytest.mark.parametrize("lines", [5, 45])
def test_a_run_that_is_killed_leaves_whole_objects_or_none_and_is_taken_up_again(
    source: Path, s3: S3Server, lines: int
) -> None:
    before, there = contents(source), s3.folder / "field" / source.name
    command = [sys.executable, "-c", PROGRAM, source]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
        process.stdin.write(b"\n")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert contents(source) == before
    good = {hashlib.sha256(data).hexdigest() for data in before.values()}
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in there.glob("*.mcap")} <= good
    assert not (there / NAME).exists()
    assert offload(source, "s3://field", delete=True).deleted
    assert contents(there) == before


@pytest.mark.parametrize("below", ["", "/2026"])
def test_what_a_killed_run_sent_of_this_recording_is_cleared_away_and_another_one_s_upload_is_left(
    source: Path, s3: S3Server, below: str
) -> None:
    files, (bucket, *folders) = fsspec.filesystem("s3"), f"field{below}".split("/")
    others = ["robot.bin", f"{source.name}-2/{source.name}-2_0.mcap", f"x/{source.name}/{source.name}_0.mcap"]
    of_this = f"{source.name}/{source.name}_0.mcap"
    for name in (of_this, *others):
        files.call_s3("create_multipart_upload", Bucket=bucket, Key="/".join([*folders, name]))
    assert offload(source, f"s3://field{below}").sent == 5
    left = {upload["Key"] for upload in files.list_multipart_uploads(bucket)}
    assert left == {"/".join([*folders, name]) for name in others}


def test_wrong_credentials_a_wrong_address_and_a_bucket_that_is_missing_are_one_line(
    source: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(source, "s3://no-such-bucket/x")
    assert "bucket does not exist; see whether it names a place that is there, then run the same command again" in said
    reached_at(s3.port, monkeypatch, secret="another")
    assert "Forbidden; see whether its credentials are right" in refused(source, "s3://field")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert "Unable to locate credentials; see whether its credentials are right" in refused(source, "s3://field")
    reached_at(free_port(), monkeypatch)
    assert "Could not connect" in refused(source, "s3://field")
    assert list((s3.folder / "field").iterdir()) == []
    assert [path.name for path in s3.folder.iterdir()] == ["field"]
