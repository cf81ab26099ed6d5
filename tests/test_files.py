"""Files appear whole or not at all, and errors name the file and the remedy."""

import errno
import os
from pathlib import Path

import pytest

from filmcolor import files
from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, partial_path


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_gets_its_name_when_it_is_finished(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path, durable) as partial:
        partial.write_text("new")
        assert partial == partial_path(path)
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    expected = OutputError if isinstance(error, OSError) else type(error)
    with (
        pytest.raises(expected, match=r"a\.txt cannot be written \(No space left\).*make room|^$"),
        atomic_write(path) as partial,
    ):
        partial.write_text("new")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OutputError("named already"), ValueError("a bug")])
def test_other_errors_come_through_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match=rf"^{error}$"), atomic_write(tmp_path / "a.txt"):
        raise error


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"gone.a\.txt cannot be written .*its folder is gone"),
        atomic_write(tmp_path / "gone" / "a.txt") as partial,
    ):
        partial.write_text("new")


def test_durable_files_are_flushed_before_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "a.txt", []
    fsync = os.fsync

    def record(number: int) -> None:
        calls.append(path.exists())
        fsync(number)

    monkeypatch.setattr(files.os, "fsync", record)
    with atomic_write(path) as partial:
        partial.write_text("new")
    assert calls == []
    path.unlink()
    with atomic_write(path, durable=True) as partial:
        partial.write_text("new")
    # the file before the rename, the folder after it (Windows cannot flush folders)
    assert calls == ([False, True] if hasattr(os, "O_DIRECTORY") else [False])
