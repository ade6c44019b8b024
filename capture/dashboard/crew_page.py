"""The page beside a recorder in the terminal: started with it, its address and QR code shown, ended with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capture.dashboard.addresses import LOOPBACK, PORT, PORT_MAX, check_address, qr_code
from capture.dashboard.page_process import PageProcess
from capture.errors import CaptureError
from capture.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class PageOptions:
    """is_wanted: whether there is to be a page. host, port: where it listens. panels: what other stages show, as ``module:name``.

    foxglove: the port of a live view for the Foxglove app, None for none.
    """

    is_wanted: bool = True
    host: str = LOOPBACK[0]
    port: int = PORT
    panels: Sequence[str] = ()
    foxglove: int | None = None

    def check(self) -> None:
        """Raises CaptureError for what cannot be: before anything is begun."""
        if self.foxglove is not None and not self.is_wanted:
            raise CaptureError(f"--foxglove {self.foxglove} is served by the page's process; leave out --no-page")
        if self.foxglove is not None and not 1 <= self.foxglove <= PORT_MAX:
            raise CaptureError(f"--foxglove {self.foxglove} is no port: give a number from 1 to {PORT_MAX}, e.g. 8765")
        if self.is_wanted:
            check_address(self.host, self.port)


@contextlib.contextmanager
def crew_page(options: PageOptions, rig_file: Path, workspace: Workspace, console: Console) -> Iterator[None]:
    """The page, for as long as the recorder runs. Says its address on the console, as a QR code too where a phone can reach it."""
    if not options.is_wanted:
        yield
        return
    was_shown = False

    def show(line: str) -> None:
        nonlocal was_shown
        console.print(line, soft_wrap=True)
        if options.host not in LOOPBACK and console.is_terminal and not was_shown:
            console.print(qr_code(process.addresses[0]))
            was_shown = True

    process = PageProcess(
        rig_file,
        workspace,
        show,
        host=options.host,
        port=options.port,
        panels=options.panels,
        foxglove=options.foxglove,
    )
    with process:
        yield
