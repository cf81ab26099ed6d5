"""Thumbnails of frames for shot detection, and the dissimilarity of two frames.

A thumbnail has 48×36 pixels. Two are compared without the black bars that both have, normalized in
brightness and contrast. Their dissimilarity is the geometric mean of two measures, one in place and
one at the best shift: pans and moving objects raise one of them, a cut raises both. Shifts wider
than 5×4 pixels would make soft pictures of all scenes alike.
"""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from math import sqrt
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor.types.frames import FloatPlane, Gray

Area = tuple[int, int, int, int]  # of a thumbnail: first row and stop, first column and stop

_SIZE = (48, 36)  # (width, height): so small that grain and gate weave average out
_BLUR = 4  # dissolves are judged on pictures smaller by this factor, for the camera may move
_MAX_SHIFT = (5, 4)  # (x, y) thumbnail pixels that the camera may move between two frames
_MIN_CONTRAST = 0.012  # of luma in 0..1: less is noise, not a picture
_MIN_SPREAD = 0.03  # lower bound of the normalization: a nearly black picture is mostly noise
_DARK = 0.094  # luma in 0..1 below which a line of a black bar stays, noise included
_MAX_BAR = 0.35  # of the height or width, at each side
_SCALE = 2.2  # makes both measures of a hard cut equally large
_ROUNDING = 0.001  # how far a dissimilarity may exceed its bound, as both are rounded
_FAINT = 0.05  # spread of the center, relative to the whole's: below it rounding decides


class NormalizedPicture(NamedTuple):
    """A picture without bars, normalized in brightness and contrast."""

    whole: FloatPlane  # mean subtracted, divided by its spread
    center: FloatPlane  # without a border of _MAX_SHIFT: it is searched for in another `whole`
    spread: float  # of the center


class CenteredPicture(NamedTuple):
    """A blurred picture without bars, with its mean subtracted."""

    pixels: FloatPlane  # (N,)
    square: float  # sum of squares


class Thumbnail:
    """A frame at 48×36 in 0..1, with what is derived from it cached."""

    def __init__(self, guide: Gray) -> None:
        resized = cv2.resize(guide, _SIZE, interpolation=cv2.INTER_AREA)
        self.picture: FloatPlane = resized * np.float32(1.0 / 255.0)
        self._normalized: dict[Area, NormalizedPicture] = {}
        self._centered: dict[Area, CenteredPicture] = {}

    @cached_property
    def contrast(self) -> float:
        """Standard deviation of coarse cells; noise, dust and scratches of leader hardly count."""
        clean = cv2.medianBlur(self.picture, 5)
        return _mean_and_std(cv2.resize(clean, (12, 9), interpolation=cv2.INTER_AREA))[1]

    @cached_property
    def is_flat(self) -> bool:
        """True without a picture: black, white or grey all over."""
        return self.contrast < _MIN_CONTRAST

    @cached_property
    def is_clear(self) -> bool:
        """True if there certainly is a picture."""
        return self.contrast > 3.0 * _MIN_CONTRAST

    @cached_property
    def picture_area(self) -> Area:
        """The area without dark lines at the sides; empty for a dark picture."""
        height, width = self.picture.shape
        sums, squares = cv2.integral2(self.picture)
        rows = _bright_span(sums[:, -1].tolist(), squares[:, -1].tolist(), width)
        return *rows, *_bright_span(sums[-1].tolist(), squares[-1].tolist(), height)

    @cached_property
    def blurred(self) -> FloatPlane:
        """The picture at (9, 12)."""
        return cv2.resize(
            self.picture, None, fx=1 / _BLUR, fy=1 / _BLUR, interpolation=cv2.INTER_AREA
        )

    def normalized(self, area: Area) -> NormalizedPicture:
        """Return an area of the picture as `dissimilarity` compares it; cached."""
        result = self._normalized.get(area)
        if result is None:
            result = self._normalized[area] = _normalize(self.picture[_slices(area)])
        return result

    def centered(self, area: Area) -> CenteredPicture:
        """Return an area of the picture as dissolves are judged on it; cached."""
        result = self._centered.get(area)
        if result is None:
            blurred = self.blurred[_slices(_blurred_area(area))]
            pixels = (blurred - np.float32(cv2.mean(blurred)[0])).ravel()
            result = self._centered[area] = CenteredPicture(pixels, float(np.dot(pixels, pixels)))
        return result


def common_picture_area(thumbnails: Iterable[Thumbnail]) -> Area:
    """Return the area without the black bars that all thumbnails have."""
    return _common_area(frozenset([t.picture_area for t in thumbnails]))


