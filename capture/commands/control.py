"""fieldrig mark, note, episode, and the recorder's buttons: what steers a running recorder from another terminal or a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from capture.control.client import RecorderClient

RigOption = Annotated[str | None, typer.Option("--rig", help="Which recorder, where several run: the rig's name.")]


def mark(
    words: Annotated[list[str] | None, typer.Argument(help="What has happened.", metavar="[TEXT]")] = None,
    kind: Annotated[str, typer.Option(help="What sort of mark this is.")] = "mark",
    rig: RigOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Take this instant down in the recording under way.

    Example: fieldrig mark "door closed"
    """
    text = _text(words)
    _recorder(workspace, rig).mark(text, kind)
    _said("marked" if kind == "mark" else f"marked {kind}", text)


def note(
    words: Annotated[list[str], typer.Argument(help="What a reader of the recording should know.", metavar="TEXT")],
    rig: RigOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a note into the recording under way.

    Example: fieldrig note "it has begun to rain"
    """
    from capture.errors import CaptureError

    text = _text(words)
    if not text:
        raise CaptureError("a note has words; to take just this instant down: fieldrig mark")
    _recorder(workspace, rig).note(text)
    _said("note taken", text)


def episode(
    what: Annotated[str, typer.Argument(help="start, success, failure or discard.", metavar="WHAT")],
    words: Annotated[
        list[str] | None,
        typer.Argument(help="With start: what is being tried; else the recording's task.", metavar="[TASK]"),
    ] = None,
    rig: RigOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Begin an episode, or end it as a success, as a failure, or as one to discard.

    Example: fieldrig episode start "fold the towel"
    """
    from capture.errors import CaptureError
    from capture.recorder_state import OUTCOMES

    recorder = _recorder(workspace, rig)
    if what == "start":
        task = _text(words)
        recorder.episode_start(task)
        _said("episode begun", task)
        return
    for outcome in OUTCOMES:
        if what == outcome:
            recorder.episode_stop(outcome)
            _said("episode ended", outcome)
            return
    raise CaptureError(f"an episode has no '{what}'; say one of: start, {', '.join(OUTCOMES)}")


def start(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Begin a recording with a recorder that stands by.

    Example: fieldrig recorder start
    """
    typer.echo(f"recording {_recorder(workspace, rig).start()}")


def stop(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """End the recording under way; returns once it is complete.

    Example: fieldrig recorder stop
    """
    typer.echo(f"recorded {_recorder(workspace, rig).stop()}")


def pause(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Write nothing of what arrives from now on, until it is resumed.

    Example: fieldrig recorder pause
    """
    recorder = _recorder(workspace, rig)
    recorder.pause()
    typer.echo(f"paused{recorder.state().episode.cut_in_words}")


def resume(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Go on after a pause.

    Example: fieldrig recorder resume
    """
    _recorder(workspace, rig).resume()
    typer.echo("going on")


def describe(
    operator: Annotated[str | None, typer.Option(help="Who does it.")] = None,
    site: Annotated[str | None, typer.Option(help="Where this is.")] = None,
    task: Annotated[str | None, typer.Option(help="What is being done.")] = None,
    order: Annotated[str | None, typer.Option(help="The NAME of orders/NAME.toml that this counts for.")] = None,
    consent: Annotated[
        list[str] | None, typer.Option(help="The id of a consent; several times for several; '' for none.")
    ] = None,
    rig: RigOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Say what the recording under way, and those after it, are about. What is not named stays as it was.

    Example: fieldrig recorder describe --task "fold the towel" --operator Ann
    """
    from capture.errors import CaptureError

    consents = None if consent is None else [each for each in consent if each.strip()]
    said = {"operator": operator, "site": site, "task": task, "order": order, "consent_ids": consents}
    given = {name: value for name, value in said.items() if value is not None}
    if not given:
        raise CaptureError("say what is to change: --task, --operator, --site, --order or --consent")
    _recorder(workspace, rig).describe(**given)
    shown = {"consents" if name == "consent_ids" else name: value for name, value in given.items()}
    words = {name: value if isinstance(value, str) else ", ".join(value) for name, value in shown.items()}
    typer.echo("; ".join(f"{name}: {text or 'none'}" for name, text in words.items()))


def acknowledge(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Say that the alarms were seen: they fall silent here and on every page, until there is another one.

    Example: fieldrig recorder acknowledge
    """
    _recorder(workspace, rig).acknowledge()
    typer.echo("alarms seen")


def snapshot(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Write the last seconds that a recorder in snapshot mode holds.

    Example: fieldrig recorder snapshot
    """
    typer.echo(f"recorded {_recorder(workspace, rig).snapshot()}")


def state(rig: RigOption = None, workspace: WorkspaceOption = None) -> None:
    """Say in JSON what the recorder does: streams, rates, losses, alarms.

    Example: fieldrig recorder state
    """
    from capture.recorder_state import state_to_json

    typer.echo(state_to_json(_recorder(workspace, rig).state()).decode())


def _text(words: list[str] | None) -> str:
    """What was entered without quotes is several words of one text."""
    return " ".join(words or ()).strip()


def _said(what: str, text: str) -> None:
    typer.echo(f"{what}: {' '.join(text.split())}" if text else what)


def _recorder(workspace: WorkspaceOption, rig: str | None) -> RecorderClient:
    from capture.control.client import RecorderClient
    from capture.control.process_start import process_start_ns
    from capture.workspace import Workspace

    return RecorderClient.find(Workspace.at(workspace), rig, process_start_ns())
