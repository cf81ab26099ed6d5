"""Names and patterns → the films of a run."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.journal import SUFFIX

_MADE_HERE = re.compile(r"(.+)\.(?:color|preview(?:-\d+)?)")  # the stem of what filmcolor wrote


@dataclass(frozen=True, slots=True)
class FilmList:
    """The films of a run, and what patterns matched beside them: outputs of earlier runs."""

    films: tuple[Path, ...]
    left_out: tuple[Path, ...]


def is_pattern(name: str | Path) -> bool:
    """Tell whether a name stands for many: a file that exists is never a pattern."""
    return bool(set("*?[") & set(str(name))) and not Path(name).exists()


def list_films(names: Iterable[str | Path], output_dir: str | Path | None = None) -> FilmList:
    """Return each film once, in the order of its names; a pattern's own are sorted.

    `**` in a pattern is any number of folders. What a pattern matches is left out where it
    is named as an output of another film here, and stands beside it or in `output_dir`; so
    are the pieces of runs that were cut off.
    """
    found: dict[Path, Path] = {}
    named: set[Path] = set()
    for name in map(Path, names):
        if is_pattern(name):
            films = _matches(name)
        elif name.is_dir():
            raise InputError(f"{name} is a folder; for the films in it, write '{name / '*'}'")
        else:
            films = [name]
            named.add(name.resolve())
        for film in films:
            found.setdefault(film.resolve(), film)
    sources = {(film.parent.resolve(), film.stem) for film in found.values()}
    if output_dir is not None:
        sources |= {(Path(output_dir).resolve(), stem) for _, stem in sources}
    left_out = {
        where: film
        for where, film in found.items()
        if where not in named
        and (match := _MADE_HERE.fullmatch(film.stem))
        and (film.parent.resolve(), match[1]) in sources
    }
    films = [film for where, film in found.items() if where not in left_out]
    return FilmList(tuple(films), tuple(left_out.values()))


def _matches(pattern: Path) -> list[Path]:
    matches = glob(str(pattern), recursive=True)  # noqa: PTH207  # Path's takes no absolute one
    paths = sorted(map(Path, matches))
    files = [p for p in paths if p.is_file() and not p.parent.name.endswith(SUFFIX)]
    if not files:
        raise InputError(f"no file matches {str(pattern)!r}; check the pattern and the folder")
    return files
