"""The command line as a person meets it."""

from __future__ import annotations

import io
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import fieldrig
from devices.progress import progress_bar
from tests.capture.importers.bags import ros1_bag

ROOT = Path(__file__).parent.parent
STAGES = ("devices", "capture", "calibration", "annotate", "export")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", *words], capture_output=True, text=True, cwd=ROOT, timeout=60
    )


@pytest.mark.parametrize("command", fieldrig.COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_helps_with_an_example_that_calls_it(command: fieldrig.Command) -> None:
    words = [*command.words, "--help"]
    shown = CliRunner().invoke(fieldrig.command_line(words), words)
    assert shown.exit_code == 0, shown.output
    text = " ".join(re.sub(r"[│╭╰─╮╯]", " ", shown.output).split())
    assert f"Example: fieldrig {' '.join(command.words)}" in text


@pytest.mark.parametrize("command", fieldrig.COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_stands_in_the_readme(command: fieldrig.Command) -> None:
    assert f"fieldrig {' '.join(command.words)}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_help_lists_every_command_and_imports_no_stage() -> None:
    program = (
        "import sys; sys.argv = ['fieldrig', '--help']\n"
        "import fieldrig\n"
        "try: fieldrig.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'cv2', 'open3d', 'rosbags', 'label_studio_sdk', 'pyarrow', 'capture.commands.record', 'capture.commands.recordings', 'export.commands'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ended.returncode == 0, ended.stderr
    for command in fieldrig.COMMANDS:
        assert command.words[0] in ended.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("record", "no-such-rig.toml"), "no-such-rig.toml"),
        (("preflight", "no-such-rig.toml"), "no-such-rig.toml"),
        (("order", "status", "no-such-order"), "no-such-order"),
        (("rig", "new", "van", "--add", "no-such-driver"), "no-such-driver"),
        (("info", "no-such-recording"), "no-such-recording"),
        (("verify", "no-such-recording"), "no-such-recording"),
        (("repair", "no-such-recording"), "no-such-recording"),
        (("import", "kitti", "no-such-drive"), "no-such-drive"),
        (("calibrate", "no-such-recording"), "no-such-recording"),
        (("overlay", "no-such-recording"), "no-such-recording"),
        (("export", "no-such-recording", "--project", "p", "--name", "n"), "no-such-recording"),
        (("check", "no-such-dataset"), "no-such-dataset"),
        (("replay", "no-such.pcap"), "no-such.pcap"),
        (("virtual", "play", "no-such-cache", "drive"), "no-such-cache"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_wrong_path_gives_one_line_that_names_it(words: tuple[str, ...], says: str) -> None:
    ended = run(*words)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fieldrig: ")
    assert says in lines[0]


@pytest.mark.parametrize(
    "words",
    [("info",), ("verify",), ("repair",), ("calibrate",), ("overlay",), ("label", "push"), ("export", "--name", "n"), ("offload", "elsewhere")],
    ids=" ".join,
)  # fmt: skip
def test_a_name_of_no_recording_is_answered_with_how_to_list_them(words: tuple[str, ...], tmp_path: Path) -> None:
    command = words[: 2 if words[0] == "label" else 1]
    (line,) = run(*command, "nothing", *words[len(command) :], "--workspace", str(tmp_path)).stderr.splitlines()
    assert line == (
        f"fieldrig: no recording nothing, neither as a folder nor by this ID in {tmp_path}/recordings; to see those that there are, run: fieldrig list"
    )


@pytest.mark.parametrize("is_recording", [True, False])
def test_a_file_is_no_recording_and_its_folder_may_be_one(is_recording: bool, tmp_path: Path) -> None:
    file = tmp_path / "walk_0.mcap"
    file.touch()
    if is_recording:
        (tmp_path / "recording.json").touch()
    (line,) = run("info", str(file)).stderr.splitlines()
    advice = (
        f"give its folder: {tmp_path}" if is_recording else "to see the recordings that there are, run: fieldrig list"
    )
    assert line == f"fieldrig: no recording at {file}: it is a file; {advice}"


def test_a_folder_in_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    place, disk = tmp_path / "[backup]", tmp_path / "[bold]disk"
    disk.mkdir()
    here = ("--workspace", str(place))
    camera = "mjpeg url=http://127.0.0.1:9/ name=front"
    assert f"rig {place}/rigs/van.toml: front\n" in said("rig", "new", "van", "--search", "0", "--yes", "--no-pictures", "--add", camera, *here)  # fmt: skip
    (place / "orders").mkdir()
    (place / "orders" / "[red].toml").write_text(
        'customer = "[b]"\nepisodes = 3\n[tasks.a]\ninstruction = "lift [x]"\n'
    )
    status = said("order", "status", *here)
    assert all(words in status for words in ("[red]  [b]", "lift [x]", "order [red]: 3 episodes still to do"))
    imported = said("import", "ros1", str(ros1_bag(place / "[log].bag", None)), *here)
    (folder,) = (place / "recordings").iterdir()
    assert f"recording {folder}\n" in imported
    assert "imported from [log].bag;" in imported
    assert f"{folder.name} is whole at {disk}/{folder.name}: " in said("offload", str(folder), str(disk))


def said(*words: str) -> str:
    ended = run(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_bar_shows_words_in_brackets_as_they_are() -> None:
    shown = io.StringIO()
    with progress_bar(Console(file=shown, force_terminal=True, width=100)) as bar:
        bar("importing [backup]/a.bag", 0.5)
    assert "importing [backup]/a.bag" in shown.getvalue()


def test_every_command_prints_through_the_one_console_that_takes_no_words_for_markup() -> None:
    code = [
        ROOT / "fieldrig.py",
        *(path for stage in STAGES for path in (ROOT / stage).rglob("*.py")),
    ]
    assert [path for path in code if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))] == [
        ROOT / "devices" / "console.py"
    ]


def test_version_is_one_line_with_what_a_report_needs() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert said("--version") == f"fieldrig {stated}, Python {platform.python_version()}, {platform.platform()}\n"
    assert "--version" in said("--help")
    assert "From the sensors of a field rig" in said("--help")


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache, why in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "cache", "Not a directory")):
        ended = run("virtual", "render", str(cache))
        assert ended.returncode == 1
        assert ended.stderr == f"fieldrig: cannot render into {cache}: {why}; name a folder that can be written to\n"


