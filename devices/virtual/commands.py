"""fieldrig virtual render, fieldrig virtual play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devices.errors import DeviceError

CACHE = Annotated[Path, typer.Argument(help="The folder that holds the rendered takes.", metavar="CACHE")]


def render(cache: CACHE) -> None:
    """Render the virtual rig's takes into a folder, unless it holds them already: some minutes, 0.7 GB.

    Example: fieldrig virtual render /tmp/virtual
    """
    from devices.console import open_console
    from devices.progress import progress_bar
    from devices.virtual.takes import render as render_takes

    console = open_console(soft_wrap=True)
    try:
        with progress_bar(console) as bar:
            takes = render_takes(cache, progress=lambda take, share: bar(f"rendering the {take}", share))
    except OSError as error:
        raise DeviceError(
            f"cannot render into {cache}: {error.strerror or error}; name a folder that can be written to"
        ) from None
    for name in takes.names:
        console.print(f"{name}: {takes.length_ns[name] / 1e9:.1f} s")
    console.print(f"rig file: {takes.rig}")


def play(
    cache: CACHE,
    take: Annotated[str, typer.Argument(help="calibration or drive.", metavar="TAKE")],
    sent: Annotated[
        Path | None, typer.Option(help="Write the number of packets sent on each stream here, as JSON.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for somebody to record.")] = 120.0,
) -> None:
    """Play a rendered take once, in real time, as soon as somebody records CACHE/rig.toml.

    Example: fieldrig virtual play /tmp/virtual drive --sent sent.json
    """
    from devices.console import open_console
    from devices.virtual.play import play as play_take
    from devices.virtual.play import save_counts

    console = open_console(soft_wrap=True)
    done = play_take(
        cache, take, wait_s=wait, ready=lambda _: console.print(f"waiting for: fieldrig record {cache}/rig.toml")
    )
    if sent:
        save_counts(done, sent)
    console.print(done.summary())
