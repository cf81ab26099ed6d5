"""Whether an output may be written where it is wished, and folders to write it to."""

from pathlib import Path

from filmcolor.errors import OutputError


def check_target(target: Path, source: Path, force: bool) -> None:
    """Raise OutputError when an output would replace something it should not."""
    if target.exists() and target.resolve() == source.resolve():
        raise OutputError(f"{target} is the film itself; name another output")
    if target.is_dir():
        raise OutputError(f"{target} is a folder; name a file in it")
    if target.exists() and not force:
        raise OutputError(f"{target} exists; choose another name or add --force")


def make_folder(folder: Path) -> None:
    """Make a folder, and those around it, where they are missing; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror}); choose another folder"
        ) from error
