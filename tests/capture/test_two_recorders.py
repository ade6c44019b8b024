"""Two recorders of one rig that are started in the same moment: one gets the place, the other is told who has it."""

from __future__ import annotations

import threading
from pathlib import Path

from capture.control.address import Address, address_file, read_address
from capture.control.server import ControlServer
from capture.errors import CaptureError
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from tests.capture.stated_recorder import StatedRecorder


def test_of_recorders_of_one_rig_that_begin_at_once_exactly_one_has_its_place(tmp_path: Path) -> None:
    workspace, together = Workspace(tmp_path), threading.Barrier(3)
    for number in range(25):
        rig, won, refused = f"van{number}", list[ControlServer](), list[str]()

        def begin(rig: str = rig, won: list[ControlServer] = won, refused: list[str] = refused) -> None:
            recorder = StatedRecorder(RecorderState("standby", rig))
            together.wait()
            try:
                won.append(ControlServer(recorder, workspace, rig))
            except CaptureError as error:
                refused.append(str(error))

        crews = [threading.Thread(target=begin) for _ in range(3)]
        for crew in crews:
            crew.start()
        for crew in crews:
            crew.join()
        assert (len(won), len(refused)) == (1, 2)
        assert all(f"a recorder of the rig '{rig}' runs in" in why for why in refused)
        left = read_address(address_file(workspace, rig))
        assert isinstance(left, Address)
        assert left.is_listening()
        won[0].close()
        assert not address_file(workspace, rig).exists()
