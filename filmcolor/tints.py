"""Which shots of a film are grey, tinted or in colour already: by the chroma that they came with.

In a tinted or toned picture luma says what colour there is: what is left of chroma beside the
mean of all places of one luma is little. In a picture in true colours things of one luma have
hues of their own. Blocks of frames, averaged so that noise is not taken for hues, are found to
be one or the other; those around a frame, inside its shot, have a vote in what becomes of it.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import cv2
import numpy as np

from filmcolor.color import Coding
from filmcolor.decode import copied
from filmcolor.frames import COLORED, GREY, TINTED, FilmInfo, FloatPlane, Plane, SmallFrame
from filmcolor.small import halved
from filmcolor.timecodes import timecode

BLOCK = 8  # frames which are looked at as one; counted in the film's frame numbers
_BEFORE, _AFTER = 12, 2  # blocks around a frame's own that have a vote; those after cost memory
PAST, FUTURE = (_BEFORE + 1) * BLOCK - 1, (_AFTER + 1) * BLOCK - 1  # frames that a kind depends on

_SHORT_SIDE = 32  # cells of the pictures in which hues are looked for
_NUM_ROWS = 6  # of a cell that are looked at: more would cost, and tell no more
_MOST_CELLS = 0.98  # the rest, the most colourful, may be a mark in a corner
_LUMA_STEP = 4  # codes: what is as alike is of one luma
# in codes of 8 bits, root mean squares; CONTRIBUTING.md tells on what they were chosen
_MIN_CHROMA = 3.0  # less is a cast or noise
_MIN_STRAY_SHARE = 0.1  # of chroma, beside what luma explains: less is a tint, not quite even
_MIN_PRODUCT = 6.0  # of chroma and stray: less is noise, on a cast perhaps
_MIN_COLORED = 0.3  # of the frames that vote: a glitch is no colour
_SURE = 2.0  # chroma of a luma's mean, at which it has a hue that colours may stray from
_MOST_PLACES = 5  # that a line names


def add_hues(frames: Iterable[SmallFrame], coding: Coding) -> Iterator[SmallFrame]:
    """Yield frames with what `mark_kinds` looks at; chroma is their own from here on."""
    for frame in frames:
        chroma = frame.frame.chroma
        assert chroma is not None
        cb, cr = (_owned(plane) for plane in chroma)
        hues = hues_of(frame.guide, (cb, cr), coding)
        yield replace(frame, frame=replace(frame.frame, chroma=(cb, cr)), hues=hues)


def hues_of(guide: Plane, chroma: tuple[Plane, Plane], coding: Coding) -> FloatPlane:
    """Return luma, Cb and Cr (3, h, w) of a very small picture, in codes of 8 bits from neutral.

    `guide`: luma of 8 bits, of any size; `chroma`: code values.
    """
    share = min(1.0, _SHORT_SIDE / min(guide.shape))
    size = max(1, round(guide.shape[1] * share)), max(1, round(guide.shape[0] * share))
    hues = np.empty((3, size[1], size[0]), np.float32)
    hues[0] = _reduced(guide, size)
    for plane, codes in zip(hues[1:], chroma, strict=True):
        plane[:] = _reduced(codes, size)
        plane -= coding.chroma_offset
        plane *= 256.0 / (1 << coding.bit_depth)
    return hues


def kind_of(hues: FloatPlane) -> str:
    """Tell what a very small picture is, of luma, Cb and Cr (3, h, w)."""
    chroma, stray = measured(hues)
    if chroma < _MIN_CHROMA:
        return GREY
    if stray < _MIN_STRAY_SHARE * chroma:
        return TINTED
    return COLORED if stray * chroma > _MIN_PRODUCT else GREY


def measured(hues: FloatPlane) -> tuple[float, float]:
    """Return the chroma of a picture and the part of it that its luma does not explain.

    Of the latter only what turns the hue: a tint may be paler in one place than in another.
    The most colourful cells are left out.
    """
    luma, cb, cr = hues.reshape(3, -1)
    squares = cb**2 + cr**2
    is_kept = squares <= np.quantile(squares, _MOST_CELLS)
    luma, cb, cr = luma[is_kept], cb[is_kept], cr[is_kept]
    steps = luma.astype(np.int64) // _LUMA_STEP
    nums = np.bincount(steps)
    means = [np.bincount(steps, plane) / np.maximum(nums, 1) for plane in (cb, cr)]
    mean_cb, mean_cr = (mean[steps] for mean in means)
    squared = mean_cb**2 + mean_cr**2
    stray_cb, stray_cr = cb - mean_cb, cr - mean_cr
    along = (stray_cb * mean_cb + stray_cr * mean_cr) ** 2 / np.maximum(squared, 1e-6)
    sure = np.sqrt(squared)
    sure /= sure + _SURE
    stray = (stray_cb**2 + stray_cr**2 - sure * along).sum()
    freedom = max(1, luma.size - np.count_nonzero(nums))
    return float(squares[is_kept].mean() ** 0.5), float((max(stray, 0.0) / freedom) ** 0.5)


def mark_kinds(frames: Iterable[SmallFrame], left: Collection[str]) -> Iterator[SmallFrame]:
    """Yield frames with their `kind`; only those of the kinds in `left` keep their chroma.

    A kind depends on PAST frames before and FUTURE after a frame, of its shot, on nothing else.
    """
    shot = _Shot()
    for frame in frames:
        if frame.is_cut:
            yield from shot.finish(left)
            shot = _Shot()
        yield from shot.add(frame, left)
    yield from shot.finish(left)


@dataclass(slots=True)
class _Block:
    number: int
    frames: list[SmallFrame] = field(default_factory=list)
    num_frames: int = 0
    kind: str = ""

    def close(self) -> None:
        """Find out what the block is, now that it is whole."""
        hues = [frame.hues for frame in self.frames if frame.hues is not None]
        self.num_frames, quarter = len(hues), len(hues) // 4
        # the mean of the middle half: neither a flash nor a damaged picture has a say
        middle = np.sort(np.stack(hues), axis=0)[quarter : len(hues) - quarter]
        self.kind = kind_of(middle.mean(axis=0))


class _Shot:
    """The blocks of a shot which are not done yet, or have a vote still."""

    def __init__(self) -> None:
        self._blocks: deque[_Block] = deque()

    def add(self, frame: SmallFrame, left: Collection[str]) -> Iterator[SmallFrame]:
        """Take in the next frame; yield those whose kind is now known."""
        number = frame.frame.number // BLOCK
        if not self._blocks or self._blocks[-1].number != number:
            if self._blocks:
                self._blocks[-1].close()
            yield from self._told(number - _AFTER, left)
            self._blocks.append(_Block(number))
        self._blocks[-1].frames.append(frame)

    def finish(self, left: Collection[str]) -> Iterator[SmallFrame]:
        """Yield the rest, when the shot is over."""
        if self._blocks:
            self._blocks[-1].close()
            yield from self._told(self._blocks[-1].number + 1, left)

    def _told(self, stop: int, left: Collection[str]) -> Iterator[SmallFrame]:
        """Yield the frames of blocks before the number `stop`."""
        for block in list(self._blocks):
            if block.number >= stop or not block.frames:
                continue
            kind = self._vote(block.number)
            for frame in block.frames:
                film = frame.frame
                chroma = film.chroma if kind in left else None
                yield replace(frame, frame=replace(film, chroma=chroma, kind=kind), hues=None)
            block.frames = []
        while self._blocks and self._blocks[0].number < stop - _BEFORE:
            self._blocks.popleft()

    def _vote(self, number: int) -> str:
        votes: Counter[str] = Counter()
        for block in self._blocks:
            if number - _BEFORE <= block.number <= number + _AFTER:
                votes[block.kind] += block.num_frames
        if votes[COLORED] > _MIN_COLORED * sum(votes.values()):
            return COLORED
        return TINTED if votes[TINTED] > votes[GREY] else GREY


def _reduced(plane: Plane, size: tuple[int, int]) -> Plane:
    if not any(plane.strides):  # of one value
        return np.broadcast_to(plane[0, 0], size[::-1])
    plane = plane[:: max(1, plane.shape[0] // (_NUM_ROWS * size[1]))]
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        plane = halved(plane)
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)


def _owned(plane: Plane) -> Plane:
    """Return a plane that does not hold the decoder's frame; one of one value takes no memory."""
    low, high, _, _ = cv2.minMaxLoc(plane)
    if low == high:
        return np.broadcast_to(plane[0, 0].copy(), plane.shape)
    return copied(plane)


