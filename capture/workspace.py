"""The folder in which everything that belongs to one customer's data lies, and where each stage keeps its part of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capture.errors import CaptureError
from capture.offload.aside import put_back

MARKER = "fieldrig.toml"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's folders; nothing is made before something is written there."""

    root: Path

    @staticmethod
    def at(path: Path | None = None) -> Workspace:
        """The workspace at ``path``; without one, the nearest folder upwards that holds fieldrig.toml, else the current folder."""
        if path is not None:
            return Workspace(Path(path).absolute())
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / MARKER).is_file():
                return Workspace(folder)
        return Workspace(here)

    @staticmethod
    def of_recording(folder: Path) -> Workspace | None:
        """The one that a recording's folder lies in."""
        parent = folder.absolute().parent
        for recordings in (parent, parent.resolve()):  # either may be the one that is a link
            workspace = Workspace(recordings.parent)
            if workspace.recordings.resolve() == parent.resolve():
                return workspace
        return None

    @property
    def rigs(self) -> Path:
        return self.root / "rigs"

    @property
    def orders(self) -> Path:
        return self.root / "orders"

    @property
    def recordings(self) -> Path:
        return self.root / "recordings"

    @property
    def offloaded(self) -> Path:
        """What is known of recordings that were deleted here once they were elsewhere."""
        return self.root / "offloaded"

    @property
    def calibrations(self) -> Path:
        return self.root / "calibrations"

    @property
    def labels(self) -> Path:
        return self.root / "labels"

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def label_studio(self) -> Path:
        """The data folder of this workspace's own Label Studio server."""
        return self.root / "label-studio"

    def as_in_workspace(self, folder: Path) -> Path:
        """A recording's folder by its path in this workspace, where it lies in it under whatever path."""
        is_here = folder.absolute().parent.resolve() == self.recordings.resolve()
        return self.recordings / folder.name if is_here else folder

    def recording(self, name: Path) -> Path:
        """A recording's folder, given by its path or by its ID. Raises CaptureError where there is neither."""
        put_back(self.recordings)
        for folder in (name, self.recordings / name):
            if folder.exists():
                return folder
        if (self.offloaded / f"{name}.json").is_file():
            raise CaptureError(f"{name} was offloaded and deleted here; to see where it is, run: fieldrig list {name}")
        raise CaptureError(
            f"no recording {name}, neither as a folder nor by this ID in {self.recordings}; to see those that there are, run: fieldrig list"
        )
