"""fieldrig rig new."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from rich.console import Console

    from devices.cameras.thumbnail import Thumbnail
    from devices.device import Found
    from devices.finding import Search
    from devices.rig_writer import NamedSensor

_PICTURE_COLUMNS = 40
_LEAVE_OUT = "-"


def new(
    name: Annotated[str, typer.Argument(help="The rig's name; asked for when left out.", metavar="[NAME]")] = "",
    add: Annotated[
        list[str] | None,
        typer.Option(help="A sensor that cannot announce itself: 'DRIVER KEY=VALUE ... [name=NAME]'; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take the names that are proposed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a rig of this name.")] = False,
    search: Annotated[
        float, typer.Option(help="Seconds that each driver looks for sensors; 0: do not look.", min=0.0)
    ] = 2.0,
    pictures: Annotated[bool, typer.Option(help="Show what each sensor sees.")] = True,
    workspace: WorkspaceOption = None,
) -> None:
    """Find the sensors, name them by what they see, and write rigs/NAME.toml.

    Example: fieldrig rig new van --add 'mjpeg url=http://192.168.1.31/stream name=camera_front'
    """
    from capture.errors import CaptureError
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.finding import Search, find_sensors
    from devices.progress import progress_bar
    from devices.rig_writer import check_name, rig_toml
    from devices.sensor_words import sensor_from_words

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    said = [sensor_from_words(words) for words in add or ()]
    name = name or ("rig" if yes else typer.prompt("the rig's name", default="rig"))
    check_name(name)
    path = place.rigs / f"{name}.toml"
    if path.exists() and not force:
        raise CaptureError(f"{path} is there already; give another name, or --force to write over it")
    seen = Search((), {})
    if search:
        with progress_bar(console) as progress:
            seen = find_sensors(search, progress)
    _print_search(console, seen)
    if not seen.found and not said:
        raise CaptureError(
            "no sensor was found: check power, cables, and that this machine's address is in the lidar's network. "
            "Cameras on a network, robots and operators' buttons cannot be looked for; name each: "
            f"fieldrig rig new {name} --add 'mjpeg url=http://192.168.1.31/stream'"
        )
    sensors = _named(console, path, seen, said, yes=yes, pictures=pictures)
    _write(path, rig_toml(name, sensors))
    console.print(f"rig {path}: {', '.join(sensor.name for sensor in sensors)}")
    console.print(f"now measure the mountings into it, then run: fieldrig preflight {shlex.quote(str(path))}")


def _print_search(console: Console, seen: Search) -> None:
    for found in seen.found:
        console.print(f"found {found.label} ({found.driver})")
    if seen.sought:
        console.print(f"looked for: {'; '.join(seen.sought)}", style="dim", soft_wrap=False)
    for driver, why in seen.failed.items():
        console.print(f"could not look for {driver} sensors: {why}", style="yellow")


def _named(
    console: Console, path: Path, seen: Search, said: Sequence[tuple[str, Found]], *, yes: bool, pictures: bool
) -> list[NamedSensor]:
    """Every sensor with its name: as given, as proposed, or as asked for beside its picture."""
    from devices.finding import default_names
    from devices.rig_writer import NamedSensor

    every = [*((given, found) for given, found in said), *(("", found) for found in seen.found)]
    given = [name for name, _ in every if name]
    proposed = iter(default_names([found.driver for name, found in every if not name], given))
    names = [name or next(proposed) for name, _ in every]
    shown = _show(console, path, [found for _, found in every], names) if pictures else []
    if yes:
        _print_unseen(console, names, shown)
    else:
        names = [
            name if was_given else _asked(console, found, name, shown[number] if shown else None)
            for number, ((was_given, found), name) in enumerate(zip(every, names, strict=True))
        ]
    return [NamedSensor(name, found) for name, (_, found) in zip(names, every, strict=True) if name != _LEAVE_OUT]


def _print_unseen(console: Console, names: Sequence[str], pictures: Sequence[Thumbnail]) -> None:
    from devices.cameras.thumbnail import NO_PICTURES

    for name, picture in zip(names, pictures, strict=False):  # none where none were wanted
        if picture.pixels is None and picture.why != NO_PICTURES:
            console.print(f"{name} was not seen: {picture.why}", style="yellow")


def _show(console: Console, path: Path, sensors: Sequence[Found], names: Sequence[str]) -> list[Thumbnail]:
    """A contact sheet beside the rig's file, opened where there is a display."""
    from devices.cameras.contact_sheet import contact_sheet
    from devices.cameras.thumbnail import thumbnail
    from devices.progress import progress_bar

    taken = []
    with progress_bar(console) as progress:
        for number, (found, name) in enumerate(zip(sensors, names, strict=True)):
            progress(f"looking through {name}", number / len(sensors))
            taken.append(thumbnail(found, timeout_s=4.0))
    captions = [f"{name}: {found.label or found.driver}" for found, name in zip(sensors, names, strict=True)]
    sheet = path.with_suffix(".png")
    _write(sheet, contact_sheet(taken, captions))
    console.print(f"what they see: {sheet}")
    if console.is_terminal and _has_display():
        typer.launch(str(sheet))
    return taken


def _write(path: Path, content: str | bytes) -> None:
    from capture.errors import CaptureError
    from capture.whole_file import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}; give another --workspace") from None


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _asked(console: Console, found: Found, proposed: str, picture: Thumbnail | None) -> str:
    from devices.cameras.contact_sheet import half_blocks

    if picture is not None and picture.pixels is not None and console.is_terminal:
        console.print(half_blocks(picture.pixels, _PICTURE_COLUMNS))
    elif picture is not None and picture.why:
        console.print(f"no picture: {picture.why}", style="dim")
    answer: str = typer.prompt(
        f"{found.label or found.driver}: its name ({_LEAVE_OUT} leaves it out)", default=proposed
    )
    return answer.strip()
