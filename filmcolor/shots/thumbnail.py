"""A frame as the shot detector sees it, and how unlike two frames are."""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from math import sqrt
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor.types.frames import FloatPlane, Gray

Area = tuple[int, int, int, int]  # of a picture: first row and stop, first column and stop

_SIZE = (48, 36)  # (width, height): small enough that grain and gate weave average out
_BLUR = 4  # how much smaller the pictures are by which dissolves are judged: they may move
_SHIFT = (5, 4)  # (x, y) of _SIZE that the camera may have moved between two frames
_FLAT = 0.012  # contrast below which there is no picture, only noise; luma in 0..1
_MIN_SPREAD = 0.03  # a nearly black picture is mostly noise: keep it small
_DARK = 0.094  # luma in 0..1 that a line of a black bar stays below, noise included
_MAX_BAR = 0.35  # of the height or width, at each side
_SCALE = 2.2  # makes a hard cut's unlikeness under shifts as large as that in place
_ROUNDING = 0.001  # what a change may be above its bound, for both are rounded
_FAINT = 0.05  # of the whole's spread: a middle in which rounding decides of correlation


class Normal(NamedTuple):
    """A picture without its bars, brightness and contrast."""

    whole: FloatPlane  # less its mean, over its spread
    middle: FloatPlane  # the part of it that is looked for in the whole of another
    spread: float  # of the middle


class Centred(NamedTuple):
    """A blurred picture without its bars, less its mean."""

    pixels: FloatPlane  # (N,)
    square: float  # the sum of their squares


class Thumbnail:
    """A small picture (36, 48) in 0..1, with what is often asked of it."""

    def __init__(self, guide: Gray) -> None:
        tiny = cv2.resize(guide, _SIZE, interpolation=cv2.INTER_AREA)
        self.picture: FloatPlane = tiny * np.float32(1.0 / 255.0)
        self._normal: dict[Area, Normal] = {}
        self._centred: dict[Area, Centred] = {}

    @cached_property
    def contrast(self) -> float:
        """Standard deviation of coarse cells, without the noise, dust and scratches of leader."""
        clean = cv2.medianBlur(self.picture, 5)
        return _mean_and_std(cv2.resize(clean, (12, 9), interpolation=cv2.INTER_AREA))[1]

    @cached_property
    def is_flat(self) -> bool:
        """True when there is no picture: black, white or grey all over."""
        return self.contrast < _FLAT

    @cached_property
    def is_clear(self) -> bool:
        """True when there is certainly a picture."""
        return self.contrast > 3.0 * _FLAT

    @cached_property
    def lit(self) -> Area:
        """What is left when dark lines at the sides are cut off; of a dark picture nothing."""
        height, width = self.picture.shape
        sums, squares = cv2.integral2(self.picture)
        rows = _lit(sums[:, -1].tolist(), squares[:, -1].tolist(), width)
        return *rows, *_lit(sums[-1].tolist(), squares[-1].tolist(), height)

    @cached_property
    def blurred(self) -> FloatPlane:
        """The picture as (9, 12)."""
        return cv2.resize(
            self.picture, None, fx=1 / _BLUR, fy=1 / _BLUR, interpolation=cv2.INTER_AREA
        )

    def normal(self, area: Area) -> Normal:
        """Return an area of the picture as cuts are judged by it, made once."""
        found = self._normal.get(area)
        if found is None:
            found = self._normal[area] = _normal(self.picture[_slices(area)])
        return found

    def centred(self, area: Area) -> Centred:
        """Return an area of the picture as dissolves are judged by it, made once."""
        found = self._centred.get(area)
        if found is None:
            blurred = self.blurred[_slices(_blurred(area))]
            pixels = (blurred - np.float32(cv2.mean(blurred)[0])).ravel()
            found = self._centred[area] = Centred(pixels, float(np.dot(pixels, pixels)))
        return found


def picture_area(thumbs: Iterable[Thumbnail]) -> Area:
    """Return the area of the pictures without the black bars that all of them have."""
    return _area_of_all(frozenset([t.lit for t in thumbs]))


