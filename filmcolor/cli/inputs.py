"""The films of a run, from the names and patterns of its command line."""

import mimetypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.files import is_address
from filmcolor.pipeline.patterns import is_pattern, match
from filmcolor.video.film_names import FILM_SUFFIXES, OUTPUT_STEM
from filmcolor.video.sequence_names import find_sequence, group_by_number, is_image_name
from filmcolor.video.sequence_names import is_pattern as is_sequence_pattern


@dataclass(frozen=True, slots=True)
class FilmList:
    """The films of a run, and the outputs of earlier runs that its patterns matched as well.

    `is_single`: True where one film was named, not a pattern that happens to match one.
    """

    films: tuple[Path, ...]
    excluded: tuple[Path, ...]
    is_single: bool = False


def is_film_name(word: str) -> bool:
    """Return whether a word names an existing file, or looks like a film or a pattern."""
    path = Path(word)
    is_like_film = path.suffix.lower() in FILM_SUFFIXES or is_address(word)
    return path.is_file() or is_like_film or is_pattern(word) or is_sequence_pattern(word)


def is_picture_name(word: str) -> bool:
    """Return whether a word has the suffix of a picture file, and is no image sequence."""
    is_image = (mimetypes.guess_type(word)[0] or "").startswith("image/")
    return is_image and not is_sequence_pattern(word) and not is_pattern(word)


def list_films(names: Iterable[str | Path], output_dir: str | Path | None = None) -> FilmList:
    """Return each film once, in the order of the names; the matches of a pattern are sorted.

    `**` in a pattern matches any number of folders. A match is excluded when its name is that of
    another film's output, and it is beside that film or in `output_dir`; so are the segments of
    interrupted runs. Images that are numbered alike are one film, and so is a folder of them.
    Raises InputError for another folder, for a pattern without a match, and for a part of an image
    sequence.
    """
    paths: list[Path] = []
    explicit: set[Path] = set()  # named, not matched
    named = list(map(Path, names))
    for name in named:
        if not is_sequence_pattern(name) and is_pattern(name):
            paths += _match(name)
            continue
        if name.is_dir() and find_sequence(name) is None:
            raise InputError(f"{name} is a folder; for the films in it, write '{name / '*'}'")
        paths.append(name)
        explicit.add(name.resolve())
    sequences = _find_sequences(paths)
    films: dict[Path, Path] = {}  # by resolved path
    for path in paths:
        film = sequences.get(path, path)
        films.setdefault(film.resolve(), film)
    stems = map(_output_stem, films.values())
    sources = {(stem.parent.resolve(), stem.name) for stem in stems}
    if output_dir is not None:
        sources |= {(Path(output_dir).resolve(), stem) for _, stem in sources}
    excluded = {
        path: film
        for path, film in films.items()
        if path not in explicit
        and (match := OUTPUT_STEM.fullmatch(film.stem))
        and (film.parent.resolve(), match[1]) in sources
    }
    kept = [film for path, film in films.items() if path not in excluded]
    is_named = len(named) == 1 and not is_pattern(named[0])
    is_one_sequence = set(films.values()) <= set(sequences.values())
    return FilmList(
        tuple(kept), tuple(excluded.values()), len(films) == 1 and (is_named or is_one_sequence)
    )


def _match(pattern: Path) -> Iterator[Path]:
    """Yield the files and image sequences that a pattern matches, sorted."""
    films = [path for path in match(pattern) if _is_film_path(path)]
    if not films:
        raise InputError(f"no file matches {str(pattern)!r}; check the pattern and the folder")
    yield from films


def _is_film_path(path: Path) -> bool:
    with suppress(InputError):  # a folder of other images
        return path.is_file() or (path.is_dir() and find_sequence(path) is not None)
    return False


def _find_sequences(paths: Iterable[Path]) -> dict[Path, Path]:
    """Return the image sequence of each image that is numbered like another, by its path.

    A sequence that is all the images of its folder is named by the folder.
    """
    images: dict[Path, list[str]] = {}  # by folder
    for path in paths:
        if is_image_name(path) and path.is_file():
            images.setdefault(path.parent, []).append(path.name)
    sequences: dict[Path, Path] = {}
    for folder, names in images.items():
        groups, _ = group_by_number(dict.fromkeys(names))
        for name, members in groups.items():
            sequence = folder / name
            files = find_sequence(sequence)
            if files is None or len(files.names) != len(members):
                raise InputError(
                    f"{len(members)} images are only a part of {sequence}; name that, and "
                    "choose the part with --frames"
                )
            with suppress(InputError):  # the folder holds other images too
                if folder.name and find_sequence(folder) is not None:
                    sequence = folder
            sequences |= {folder / member: sequence for member in members}
    return sequences


def _output_stem(film: Path) -> Path:
    """Return what a film's outputs are named after, without a suffix."""
    with suppress(InputError):
        if files := find_sequence(film):
            return files.stem
    return film.with_suffix("")
