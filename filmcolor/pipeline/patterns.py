"""Names with wildcards: `*.mp4`, `reels/**/*.mkv`, `album/19[0-9]0/*.jpg`."""

from glob import escape, glob
from pathlib import Path

from filmcolor.files import is_address


def is_pattern(name: str | Path) -> bool:
    """Return whether a name is a glob pattern. The name of an existing file never is."""
    has_wildcard = bool(set("*?[") & set(str(name)))
    return has_wildcard and not Path(name).exists() and not is_address(name)


def fixed_folder(pattern: Path) -> Path:
    """Return the longest beginning of a pattern that is a folder as it is written."""
    return next(folder for folder in (*pattern.parents, Path()) if folder.is_dir())


def match(pattern: Path) -> list[Path]:
    """Return the files and folders that a pattern matches, sorted.

    `**` matches any number of folders. The fixed folder of the pattern may have wildcards in its
    name. Leaves out segments of interrupted runs.
    """
    from filmcolor.segments.journal import SUFFIX

    folder = fixed_folder(pattern)
    escaped = str(Path(escape(str(folder)), pattern.relative_to(folder)))
    paths = map(Path, glob(escaped, recursive=True))  # noqa: PTH207  # may be absolute
    return sorted(path for path in paths if not path.parent.name.endswith(SUFFIX))
