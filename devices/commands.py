"""fieldrig replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    pcap: Annotated[Path, typer.Argument(help="A pcap or pcapng file with UDP in it.", metavar="FILE.pcap")],
    to: Annotated[str, typer.Option(help="The machine to send to.")] = "127.0.0.1",
    port: Annotated[
        list[str] | None, typer.Option(help="RECORDED:SENT, e.g. 2368:12368; may be repeated. Other ports stay.")
    ] = None,
    speed: Annotated[float, typer.Option(help="How many times as fast as captured.")] = 1.0,
) -> None:
    """Send a capture file's UDP packets over the network at the pace of their capture, as if the sensor were there.

    Example: fieldrig replay drive.pcap --to 127.0.0.1
    """
    from rich.progress import BarColumn, Progress

    from devices.console import open_console
    from devices.logs.replay import port_map
    from devices.logs.replay import replay as play
    from devices.progress import what_is_done

    console = open_console(soft_wrap=True)
    with Progress(what_is_done(), BarColumn(), console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"replaying {pcap.name}", total=None)
        done = play(
            pcap, to, ports=port_map(port or ()), speed=speed,
            progress=lambda sent, into_ns: bar.update(task, description=f"replaying {pcap.name}: {sent} packets, {into_ns * 1e-9:.1f} s"),
        )  # fmt: skip
    for to_port, sent in sorted(done.sent.items()):
        console.print(f"{sent} packets to {to}:{to_port}")
    passed_over = done.counts
    if passed_over.truncated:
        console.print(f"{pcap} ends in the middle of a packet; all before it was sent", style="yellow")
    lacking = passed_over.other_frames + passed_over.cut_frames + passed_over.unfinished
    if lacking:
        console.print(
            f"passed over: {passed_over.other_frames} frames without UDP, {passed_over.cut_frames} captured in part, "
            f"{passed_over.unfinished} missing a fragment", style="yellow",
        )  # fmt: skip