# ---------------------------------------------------------------- in words


def notes_of(
    info: FilmInfo, frames: Sequence[tuple[int, int]], kinds: Sequence[str], left: Collection[str]
) -> tuple[str, ...]:
    """Return a line for each kind that is not grey, with what became of it and where it is.

    `frames`: (number, pts) of those that were written, in order of display; `kinds`: theirs.
    """
    lines = []
    for kind, is_left, told in (
        (COLORED, True, "in colour already, left as it is: {} (--recolor colours it)"),
        (TINTED, True, "tinted, left as it is: {}"),
        (TINTED, False, "tinted, coloured from its luma: {} (--keep-tint leaves it)"),
    ):
        if kind in kinds and is_left == (kind in left):
            lines.append(told.format(_places(info, frames, kinds, kind)))
    return tuple(lines)


def _places(
    info: FilmInfo, frames: Sequence[tuple[int, int]], kinds: Sequence[str], kind: str
) -> str:
    """Name runs of frames of a kind, by times and numbers."""
    runs = [
        [place for place, _ in run]
        for own, run in groupby(enumerate(kinds), key=lambda item: item[1])
        if own == kind
    ]
    if len(runs[0]) == len(kinds):
        return "all of it"
    length = round(1 / (info.frame_rate * info.time_base))
    named = []
    for run in runs[:_MOST_PLACES]:
        (first, start), (last, end) = frames[run[0]], frames[run[-1]]
        end = frames[run[-1] + 1][1] if run[-1] + 1 < len(frames) else end + length
        since = (max(0.0, float((pts - info.start_pts) * info.time_base)) for pts in (start, end))
        numbers = f"frame {first}" if first == last else f"frames {first} to {last}"
        named.append(f"{' to '.join(map(timecode, since))} ({numbers})")
    rest = len(runs) - len(named)
    return ", ".join(named) + (f" and {rest} more stretches" if rest else "")
