"""Where tests run side by side: which of them stay on one worker, and which begin first.

pytest-xdist's own groups (``--dist loadgroup``) come to nothing: it writes them where pytest 9.2 does not read them.
"""

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Folders whose tests share what is slow to start or to render: a Label Studio server, takes of the virtual rig.
SHARING = ("annotate", "export", "virtual")


class SharedScheduling(LoadScopeScheduling):
    """The tests of a file stay together, and those of a folder that shares something; the folders begin, so that none is left for the end."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = Path(file).parts[1]
        return folder if folder in SHARING else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = max(self.workqueue, key=lambda scope: (scope in SHARING, len(self.workqueue[scope])))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)
