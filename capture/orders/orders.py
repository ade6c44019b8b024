"""orders/NAME.toml: what a customer wants to have recorded."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from capture.errors import CaptureError
from capture.workspace import Workspace
from devices.mistakes import mistakes
from devices.written import Written, text_of

_OBJECT = "{object}"
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Episodes = Annotated[int, Field(ge=1)]
AtLeast = Annotated[int, Field(ge=0)]


class Task(Written):
    """One task. instruction: what the operator marks an episode with; ``{object}`` stands for each object in turn.

    The numbers overrule the order's own for this task.
    """

    instruction: Words
    episodes: Episodes | None = None
    per_site: AtLeast | None = None
    per_operator: AtLeast | None = None


class Order(Written):
    """An order as its file says it. episodes: of each task (and object); per_site, per_operator: at least so many of these at each site,
    by each operator. Without sites or operators any will do.
    """

    name: str
    customer: str = ""
    episodes: Episodes | None = None
    per_site: AtLeast = 0
    per_operator: AtLeast = 0
    count_failures: bool = False
    sites: tuple[Words, ...] = ()
    operators: tuple[Words, ...] = ()
    objects: tuple[Words, ...] = ()
    tasks: dict[TaskId, Task] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for task_id, task in self.tasks.items():
            if task.episodes is None and self.episodes is None:
                raise ValueError(f"say how many episodes are wanted: 'episodes', or 'tasks.{task_id}.episodes'")
            if _OBJECT in task.instruction and not self.objects:
                raise ValueError(f"'tasks.{task_id}.instruction' speaks of an {_OBJECT}, and 'objects' names none")
        if self.objects and not any(_OBJECT in task.instruction for task in self.tasks.values()):
            raise ValueError(f"'objects' are named, and no task's instruction speaks of an {_OBJECT}")
        for key, names in (("sites", self.sites), ("operators", self.operators), ("objects", self.objects)):
            if twice := _said_twice(names):
                raise ValueError(f"'{key}' names '{twice}' twice")
        wanted = wanted_of(self)
        if twice := _said_twice([name for each in wanted for name in each.names]):
            raise ValueError(f"two tasks are both called '{twice}'; nobody could tell their episodes apart")
        for each in wanted:
            _check_least(each, "per_site", each.per_site, "sites", self.sites)
            _check_least(each, "per_operator", each.per_operator, "operators", self.operators)
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """One task, with one object where the order names objects. words: the instruction as it is said. names: what else it may be called."""

    task: str
    object: str
    words: str
    episodes: int
    per_site: int
    per_operator: int

    @property
    def names(self) -> frozenset[str]:
        """Everything that an episode's task may say and mean this: the instruction, the task's id, ID OBJECT, ID/OBJECT."""
        ids = [f"{self.task} {self.object}", f"{self.task}/{self.object}"] if self.object else [self.task]
        return frozenset(spoken_as(each) for each in (self.words, *ids))


def wanted_of(order: Order) -> list[Wanted]:
    """The order spelled out: a line for each task and object."""
    return [
        Wanted(
            task=task_id,
            object=object_,
            words=task.instruction.replace(_OBJECT, object_),
            episodes=task.episodes or order.episodes or 0,
            per_site=order.per_site if task.per_site is None else task.per_site,
            per_operator=order.per_operator if task.per_operator is None else task.per_operator,
        )
        for task_id, task in order.tasks.items()
        for object_ in (order.objects if _OBJECT in task.instruction else ("",))
    ]


def _check_least(wanted: Wanted, key: str, least: int, names: str, named: tuple[str, ...]) -> None:
    if least and not named:
        raise ValueError(f"'{key}' wants {least} each, and '{names}' names none")
    if least * len(named) > wanted.episodes:
        raise ValueError(
            f"'{wanted.words}': {least} {key}, of {len(named)} {names}, are more than its {wanted.episodes} episodes"
        )


def _said_twice(names: Sequence[str]) -> str:
    """A name that is spoken like another of them; empty when there is none."""
    spoken = [spoken_as(name) for name in names]
    return next((name for name in spoken if spoken.count(name) > 1), "")


def spoken_as(words: str) -> str:
    """Two texts that differ in capitals, blanks and a full stop only are the same words."""
    return " ".join(words.split()).rstrip(".").casefold()


def check_order(workspace: Workspace, name: str) -> None:
    """Raises CaptureError naming those that there are when a recording is to count for an order that is not one of them."""
    if name and name not in order_names(workspace):
        raise CaptureError(_no_order(workspace, name))


def load_order(workspace: Workspace, name: str) -> Order:
    """Reads and checks orders/NAME.toml. Raises CaptureError naming the file, the key and the choices."""
    path = workspace.orders / f"{name}.toml"
    if not path.is_file() or path.parent != workspace.orders:
        raise CaptureError(_no_order(workspace, name))
    return _checked(path, name)


def _no_order(workspace: Workspace, name: str) -> str:
    known = ", ".join(order_names(workspace))
    advice = f"there are: {known}" if known else "there is none yet; docs/FORMATS.md shows how to write one"
    return f"no order {workspace.orders / f'{name}.toml'}; {advice}"


def order_names(workspace: Workspace) -> list[str]:
    return sorted(path.stem for path in workspace.orders.glob("*.toml"))


def _checked(path: Path, name: str) -> Order:
    try:
        table = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise CaptureError(f"{path} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"cannot read the order {path}: {error}") from None
    if "name" in table:
        raise CaptureError(f"{path}: unknown key 'name'; an order is called as its file is")
    try:
        return Order.model_validate({**table, "name": name})
    except ValidationError as error:
        raise CaptureError(f"{path}: {mistakes(error)}") from None
