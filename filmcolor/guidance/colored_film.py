"""Films in colour whose colours a film takes: read, and matched frame by frame, before a run.

Such a film is another program's output, of any size and frame rate. `film_comparison` finds its
frames, and where its picture lies.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.guidance.film_comparison import MIN_MATCHED, ComparedFilm, match_films
from filmcolor.guidance.film_matching import NONE
from filmcolor.guidance.film_placement import Matrix
from filmcolor.images.image_file import REFERENCE_SUFFIXES
from filmcolor.output.image_formats import is_image_output
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.sequence_names import find_sequence, is_image_name, is_pattern

_log = logging.getLogger(__name__)

_MIN_CHROMA = 3.0  # 8-bit codes, root mean square of the most colourful sample
_MIN_IMAGES = 48  # in a folder that is a film and no collection of references
_MAX_RANGES = 3  # in a line


@dataclass(frozen=True, slots=True, eq=False)
class ColoredFilm:
    """A film in colour, and the frame of it that each frame of another film is.

    matches: (N,), a frame number of this film for each of the other's, or NONE.
    placement: maps coordinates of the other film's picture to this one's (`film_placement`).
    """

    info: FilmInfo
    index: FrameIndex
    matches: NDArray[np.int32]
    placement: Matrix

    def frame_of(self, number: int) -> int:
        """Return the frame that a frame of the other film is, or NONE."""
        return int(self.matches[number]) if number < len(self.matches) else NONE

    @property
    def digest(self) -> str:
        """A digest of the matches and of the placement; the file itself is not covered."""
        digest = hashlib.sha256(self.matches.astype("<i4").tobytes())
        digest.update(np.rint(self.placement * 1e6).astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def split_sources(sources: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the sources that are films, and all others: pictures and folders of pictures.

    A film is a file that is no picture, the pattern of an image sequence, or a folder of images
    that are numbered without a gap; a folder of frames that `shots --export` wrote is none.
    Raises SettingsError for a film with a time.
    """
    films, others = [], []
    for source in sources:
        name, at, _ = source.rpartition("@")
        if at and not Path(source).exists() and _is_film(Path(name)):
            raise SettingsError(
                f"{source}: only a picture can have a time; a film in colour is matched as a whole"
            )
        if _is_film(Path(source)):
            films.append(Path(source))
        else:
            others.append(source)
    return films, others


def read_colored_films(
    paths: Sequence[Path], info: FilmInfo, index: FrameIndex
) -> tuple[ColoredFilm, ...]:
    """Return films in colour, matched with a film. `index`: the film's.

    Raises InputError, naming the file, for one that cannot be read, that has no colour, that is the
    film itself, or whose frames do not look like the film's.
    """
    if not paths:
        return ()
    film = ComparedFilm(info, index)
    return tuple(_read(path, film) for path in paths)


def check_output(target: Path, films: Sequence[ColoredFilm]) -> None:
    """Raise OutputError when an output would replace a film in colour that it is made from."""
    for film in films:
        path = film.info.path
        is_same = target.exists() and path.exists() and target.samefile(path)
        images = find_sequence(path)
        if images is not None and is_image_output(target):
            is_same = images.pattern.parent.resolve() == target.parent.resolve()
        if is_same:
            raise OutputError(f"{target} is the film that gives the colours; name another output")


def describe(film: ColoredFilm, index: FrameIndex, info: FilmInfo) -> str:
    """Return a line for people: how many frames of a film have colours, and which have none."""
    has_colors = film.matches != NONE
    num, total = int(has_colors.sum()), len(has_colors)
    if num == total:
        return f"{film.info.path.name}: colours for all {total:,} frames"
    is_part = 2 * num < total
    ranges = _ranges(has_colors == is_part, index, info)
    text = ", ".join(ranges[:_MAX_RANGES])
    if len(ranges) > _MAX_RANGES:
        text += f" and {len(ranges) - _MAX_RANGES} more"
    verb = "have" if len(ranges) > 1 else "has"
    rest = f": {text}" if is_part else f"; {text} {verb} none"
    return f"{film.info.path.name}: colours for {num:,} of {total:,} frames{rest if text else ''}"


# ---------------------------------------------------------------- which films


def _is_film(path: Path) -> bool:
    if is_pattern(path):
        return True
    if path.is_dir():
        return _is_sequence(path)
    is_picture = is_image_name(path) or path.suffix.lower() in REFERENCE_SUFFIXES
    return path.is_file() and not is_picture


def _is_sequence(folder: Path) -> bool:
    """Return whether a folder holds a film's images; frame-000123.png is the name of a reference"""
    try:
        files = find_sequence(folder)
    except InputError:
        return False
    if files is None or files.names[0].lower().startswith("frame-"):
        return False
    return len(files.names) >= _MIN_IMAGES and not files.gaps


def _read(path: Path, film: ComparedFilm) -> ColoredFilm:
    info = probe(path)
    if info.is_still:
        raise InputError(f"{path} is a picture of a format that is no reference; save it as PNG")
    if path.exists() and path.samefile(film.info.path):
        raise InputError(f"{path} is the film itself; name the same film in colour")
    other = ComparedFilm(info, FrameIndex.read(info))
    if other.chroma < _MIN_CHROMA:
        raise InputError(f"{path} has no colour; name the film that is in colour already")
    _log.info("%s: looking for its frames in %s", path, film.info.path.name)
    matches, placement = match_films(film, other)
    if np.count_nonzero(matches != NONE) < min(MIN_MATCHED, film.num_frames):
        raise InputError(
            f"{path}: its frames do not look like those of {film.info.path}; "
            "is it the same film, uncropped?"
        )
    return ColoredFilm(info, other.index, matches, placement)


def _ranges(is_in: NDArray[np.bool_], index: FrameIndex, info: FilmInfo) -> list[str]:
    """Return the ranges of frames of at least a second, as times."""
    ranges, first = [], 0
    for value, group in groupby(is_in.tolist()):
        stop = first + len(list(group))
        start, end = (_seconds(number, index, info) for number in (first, stop))
        if value and end - start >= 1.0:
            ranges.append(f"{_clock(start)} to {_clock(end)}")
        first = stop
    return ranges


def _seconds(number: int, index: FrameIndex, info: FilmInfo) -> float:
    """Return when a frame begins, or the last one ends, in seconds from the first."""
    if number < len(index.pts):
        return float(info.seconds(index.pts[number]))
    return float(number / info.frame_rate)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
