"""Whether an output may be written where it is wished."""

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
