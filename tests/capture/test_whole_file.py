"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from capture.whole_file import write_whole


def test_text_and_bytes_arrive_as_they_are_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "notes", "15 °C\n")
    write_whole(tmp_path / "picture", b"\x89PNG\r\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "notes": b"15 \xc2\xb0C\n",
        "picture": b"\x89PNG\r\n",
    }


def test_a_write_that_the_disk_refuses_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "notes", "old")
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "notes", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
