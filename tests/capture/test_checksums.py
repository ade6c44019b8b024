"""SHA256SUMS, as sha256sum itself reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from capture.checksums import NAME, read_sums, write_sums
from capture.errors import CaptureError


def test_every_file_at_any_depth_has_a_sum_that_sha256sum_confirms(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for name in ("a", "deep/b", "deep/deeper/c"):
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    assert list(read_sums(tmp_path)) == ["a", "deep/b", "deep/deeper/c"]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\r\nb", "a\\b", "a\\nb\n", "\\", "a  b"])
def test_whatever_a_file_is_called_sha256sum_and_fieldrig_find_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("content")
    write_sums(tmp_path)
    assert list(read_sums(tmp_path)) == [name]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("content", "says"), [(None, "has no SHA256SUMS"), (b"\xff\xfe", "not a line"), (b"123  name\n", "not a line")]
)
def test_sums_that_are_missing_or_damaged_are_told_in_one_line(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(CaptureError, match=says) as error:
        read_sums(tmp_path)
    assert "\n" not in str(error.value)