def test_a_usb_camera_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    rig = tmp_path / "bench.toml"
    rig.write_text('name = "bench"\n[sensors.camera]\ndriver = "uvc"\ndevice = "/dev/null"\n')
    done = run("record", str(rig), "--workspace", str(tmp_path), "--for", "1s")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fieldrig: camera: no camera at /dev/null; plug it in")
    assert done.returncode == 1


def test_traceback_shows_where_an_error_came_from() -> None:
    ended = run("info", "no-such-recording", "--traceback")
    assert ended.returncode != 0
    assert "Traceback" in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux' disk that is always full")
@pytest.mark.parametrize("words", [["list"], ["--help"]])
def test_what_cannot_be_printed_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "fieldrig", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("fieldrig: No space left on device")
    assert ended.stderr.count("\n") == 1


def test_a_defect_is_one_line_that_says_how_to_report_it() -> None:
    program = (
        "import fieldrig, sys\n"
        "def command_line(words):\n"
        "    raise KeyError('two\\nlines')\n"
        "fieldrig.command_line = command_line\n"
        "fieldrig.main()\n"
    )
    for words in (["list"], ["list", "--traceback"]):
        ended = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert ended.returncode == 1
        assert (ended.stderr.count("\n") == 1) == ("--traceback" not in words)
        assert ("Traceback" in ended.stderr) == ("--traceback" in words)
        assert ("a defect of fieldrig: KeyError" in ended.stderr) != ("--traceback" in words)
