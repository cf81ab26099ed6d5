"""Compares two films: which of their frames are the same, and where their pictures lie.

Frames are found by `film_matching`, in a pass over either film for each placement that is tried. A
long film of the same number of frames is first compared in a few places, which saves the pass.
Borders, crops and turns of the picture (`film_placement`) are tried in turn, the likeliest first.
"""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import InputError
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
from filmcolor.runtime.threads import num_decoder_threads
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Gray, LumaFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.proxy import downscale, proxy_size

_SIZE, _FINE_SIZE = 128, 256  # short side of frames that are compared, and that are aligned
_NUM_SAMPLES = 16  # frames that show a film's borders and chroma
_NUM_ALIGNED = 10  # frames
_ALIKE = 0.5  # share of a film's frames that look like another's, where the turn is surely right
MIN_MATCHED = 8  # frames: fewer may look alike by chance
_SHIFTED = 0.01  # of the picture: a placement that is corrected by more deserves another pass
# a film of equal length is compared in some places first, if it is long
_LONG = 3000  # frames
_NUM_PLACES, _AROUND = 32, 2  # frames before and after each, which must be less similar
_SAME, _CLEAR = 0.7, 0.01  # similarity; difference at which neighbours can be told apart
_MIN_SAME, _MIN_BEST = 0.9, 0.8  # shares of the places


class ComparedFilm:
    """A film, and what is compared of it.

    num_frames: with those that cannot be decoded. aspect: width over height, as shown. samples:
    8-bit luma (h, w) of some frames from all over the film. chroma: root mean square of the most
    colourful of them, 8-bit codes.
    """

    def __init__(self, info: FilmInfo, index: FrameIndex) -> None:
        """Read the samples. Raises InputError when none can be decoded."""
        self.info, self.index = info, index
        self.num_frames = index.num_frames
        self.aspect = info.display_size[0] / info.display_size[1]
        if info.quarter_turns % 2:
            self.aspect = 1.0 / self.aspect
        self.samples: list[Gray] = []
        self.chroma = 0.0
        numbers = np.linspace(0, max(0, self.num_frames - 1), _NUM_SAMPLES + 2).astype(int)
        for frame in self.frames(set(numbers[1:-1].tolist()), info.has_chroma):
            self.samples.append(self.gray(frame))
            self.chroma = max(self.chroma, _chroma(frame, info.coding))
        if not self.samples:
            raise InputError(f"{info.path}: none of its frames can be decoded; is it complete?")

    def frames(self, numbers: Collection[int], with_chroma: bool = False) -> Iterator[LumaFrame]:
        """Yield some frames, in order."""
        reader = FrameReader(
            self.info,
            self.index,
            num_threads=num_decoder_threads(self.info.bytes_per_frame),
            with_chroma=with_chroma,
        )
        for number in sorted(numbers):
            if (frame := reader.read(number)) is not None:
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


def match_films(film: ComparedFilm, other: ComparedFilm) -> tuple[NDArray[np.int32], Matrix]:
    """Return the frame of another film (N,) that each frame of a film is, and the placement.

    NONE of a frame without a match; all are NONE where the films do not look alike.
    """
    turn = turned(shown_turn(film.info, other.info))
    aspects = film.aspect, other.aspect
    for film_area, other_area in candidate_areas(film.samples, other.samples, aspects):
        to_square, from_square = inverse(from_area(film_area)), from_area(other_area)
        placement = compose(compose(to_square, turn), from_square)
        if _is_same_in_places(film, other, placement):
            matches = np.arange(film.num_frames, dtype=np.int32)
        else:
            signatures, others = _signatures(film, other, placement)
            lost_turn, others = _find_turn(signatures, others)
            placement = compose(compose(compose(to_square, lost_turn), turn), from_square)
            matches = match_frames(signatures, others, _speeds(film, other))
        if np.count_nonzero(matches != NONE) < min(MIN_MATCHED, film.num_frames):
            continue
        refined = _refine(film, other, matches, placement)
        if distance(placement, refined) > _SHIFTED:
            matches = match_frames(*_signatures(film, other, refined), _speeds(film, other))
            refined = _refine(film, other, matches, refined)
        return matches, refined
    return np.full(film.num_frames, NONE, np.int32), UNCHANGED


def _signatures(
    film: ComparedFilm, other: ComparedFilm, placement: Matrix
) -> tuple[Signatures, Signatures]:
    """Return the signatures of two films, of what both show."""
    area = common_area(placement)
    return film.signatures(area), other.signatures(compose(area, placement))


def _find_turn(film: Signatures, other: Signatures) -> tuple[Matrix, Signatures]:
    """Return how another film must be turned to look like a film, and its signatures turned so.

    A film that has lost its display matrix is shown upside down or lying.
    """
    share, best = share_alike(film, other), (UNCHANGED, other)
    for number in range(1, 8) if share < _ALIKE else ():
        candidate = turn_signatures(other, turned(number))
        candidate_share = share_alike(film, candidate)
        if candidate_share > share:
            share, best = candidate_share, (turned(number), candidate)
    return best


def _speeds(film: ComparedFilm, other: ComparedFilm) -> tuple[float, float]:
    """Return frames of another film per frame of a film: by number, and by time."""
    return 1.0, float(other.info.frame_rate / film.info.frame_rate)


def _chroma(frame: LumaFrame, coding: Coding) -> float:
    """Return the root mean square of a frame's chroma in 8-bit codes, 0 without any."""
    unit = 256.0 / (1 << coding.bit_depth)
    planes = (plane.astype(np.float32) - coding.chroma_offset for plane in frame.chroma or ())
    return unit * float(sum(np.square(plane).mean() for plane in planes)) ** 0.5


def _is_same_in_places(film: ComparedFilm, other: ComparedFilm, placement: Matrix) -> bool:
    """Return whether two long films have as many frames, the same ones in some places."""
    is_exact = film.index.is_exact and other.index.is_exact
    if film.num_frames != other.num_frames or film.num_frames <= _LONG or not is_exact:
        return False
    area = common_area(placement)
    other_area = compose(area, placement)
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
    film: ComparedFilm, other: ComparedFilm, matches: NDArray[np.int32], placement: Matrix
) -> Matrix:
    """Return a placement corrected by the details of some frames that match."""
    matched = np.flatnonzero(matches != NONE)
    if not len(matched):
        return placement
    chosen = matched[np.linspace(0, len(matched) - 1, _NUM_ALIGNED + 2).astype(int)[1:-1]]
    partners = {number: int(matches[number]) for number in chosen.tolist()}
    own = {f.number: film.gray(f, _FINE_SIZE) for f in film.frames(set(partners))}
    theirs = {f.number: other.gray(f, _FINE_SIZE) for f in other.frames(set(partners.values()))}
    pairs = [(own[n], theirs[p]) for n, p in partners.items() if n in own and p in theirs]
    return refine(placement, pairs)
