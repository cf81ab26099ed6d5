"""Films in colour whose colours a film takes: read, and matched frame by frame, before a run.

Such a film is another program's output, of any size and frame rate. Its frames are found by
`film_matching`, in one pass over either film; a long film of the same number of frames is first
compared in a few places, which saves the pass. `film_placement` finds where its picture lies.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.guidance.film_matching import (
    CELLS,
    NONE,
    Signatures,
    is_blank,
    match_frames,
    share_alike,
    signature,
    similarity,
    turn_signatures,
)
from filmcolor.guidance.film_placement import (
    UNCHANGED,
    Matrix,
    candidate_areas,
    common_area,
    compose,
    distance,
    from_area,
    inverse,
    refine,
    shown_turn,
    turned,
)
from filmcolor.images.image_file import REFERENCE_SUFFIXES
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Gray, LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import downscale, proxy_size
from filmcolor.video.sequence_names import find_sequence, is_image_name, is_pattern

_log = logging.getLogger(__name__)

_SIZE, _FINE_SIZE = 128, 256  # short side of frames that are compared, and that are aligned
_NUM_SAMPLES = 16  # frames that show a film's borders and chroma
_NUM_ALIGNED = 10  # frames
_MIN_CHROMA = 3.0  # 8-bit codes, root mean square of the most colourful sample
_MIN_MATCHED = 8  # frames
_SHIFTED = 0.01  # of the picture: a placement that is corrected by more deserves another pass
# a film of equal length is compared in some places first, if it is long
_LONG = 3000  # frames
_NUM_PLACES, _AROUND = 32, 2  # frames before and after each, which must be less similar
_SAME, _CLEAR = 0.7, 0.01  # similarity; difference at which neighbours can be told apart
_MIN_SAME, _MIN_BEST = 0.9, 0.8  # shares of the places
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
    film = _Source(info, index)
    return tuple(_read(path, film) for path in paths)


def check_output(target: Path, films: Sequence[ColoredFilm]) -> None:
    """Raise OutputError when an output would replace a film in colour that it is made from."""
    for film in films:
        path = film.info.path
        if target.exists() and path.exists() and target.samefile(path):
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


class _Source:
    """A film with what is compared of it."""

    def __init__(self, info: FilmInfo, index: FrameIndex) -> None:
        self.info, self.index = info, index
        self.num_frames = len(index.pts)
        self.aspect = info.display_size[0] / info.display_size[1]
        if info.quarter_turns % 2:
            self.aspect = 1.0 / self.aspect
        self._samples: list[LumaFrame] = []

    @property
    def samples(self) -> list[LumaFrame]:
        """Some frames from all over the film."""
        if not self._samples:
            numbers = np.linspace(0, self.num_frames - 1, _NUM_SAMPLES + 2).astype(int)[1:-1]
            self._samples = list(self.frames(sorted(set(numbers.tolist())), self.info.has_chroma))
            if not self._samples:
                raise InputError(
                    f"{self.info.path}: none of its frames can be decoded; is the file complete?"
                )
        return self._samples

    def frames(self, numbers: Sequence[int], with_chroma: bool = False) -> Iterator[LumaFrame]:
        """Yield frames by number, in order."""
        if self.index.is_exact:
            for number in numbers:
                yield from read_luma(
                    self.info, number, number + 1, self.index, with_chroma=with_chroma
                )
            return
        wanted = set(numbers)  # one pass: there is no way to seek
        for frame in read_luma(self.info, index=self.index, with_chroma=with_chroma):
            if frame.number in wanted:
                yield frame

    def gray(self, frame: LumaFrame, short_side: int = _SIZE) -> Gray:
        """Return a frame's 8-bit luma at a short side in pixels."""
        size = proxy_size(*self.info.display_size, short_side)
        return downscale(frame.luma, size, self.info.coding)

    def signatures(self, matrix: Matrix) -> Signatures:
        """Return the signatures of all frames inside an area; blank ones of missing frames."""
        signatures = np.zeros((self.num_frames, CELLS * CELLS), np.int8)
        for frame in read_luma(self.info, index=self.index):
            if frame.number < self.num_frames:
                signatures[frame.number] = signature(self.gray(frame), matrix)
        return signatures


def _read(path: Path, film: _Source) -> ColoredFilm:
    info = probe(path)
    if info.is_still:
        raise InputError(f"{path} is a picture of a format that is no reference; save it as PNG")
    if path.exists() and path.samefile(film.info.path):
        raise InputError(f"{path} is the film itself; name the same film in colour")
    other = _Source(info, FrameIndex.read(info))
    if not _has_color(other):
        raise InputError(f"{path} has no colour; name the film that is in colour already")
    _log.info("%s: looking for its frames in %s", path, film.info.path.name)
    matches, placement = _match(film, other)
    if np.count_nonzero(matches != NONE) < min(_MIN_MATCHED, film.num_frames):
        raise InputError(
            f"{path}: its frames do not look like those of {film.info.path}; "
            "is it the same film, uncropped?"
        )
    return ColoredFilm(info, other.index, matches, placement)


