"""How far an order has come: what it wants, less the episodes that the workspace's recordings hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from capture.episodes import UNLABELLED
from capture.orders.orders import Order, Wanted, spoken_as, wanted_of
from capture.recording_info import Verdict


@dataclass(frozen=True, slots=True)
class DoneEpisode:
    """One try at a task as a recording holds it. outcome: success, failure, discard, or empty when it was never ended.

    verdict: the recording's, None while it is not finished. order: the one that the recording names, or empty.
    is_recorded: whether any of it lies outside the recording's pauses.
    """

    recording_id: str
    task: str
    outcome: str
    site: str = ""
    operator: str = ""
    order: str = ""
    verdict: Verdict | None = "good"
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """One number that an order wants. at: a site or an operator, empty for the task as a whole. doubtful: of those done."""

    wanted: int
    done: int
    doubtful: int = 0
    at: str = ""

    @property
    def missing(self) -> int:
        return max(0, self.wanted - self.done)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task (and object) of an order, in all, and where the order wants a least number at each site and by each operator."""

    wanted: Wanted
    total: Cell
    sites: tuple[Cell, ...] = ()
    operators: tuple[Cell, ...] = ()

    @property
    def missing(self) -> int:
        """The fewest episodes that can complete it: what one site lacks cannot be made up for at another."""
        parts = (sum(cell.missing for cell in cells) for cells in (self.sites, self.operators))
        return max(self.total.missing, *parts)


@dataclass(slots=True)
class OrderStatus:
    """tasks: in the order's order. passed_over: why episodes that were meant for it do not count -> how many.

    unassigned: how many of those that count are of recordings that name no order.
    """

    order: Order
    tasks: list[TaskStatus] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    unassigned: int = 0

    @property
    def missing(self) -> int:
        return sum(task.missing for task in self.tasks)

    @property
    def doubtful(self) -> int:
        return sum(task.total.doubtful for task in self.tasks)


def status(order: Order, episodes: Iterable[DoneEpisode]) -> OrderStatus:
    """Episodes of recordings that name this order, and of those that name none as far as the task is one of its."""
    found = OrderStatus(order)
    counted: dict[Wanted, list[DoneEpisode]] = {wanted: [] for wanted in wanted_of(order)}
    for episode in episodes:
        wanted = next((each for each in counted if spoken_as(episode.task) in each.names), None)
        if episode.order != order.name and (episode.order or wanted is None):
            continue
        if why := _passed_over(order, wanted, episode):
            found.passed_over[why] += 1
        elif wanted is not None:
            counted[wanted].append(episode)
            found.unassigned += not episode.order
    found.tasks = [_task_status(order, wanted, done) for wanted, done in counted.items()]
    return found


def missing(order: Order, episodes: Iterable[DoneEpisode]) -> tuple[str, ...]:
    """What is still to be recorded, a line a task; one line when nothing is."""
    return missing_lines(status(order, episodes))


def missing_lines(found: OrderStatus) -> tuple[str, ...]:
    if not found.missing:
        return (f"order {found.order.name}: complete",)
    return tuple(_line(task) for task in found.tasks if task.missing)


def _line(task: TaskStatus) -> str:
    at = [f"{cell.at} {cell.missing}" for cell in (*task.sites, *task.operators) if cell.missing]
    where = f", of these {', '.join(at)}" if at else ""
    return f"{task.wanted.words}: {task.missing} of {task.wanted.episodes} still to do{where}"


def _passed_over(order: Order, wanted: Wanted | None, episode: DoneEpisode) -> str:
    """Why an episode does not count; empty when it does."""
    unfinished = "of recordings that are not finished (fieldrig repair, if their recorder has died)"
    reasons = (
        (episode.outcome == "discard", "discarded"),
        (not episode.outcome, "never ended"),
        (episode.verdict is None, unfinished),
        (episode.verdict == "bad", "of recordings whose verdict is bad"),
        (not episode.is_recorded, "in a pause: nothing of them was recorded"),
        (wanted is None, f"of a task that the order does not name: {_said(episode)}"),
        (episode.outcome == "failure" and not order.count_failures, "failures"),
        (not _one_of(order.sites, episode.site), f"at a site that the order does not name: '{episode.site}'"),
        (
            not _one_of(order.operators, episode.operator),
            f"by an operator whom the order does not name: '{episode.operator}'",
        ),
    )
    return next((why for holds, why in reasons if holds), "")


def _one_of(names: Sequence[str], said: str) -> bool:
    """Whether it is one of the names; where none are named, anything is."""
    return not names or spoken_as(said) in {spoken_as(name) for name in names}


def _said(episode: DoneEpisode) -> str:
    return "(no task)" if episode.task in {"", UNLABELLED} else f"'{episode.task}'"


def _task_status(order: Order, wanted: Wanted, done: Sequence[DoneEpisode]) -> TaskStatus:
    sites = [(name, [each for each in done if spoken_as(each.site) == spoken_as(name)]) for name in order.sites]
    people = [
        (name, [each for each in done if spoken_as(each.operator) == spoken_as(name)]) for name in order.operators
    ]
    return TaskStatus(
        wanted,
        _cell(wanted.episodes, done),
        tuple(_cell(wanted.per_site, here, name) for name, here in sites) if wanted.per_site else (),
        tuple(_cell(wanted.per_operator, theirs, name) for name, theirs in people) if wanted.per_operator else (),
    )


def _cell(wanted: int, done: Sequence[DoneEpisode], at: str = "") -> Cell:
    return Cell(wanted, len(done), sum(each.verdict == "doubtful" for each in done), at)
