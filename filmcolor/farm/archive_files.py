"""The films in a folder, and facts by which a file is known again without reading all of it."""

import mimetypes
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.farm.manifest import MANIFEST
from filmcolor.segments.journal import SUFFIX as SEGMENTS_SUFFIX
from filmcolor.segments.journal import identify_source
from filmcolor.video.film_names import FILM_SUFFIXES, OUTPUT_STEM
from filmcolor.video.sequence_names import (
    MIN_FILM_IMAGES,
    file_state,
    find_sequence,
    group_by_number,
    is_image_name,
)

# names that Python itself has: a system's own list would make films of one system none of another
_TYPES = mimetypes.MimeTypes()
_INT64 = (1 << 63) - 1  # what SQLite holds


@dataclass(frozen=True, slots=True)
class FoundFilms:
    """The films below a folder, by their paths there, sorted.

    `left_out`: what else there is, with numbers of files or folders. `unreadable`: folders whose
    films are not known.
    """

    films: tuple[Path, ...]
    left_out: Mapping[str, int]
    unreadable: tuple[OSError, ...]


def find_films(root: Path, output: Path) -> FoundFilms:
    """Return the films in a folder and its subfolders.

    A film is a file with a film's name, or at least 24 images that are numbered alike. Left out are
    hidden files, links to folders, the folder `output`, other archives, segments of interrupted
    runs, and the outputs of earlier runs beside their films.
    """
    films: list[Path] = []
    left_out: Counter[str] = Counter()
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(root, onerror=unreadable.append):
        place = Path(parent)
        reasons = {name: _folder_reason(place / name, output) for name in folders}
        folders[:] = sorted(name for name, reason in reasons.items() if not reason)
        left_out.update(filter(None, reasons.values()))
        in_sequences: set[str] = set()
        for sequence, members in _sequences(place, names):
            films.append(sequence)
            in_sequences |= set(members)
        for name in names:
            if name not in in_sequences:
                reason = _file_reason(place / name)
                films += [] if reason else [place / name]
                left_out.update([reason] if reason else [])
    outputs = set(_earlier_outputs(films))
    left_out.update(["outputs of earlier runs"] * len(outputs))
    kept = sorted(film.relative_to(root) for film in films if film not in outputs)
    return FoundFilms(tuple(kept), dict(sorted(left_out.items())), tuple(unreadable))


def _folder_reason(folder: Path, output: Path) -> str:
    """Return why a folder is not read, "" if it is."""
    if folder.name.endswith(SEGMENTS_SUFFIX):
        return "folders of segments"
    if folder.name.startswith("."):
        return "hidden folders"
    if folder.is_symlink():
        return "links to folders"
    if folder.resolve() == output.resolve():
        return "the archive's folder"
    return "folders of another archive" if (folder / MANIFEST).exists() else ""


def _file_reason(path: Path) -> str:
    """Return why a file is no film, by its name, or "" if it is one."""
    if path.name.startswith("."):
        return "hidden files"
    suffix = path.suffix.lower()
    kind = _TYPES.guess_type(path.name)[0] or ""
    if suffix not in FILM_SUFFIXES and not kind.startswith("video/"):
        return f"{suffix} files" if suffix else "files without a suffix"
    return "" if path.is_file() else "links to nothing"


def _sequences(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each image sequence of a folder, and its images.

    It is named by the folder if that has no other images.
    """
    images = [name for name in names if is_image_name(name) and not name.startswith(".")]
    for pattern, members in group_by_number(images)[0].items():
        path = folder / pattern
        with suppress(InputError):  # their numbers are no sequence
            if len(members) < MIN_FILM_IMAGES or find_sequence(path) is None:
                continue
            with suppress(InputError):  # the folder holds other images too
                path = folder if find_sequence(folder) is not None else path
            yield path, members


def _earlier_outputs(films: Iterable[Path]) -> Iterator[Path]:
    """Yield the films that are named as the output of another one beside them."""
    films = list(films)
    stems = set()
    for film in films:
        files = find_sequence(film) if film.is_dir() or is_image_name(film) else None
        stems.add(files.stem if files else film.with_suffix(""))
    for film in films:
        match = OUTPUT_STEM.fullmatch(film.stem)
        if match and film.with_name(match[1]) in stems:
            yield film


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file is known by; the columns of these names describe it in the books.

    Of an image sequence: the number of images, and digests of their names, sizes and times.
    """

    size: int  # bytes
    modified_ns: int  # since 1970
    ends: str  # SHA-256 of the first and the last 64 KiB


def read_facts(path: Path) -> FileFacts | None:
    """Return the facts of a file or an image sequence, after reading its ends; None without one."""
    state = file_state(path)
    if state is None:
        return None
    try:
        identity = identify_source(path)
    except InputError:
        return None
    return FileFacts(state[0], state[1] & _INT64, identity.get("ends") or identity["listing"])


def look_again(path: Path, facts: FileFacts) -> FileFacts | None:
    """Return the facts of a file now; its ends are read only if its size or time has changed."""
    state = file_state(path)
    if state is not None and (state[0], state[1] & _INT64) == (facts.size, facts.modified_ns):
        return facts
    return None if state is None else read_facts(path)


def fold_name(path: str) -> str:
    """Return a path as a file system compares it that ignores case and Unicode composition."""
    return unicodedata.normalize("NFC", path).casefold()


def is_same(facts: FileFacts, other: FileFacts) -> bool:
    """Return whether two files hold the same film, as far as their sizes and ends show."""
    return (facts.size, facts.ends) == (other.size, other.ends)