def _has_color(source: _Source) -> bool:
    if not source.info.has_chroma:
        return False
    coding = source.info.coding
    unit = 256.0 / (1 << coding.bit_depth)
    most = 0.0
    for frame in source.samples:
        assert frame.chroma is not None
        squares = [np.square((plane.astype(np.float32) - coding.chroma_offset) * unit).mean()
                   for plane in frame.chroma]
        most = max(most, float(sum(squares)) ** 0.5)
    return most >= _MIN_CHROMA


# ---------------------------------------------------------------- matching


def _match(film: _Source, other: _Source) -> tuple[NDArray[np.int32], Matrix]:
    """Return the matches and the placement; no matches where none are found."""
    grays = [[source.gray(frame) for frame in source.samples] for source in (film, other)]
    turn = turned(shown_turn(film.info, other.info))
    matches, placement = np.full(film.num_frames, NONE, np.int32), UNCHANGED
    for film_area, other_area in candidate_areas(*grays, (film.aspect, other.aspect)):
        to_square, from_square = inverse(from_area(film_area)), from_area(other_area)
        matches, turn = _match_placed(film, other, to_square, turn, from_square)
        placement = compose(compose(to_square, turn), from_square)
        if np.count_nonzero(matches != NONE) < _MIN_MATCHED:
            continue
        refined = _refine(film, other, matches, placement)
        if distance(placement, refined) > _SHIFTED:
            matches, _ = _match_placed(film, other, UNCHANGED, refined, UNCHANGED)
            refined = _refine(film, other, matches, refined)
        return matches, refined
    return matches, placement


def _match_placed(
    film: _Source, other: _Source, to_square: Matrix, turn: Matrix, from_square: Matrix
) -> tuple[NDArray[np.int32], Matrix]:
    """Return the matches where the picture's area and its turn are given, and a better turn."""
    placement = compose(compose(to_square, turn), from_square)
    area = common_area(placement)
    other_area = compose(area, placement)
    if film.num_frames == other.num_frames > _LONG and _is_same_in_places(
        film, other, area, other_area
    ):
        return np.arange(film.num_frames, dtype=np.int32), turn
    signatures, others = film.signatures(area), other.signatures(other_area)
    if not share_alike(signatures, others):
        for number in range(8):
            relative = compose(turned(number), inverse(turn))
            turned_others = turn_signatures(others, relative)
            if share_alike(signatures, turned_others):
                turn, others = turned(number), turned_others
                break
    speeds = 1.0, float(other.info.frame_rate / film.info.frame_rate)
    return match_frames(signatures, others, speeds), turn


def _is_same_in_places(film: _Source, other: _Source, area: Matrix, other_area: Matrix) -> bool:
    """Return whether frames with the same number are the same, in some places."""
    if not (film.index.is_exact and other.index.is_exact):
        return False
    numbers = np.linspace(0, film.num_frames - 1, _NUM_PLACES + 2).astype(int)[1:-1].tolist()
    num_same = num_seen = num_best = num_clear = 0
    for number in numbers:
        own = [signature(film.gray(frame), area) for frame in film.frames([number])]
        first, stop = number - _AROUND, number + _AROUND + 1
        near = read_luma(other.info, first, stop, other.index)
        others = [signature(other.gray(frame), other_area) for frame in near]
        if len(others) != stop - first or not own or is_blank(np.stack(own))[0]:
            continue
        scores = similarity(np.stack(own), np.stack(others))[0]
        num_seen += 1
        num_same += scores[_AROUND] >= _SAME
        if scores.max() - scores.min() > _CLEAR:
            num_clear += 1
            num_best += scores.argmax() == _AROUND
    return num_seen > 0 and num_same >= _MIN_SAME * num_seen and num_best >= _MIN_BEST * num_clear


def _refine(
    film: _Source, other: _Source, matches: NDArray[np.int32], placement: Matrix
) -> Matrix:
    """Return a placement corrected by the details of some frames that match."""
    matched = np.flatnonzero(matches != NONE)
    chosen = matched[np.linspace(0, len(matched) - 1, _NUM_ALIGNED + 2).astype(int)[1:-1]]
    pairs = []
    for number in sorted(set(chosen.tolist())):
        partner = int(matches[number])
        own = next(film.frames([number]), None)
        theirs = next(other.frames([partner]), None)
        if own is not None and theirs is not None:
            pairs.append((film.gray(own, _FINE_SIZE), other.gray(theirs, _FINE_SIZE)))
    return refine(placement, pairs)


def _ranges(is_in: NDArray[np.bool_], index: FrameIndex, info: FilmInfo) -> list[str]:
    """Return the ranges of frames of at least a second, as times."""
    ranges, first = [], 0
    for value, group in groupby(is_in.tolist()):
        stop = first + len(list(group))
        start = float(info.seconds(index.pts[first]))
        end = float(info.seconds(index.pts[stop - 1]) + 1 / info.frame_rate)
        if value and end - start >= 1.0:
            ranges.append(f"{_clock(start)} to {_clock(end)}")
        first = stop
    return ranges


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
