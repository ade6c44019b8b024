"""What fieldrig asks of the Label Studio server, in fieldrig's words; a thin layer over label-studio-sdk.

Writes go one after another and are never tried twice: the server's SQLite once doubled annotations that came side by side, and an
import that was answered too late has happened all the same. What was sent is reconciled by its uid instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.birdseye import View
from annotate.errors import AnnotateError
from annotate.label_studio.server import Server
from annotate.label_studio.tasks import Result
from devices.progress import Progress

if TYPE_CHECKING:
    from label_studio_sdk.core.request_options import RequestOptions

_PAGE = 100
_ONCE: RequestOptions = {"max_retries": 0, "timeout_in_seconds": 300}


@dataclass(frozen=True, slots=True)
class Task:
    """One frame on the server.

    predictions: the pre-labels' results. annotations: of each annotation its id, results and who made it (a user's id).
    Both are empty where they were not asked for.
    """

    id: int
    data: Mapping[str, Any]
    predictions: tuple[Result, ...] = ()
    annotations: tuple[Mapping[str, Any], ...] = ()

    @property
    def uid(self) -> str:
        """The keyframe's; empty when somebody else made the task."""
        return str(self.data.get("uid", ""))

    @property
    def t_ns(self) -> int:
        return int(self.data["t_ns"])

    @property
    def view(self) -> View:
        """What its bird's-eye picture shows."""
        return View(**self.data["view"])