def change(first: Thumbnail, second: Thumbnail) -> float:
    """Return how unlike two frames are: about 0 to 0.6 inside a shot, 0.7 to 1.3 across a cut.

    The geometric mean of two measures, each blind to brightness, contrast and bars: the
    mean |difference| in place, and 1 - correlation at the best shift. What moves in front
    of a still camera changes the first, a camera that turns changes the first, but few
    things both. 0 when either frame is flat.
    """
    if first.is_flat or second.is_flat:
        return 0.0
    a, b = _normals(first, second)
    return sqrt(_in_place(a, b) * _SCALE * min(_shifted(a, b), _shifted(b, a)))


def dissimilarity_bound(first: Thumbnail, second: Thumbnail) -> float:
    """Return what `change` does not exceed, in a tenth of its time; inside shots hardly more.

    1 - correlation is least at the best shift, so it is no more than without any, where it is
    no more than the mean square of the difference, over twice the product of the spreads.
    """
    if first.is_flat or second.is_flat:
        return 0.0
    a, b = _normals(first, second)
    unlike = 2.0
    if min(a.spread, b.spread) > _FAINT:
        square = cv2.norm(a.middle, b.middle, cv2.NORM_L2SQR) / a.middle.size
        unlike = min(unlike, square / (2.0 * a.spread * b.spread))
    return sqrt(_in_place(a, b) * _SCALE * unlike) + _ROUNDING


def _normals(first: Thumbnail, second: Thumbnail) -> tuple[Normal, Normal]:
    area = picture_area((first, second))
    return first.normal(area), second.normal(area)


def _normal(picture: FloatPlane) -> Normal:
    mean, std = _mean_and_std(picture)
    whole = (picture - np.float32(mean)) * np.float32(1.0 / max(std, _MIN_SPREAD))
    height, width = whole.shape
    x, y = (min(most, side // 4) for most, side in zip(_SHIFT, (width, height)))
    middle = np.ascontiguousarray(whole[y : height - y, x : width - x])
    return Normal(whole, middle, _mean_and_std(middle)[1])


def _in_place(first: Normal, second: Normal) -> float:
    """Return the mean |difference| of two pictures."""
    return cv2.norm(first.whole, second.whole, cv2.NORM_L1) / first.whole.size


def _shifted(first: Normal, second: Normal) -> float:
    """Return 1 - correlation of the second's middle with the most like place of the first."""
    matches = cv2.matchTemplate(first.whole, second.middle, cv2.TM_CCOEFF_NORMED)
    return min(max(1.0 - cv2.minMaxLoc(matches)[1], 0.0), 2.0)


def _mean_and_std(picture: FloatPlane) -> tuple[float, float]:
    mean, std = cv2.meanStdDev(picture)
    return mean.item(), std.item()


# ---------------------------------------------------------------- areas


def _slices(area: Area) -> tuple[slice, slice]:
    top, bottom, left, right = area
    return slice(top, bottom), slice(left, right)


def _blurred(area: Area) -> Area:
    """Return the area of `Thumbnail.blurred` that shows an area of the picture."""
    top, bottom, left, right = area
    return top // _BLUR, -(-bottom // _BLUR), left // _BLUR, -(-right // _BLUR)


def _lit(sums: list[float], squares: list[float], length: int) -> tuple[int, int]:
    """Return the first line that gets bright, and the one after the last.

    Lines are of `length` pixels. Given are the sums of all pixels before each line, and the sums
    of their squares.
    """

    def is_lit(line: int) -> bool:
        mean = (sums[line + 1] - sums[line]) / length
        variance = (squares[line + 1] - squares[line]) / length - mean * mean
        return mean + 2.0 * sqrt(max(variance, 0.0)) > _DARK

    lines = range(len(sums) - 1)
    first = next(filter(is_lit, lines), len(lines))
    return first, 1 + next(filter(is_lit, reversed(lines)), -1)


@lru_cache(maxsize=256)
def _area_of_all(lit: frozenset[Area]) -> Area:
    tops, bottoms, lefts, rights = zip(*lit)
    width, height = _SIZE
    rows = _without_bars(min(tops), max(bottoms), height)
    return *rows, *_without_bars(min(lefts), max(rights), width)


def _without_bars(first: int, stop: int, length: int) -> tuple[int, int]:
    """Return the first line of the picture and the one after its last, of the lit ones."""
    after = length - stop
    if max(first, after) > int(length * _MAX_BAR):  # a dark picture, not bars
        return 0, length
    # a bar's soft edge belongs to it
    return first + (first > 0), stop - (after > 0)