def dissimilarity(first: Thumbnail, second: Thumbnail) -> float:
    """Return how unlike two frames are: about 0 to 0.6 inside a shot, 0.7 to 1.3 across a cut.

    The geometric mean of the mean |difference| in place and of 1 - correlation at the best shift.
    Both ignore brightness, contrast and bars. Objects that move and a camera that turns raise the
    first, but little raises both. 0 if either frame is flat.
    """
    if first.is_flat or second.is_flat:
        return 0.0
    a, b = _normalized_pair(first, second)
    return sqrt(_in_place(a, b) * _SCALE * min(_best_shift(a, b), _best_shift(b, a)))


def dissimilarity_bound(first: Thumbnail, second: Thumbnail) -> float:
    """Return an upper bound of `dissimilarity` in a tenth of its time; inside shots a tight one.

    At the best shift, 1 - correlation is at most what it is without a shift, and that is at most
    the mean square of the difference over twice the product of the spreads.
    """
    if first.is_flat or second.is_flat:
        return 0.0
    a, b = _normalized_pair(first, second)
    uncorrelated = 2.0
    if min(a.spread, b.spread) > _FAINT:
        mean_square = cv2.norm(a.center, b.center, cv2.NORM_L2SQR) / a.center.size
        uncorrelated = min(uncorrelated, mean_square / (2.0 * a.spread * b.spread))
    return sqrt(_in_place(a, b) * _SCALE * uncorrelated) + _ROUNDING


def _normalized_pair(
    first: Thumbnail, second: Thumbnail
) -> tuple[NormalizedPicture, NormalizedPicture]:
    area = common_picture_area((first, second))
    return first.normalized(area), second.normalized(area)


def _normalize(picture: FloatPlane) -> NormalizedPicture:
    mean, std = _mean_and_std(picture)
    whole = (picture - np.float32(mean)) * np.float32(1.0 / max(std, _MIN_SPREAD))
    height, width = whole.shape
    x, y = (min(most, side // 4) for most, side in zip(_MAX_SHIFT, (width, height)))
    center = np.ascontiguousarray(whole[y : height - y, x : width - x])
    return NormalizedPicture(whole, center, _mean_and_std(center)[1])


def _in_place(first: NormalizedPicture, second: NormalizedPicture) -> float:
    """Return the mean |difference| of two pictures."""
    return cv2.norm(first.whole, second.whole, cv2.NORM_L1) / first.whole.size


def _best_shift(first: NormalizedPicture, second: NormalizedPicture) -> float:
    """Return 1 - correlation of the second's center with the best matching area of the first."""
    matches = cv2.matchTemplate(first.whole, second.center, cv2.TM_CCOEFF_NORMED)
    return min(max(1.0 - cv2.minMaxLoc(matches)[1], 0.0), 2.0)


def _mean_and_std(picture: FloatPlane) -> tuple[float, float]:
    mean, std = cv2.meanStdDev(picture)
    return mean.item(), std.item()


# ---------------------------------------------------------------- areas


def _slices(area: Area) -> tuple[slice, slice]:
    top, bottom, left, right = area
    return slice(top, bottom), slice(left, right)


def _blurred_area(area: Area) -> Area:
    """Return the area of `Thumbnail.blurred` that covers an area of the picture."""
    top, bottom, left, right = area
    return top // _BLUR, -(-bottom // _BLUR), left // _BLUR, -(-right // _BLUR)


def _bright_span(sums: list[float], squares: list[float], length: int) -> tuple[int, int]:
    """Return the first line that is bright, and the one after the last.

    Lines have `length` pixels. `sums` and `squares` are the sums of all pixels before each line,
    and of their squares.
    """

    def is_bright(line: int) -> bool:
        mean = (sums[line + 1] - sums[line]) / length
        variance = (squares[line + 1] - squares[line]) / length - mean * mean
        return mean + 2.0 * sqrt(max(variance, 0.0)) > _DARK

    lines = range(len(sums) - 1)
    first = next(filter(is_bright, lines), len(lines))
    return first, 1 + next(filter(is_bright, reversed(lines)), -1)


@lru_cache(maxsize=256)
def _common_area(areas: frozenset[Area]) -> Area:
    """Return the area without the bars that all pictures have, from their picture areas."""
    tops, bottoms, lefts, rights = zip(*areas)
    width, height = _SIZE
    rows = _without_bars(min(tops), max(bottoms), height)
    return *rows, *_without_bars(min(lefts), max(rights), width)


def _without_bars(first: int, stop: int, length: int) -> tuple[int, int]:
    """Return the first line of the picture and the one after its last, from the bright ones."""
    after = length - stop
    if max(first, after) > int(length * _MAX_BAR):  # a dark picture, not bars
        return 0, length
    # a bar's soft edge belongs to it
    return first + (first > 0), stop - (after > 0)