class Client:
    """A connection to a server, as its owner. Raises AnnotateError when the server refuses or does not answer."""

    def __init__(self, server: Server) -> None:
        import httpx
        from label_studio_sdk.client import LabelStudio

        self.url = server.url
        # No connection outlives its request, so there is nothing to close. A proxy has no business with this machine's own server.
        http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=300, trust_env=False)
        make: Any = LabelStudio  # the library's own types are looser than what it returns
        self._api: Any = make(base_url=server.url, api_key=server.token, httpx_client=http)

    def find_project(self, title: str) -> int | None:
        """A project's id. Raises AnnotateError where several bear the name: half of the work might be in another."""
        with self._asking("list the projects"):
            found = [int(project.id) for project in self._api.projects.list(title=title) if project.title == title]
        if len(found) > 1:
            raise AnnotateError(
                f"the labelling server has {len(found)} projects called '{title}' (numbers {', '.join(map(str, sorted(found)))}): "
                "nobody can tell which is meant; open them under `fieldrig label serve`, and rename all but one"
            )
        return found[0] if found else None

    def project(self, title: str) -> int:
        """The same; raises AnnotateError where there is none."""
        found = self.find_project(title)
        if found is None:
            raise AnnotateError(f"the labelling server has no project '{title}'; run `fieldrig label push` first")
        return found

    def ensure_project(self, title: str, screen: str, rules: str, files: Path) -> int:
        """Make a project or bring it up to date. files: the folder of its pictures, inside what the server serves."""
        found = self.find_project(title)
        with self._asking(f"make project '{title}'"):
            if found is None:
                made = self._api.projects.create(
                    title=title,
                    label_config=screen,
                    expert_instruction=rules,
                    show_instruction=False,
                    show_skip_button=True,
                    enable_empty_annotation=True,
                    request_options=_ONCE,
                )
                found = int(made.id)
                self._hide_picture_columns(found)
            elif self._api.projects.get(id=found).label_config != screen:
                self._api.projects.update(
                    id=found, label_config=screen, expert_instruction=rules, request_options=_ONCE
                )
            served = {storage.path for storage in self._api.import_storage.local.list(project=found)}
            if str(files) not in served:
                self._api.import_storage.local.create(
                    project=found, title="pictures", path=str(files), use_blob_urls=False, request_options=_ONCE
                )
        return found

    def tasks(self, project: int) -> list[Task]:
        """Every task of a project, without predictions and annotations."""
        with self._asking("list the tasks"):
            listed = list(self._api.tasks.list(project=project, include="id,data", page_size=_PAGE))
        return [Task(task.id, task.data) for task in listed]

    def tasks_with_predictions(self, project: int) -> list[Task]:
        """Every task of a project with its pre-labels and its annotations, in the order in which they were made."""
        with self._asking("list the tasks"):
            listed = list(self._api.tasks.list(project=project, fields="all", page_size=_PAGE))
        tasks = []
        for entry in listed:
            predictions = tuple(result for made in entry.predictions or () for result in made.result or ())
            annotations = tuple(
                made if isinstance(made, dict) else made.model_dump() for made in entry.annotations or ()
            )
            tasks.append(Task(entry.id, entry.data, predictions, annotations))
        return sorted(tasks, key=lambda task: task.id)

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """All at once."""
        if tasks:
            with self._asking(f"import {len(tasks)} tasks"):
                self._api.projects.import_tasks(id=project, request=list(tasks), request_options=_ONCE)

    def delete_tasks(self, ids: Sequence[int]) -> None:
        for task in ids:
            with self._asking(f"delete task {task}"):
                self._api.tasks.delete(id=str(task), request_options=_ONCE)

    def export(self, project: int) -> bytes:
        """The whole project as the server's own JSON, tasks without annotations included."""
        with self._asking("export the project"):
            parts = self._api.projects.exports.download_sync(
                project, export_type="JSON", download_all_tasks=True, request_options=_ONCE
            )
            return b"".join(parts)

    def emails(self) -> dict[int, str]:
        """User's id -> e-mail."""
        with self._asking("list the users"):
            return {int(user.id): str(user.email) for user in self._api.users.list()}

    def ensure_user(self, email: str) -> int:
        """The id of the user with this e-mail, made where there is none. Such a user cannot log in until given a password."""
        known = {address.lower(): user for user, address in self.emails().items()}
        if email.lower() in known:
            return known[email.lower()]
        with self._asking(f"make user {email}"):
            made = self._api.users.create(email=email, username=email.partition("@")[0], request_options=_ONCE)
        return int(made.id)

    def submit_annotations(
        self,
        project: int,
        annotations: Sequence[tuple[int, Sequence[Result]]],
        email: str,
        progress: Progress | None = None,
    ) -> None:
        """Hand in one annotation a task as the user with this e-mail: (task's id, its results).

        What that user handed in for a task before is replaced. The open edition takes annotations of existing tasks only one
        by one, about 13 a second.
        """
        user = self.ensure_user(email)
        earlier = {
            task.id: int(made["id"])
            for task in self.tasks_with_predictions(project)
            for made in task.annotations
            if _user_id(made.get("completed_by")) == user
        }
        for k, (task, results) in enumerate(annotations):
            with self._asking(f"hand in task {task}"):
                if task in earlier:
                    self._api.annotations.update(id=earlier[task], result=list(results), request_options=_ONCE)
                else:
                    self._api.annotations.create(
                        id=task, result=list(results), completed_by=user, request_options=_ONCE
                    )
            if progress is not None:
                progress("handing in annotations", (k + 1) / len(annotations))

    def _hide_picture_columns(self, project: int) -> None:
        """The task list would fetch every picture at its full size."""
        hidden = [f"tasks:data.{name}" for name in ("birdseye", "cameras", "view", "spans", "tracks")]
        columns = {"explore": hidden, "labeling": hidden}
        self._api.views.create(
            project=project,
            data={"title": "Default", "type": "list", "target": "tasks", "hiddenColumns": columns},
            request_options=_ONCE,
        )

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except ApiError as error:
            raise AnnotateError(
                f"the labelling server would not {what}: {_reason(error.status_code, error.body)}"
            ) from error
        except httpx.HTTPError as error:
            raise AnnotateError(
                f"the labelling server at {self.url} did not answer when asked to {what}: {error}; start it again and repeat"
            ) from error


def _user_id(completed_by: Any) -> int | None:
    found = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
    return None if found is None else int(found)


def _reason(status: int | None, body: Any) -> str:
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    return f"{' '.join(str(body).split())[:300]} (HTTP {status})"
