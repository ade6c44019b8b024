"""The recorder in the terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from capture.recorder_state import RecorderState, StreamState

_HEADINGS = ("stream", "packets", "per s", "MB/s", "lost", "jitter ms", "last")


def look(state: RecorderState, keys: Sequence[str]) -> Group:
    """keys: what the keyboard has to say; nothing where there is none."""
    lines = [Text(alarm, style="bold red") for alarm in state.alarms]
    lines += [Text(line, style="cyan") for line in state.order_lines]
    if state.episode.open:
        lines.append(Text(f"episode: {state.episode.task or 'no task'}, {state.episode.since_s:.0f} s", style="green"))
    lines += [Text(line, style="bold" if number == 0 else "") for number, line in enumerate(keys)]
    return Group(_rates(state), *lines)


def _rates(state: RecorderState) -> Table:
    table = Table(title=_title(state), caption=_disk(state), box=None, pad_edge=False)
    for heading in _HEADINGS:
        if heading == "stream":
            table.add_column(heading, overflow="fold")  # a long name takes two lines, no figure ever does
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in state.streams:
        style = "red" if row.failure or row.lost else "dim" if row.silent_s is None else ""
        figures = (f"{row.rate_hz:.1f}", f"{row.bytes_s / 1e6:.2f}", str(row.lost), f"{row.jitter_ms:.2f}")
        table.add_row(row.name, str(row.received), *figures, _last(row), style=style)
    return table


def _title(state: RecorderState) -> str:
    kept = f"  holds {state.kept_s:.0f} of the last {state.kept_asked_s:.0f} s" if state.mode == "snapshot" else ""
    return f"{state.mode}  {state.recording_id}  {state.elapsed_s:.0f} s  {state.file_bytes / 1e6:.0f} MB{kept}"


def _disk(state: RecorderState) -> str:
    synced = "" if state.synced_s_ago is None else f"synced {state.synced_s_ago:.1f} s ago, "
    left = "" if state.disk_left_s is None else f", enough for {state.disk_left_s / 3600:.1f} h"
    free = "free space unknown" if state.free_bytes is None else f"{state.free_bytes / 1e9:.0f} GB free"
    return f"queue {state.queue_bytes / 1e6:.1f} MB, {synced}{free}{left}"


def _last(stream: StreamState) -> str:
    if stream.failure:
        return "gone"  # the alarm beneath says why
    return "nothing yet" if stream.silent_s is None else f"{stream.silent_s:.1f} s ago"
