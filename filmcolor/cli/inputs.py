"""The films of a run, from the names and patterns of its command line."""

import mimetypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from filmcolor.errors import InputError

# the stem of an output: NAME.color, NAME.preview or NAME.preview-2
_OUTPUT_STEM = re.compile(r"(.+)\.(?:color|preview(?:-\d+)?)")
# of films; what other suffixes hold is decided by reading the file
_FILM_SUFFIXES = frozenset(
    {
        *(".3gp", ".avi", ".divx", ".dv", ".flv", ".h264", ".h265", ".m2ts", ".m2v", ".m4v"),
        *(".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts"),
        *(".vob", ".webm", ".wmv"),
    }
)


@dataclass(frozen=True, slots=True)
class FilmList:
    """The films of a run, and the outputs of earlier runs that its patterns matched as well."""

    films: tuple[Path, ...]
    excluded: tuple[Path, ...]


def is_pattern(name: str | Path) -> bool:
    """Return whether a name is a glob pattern. The name of an existing file never is."""
    return bool(set("*?[") & set(str(name))) and not Path(name).exists()


def is_film_name(word: str) -> bool:
    """Return whether a word names an existing file, or looks like a film or a pattern."""
    path = Path(word)
    return path.is_file() or path.suffix.lower() in _FILM_SUFFIXES or is_pattern(word)


def is_picture_name(word: str) -> bool:
    """Return whether a word has the suffix of a picture file."""
    return (mimetypes.guess_type(word)[0] or "").startswith("image/")


def list_films(names: Iterable[str | Path], output_dir: str | Path | None = None) -> FilmList:
    """Return each film once, in the order of the names; the matches of a pattern are sorted.

    `**` in a pattern matches any number of folders. A match is excluded when its name is that of
    another film's output, and it is beside that film or in `output_dir`; so are the segments of
    interrupted runs. Raises InputError for a folder, and for a pattern without a match.
    """
    films: dict[Path, Path] = {}  # by resolved path
    explicit: set[Path] = set()  # named, not matched
    for name in map(Path, names):
        if is_pattern(name):
            matches = _match(name)
        elif name.is_dir():
            raise InputError(f"{name} is a folder; for the films in it, write '{name / '*'}'")
        else:
            matches = [name]
            explicit.add(name.resolve())
        for film in matches:
            films.setdefault(film.resolve(), film)
    sources = {(film.parent.resolve(), film.stem) for film in films.values()}
    if output_dir is not None:
        sources |= {(Path(output_dir).resolve(), stem) for _, stem in sources}
    excluded = {
        path: film
        for path, film in films.items()
        if path not in explicit
        and (match := _OUTPUT_STEM.fullmatch(film.stem))
        and (film.parent.resolve(), match[1]) in sources
    }
    kept = [film for path, film in films.items() if path not in excluded]
    return FilmList(tuple(kept), tuple(excluded.values()))


def _match(pattern: Path) -> list[Path]:
    """Return the files that a pattern matches, sorted, without segments of interrupted runs."""
    from filmcolor.segments.journal import SUFFIX

    paths = sorted(map(Path, glob(str(pattern), recursive=True)))  # noqa: PTH207  # may be absolute
    files = [p for p in paths if p.is_file() and not p.parent.name.endswith(SUFFIX)]
    if not files:
        raise InputError(f"no file matches {str(pattern)!r}; check the pattern and the folder")
    return files
