"""Dissolves: frames which are mixtures of a picture before them and one after them."""

from collections.abc import Sequence
from math import sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from filmcolor.shots.thumbnail import Centred, Thumbnail, picture_area
from filmcolor.types.frames import FloatPlane

Vector = NDArray[np.float32]
Number = TypeVar("Number", float, NDArray[Any])

HALF_WINDOWS = (8, 12, 16)  # frames on either side: dissolves of up to 12, 20 and 28 frames
_MIN_UNLIKE = 0.5  # 1 - correlation of the pictures before and after
_LEAST_UNLIKE = 0.8 * _MIN_UNLIKE  # of the two alone, whose bars may be wider than all have
_MAX_RESIDUAL = 0.65  # rms, of half the distance between the pictures before and after
_MAX_STEP = 0.4  # of the way from one picture to the other between two frames: less than a cut
_MAX_BACK = -0.2  # it goes back by grain and flicker only
_EDGE = 4  # frames at either end that are not yet, or no longer, mixed
_MAX_MIXED = 0.07  # how much of the other picture is in those, on average
_MIN_TOTAL = 0.05  # of both pictures in a mixture: the rest of it is something else
_ROUNDING = 0.01  # of the way, at most, by which two ways to compute a mixture differ
_MIN_APART = 0.001  # of 1 - correlation², for that to be so


def dissolve_score(thumbs: Sequence[Thumbnail]) -> float:
    """Return how surely a dissolve has its middle right before the middle one of thumbs.

    0 means none is there. The thumbs are those of 2 REACH + 1 frames in a row.
    """
    first, middle, last = thumbs[0], len(thumbs) // 2, thumbs[-1]
    if first.is_flat or last.is_flat or thumbs[middle].is_flat:
        return 0.0
    if not _are_unlike(first, last):  # so it is most often, and soon told
        return 0.0
    area = picture_area(thumbs)
    if not may_be_midpoint(*(thumbs[n].centred(area) for n in (0, middle - 1, middle, -1))):
        return 0.0
    pixels = np.stack([t.centred(area).pixels for t in thumbs])
    return _score(pixels @ pixels.T, middle)


def _are_unlike(first: Thumbnail, last: Thumbnail) -> bool:
    area = picture_area((first, last))
    a, b = first.centred(area), last.centred(area)
    return _product(a, b) <= (1.0 - _LEAST_UNLIKE) * sqrt(a.square * b.square)


def may_be_midpoint(first: Centred, before: Centred, after: Centred, last: Centred) -> bool:
    """Tell whether the middle of a dissolve may be between the two pictures in the middle.

    False is certain, True is for `_score` to judge.
    """
    aa, bb, ab = first.square, last.square, _product(first, last)
    if aa * bb - ab * ab < _MIN_APART * aa * bb:  # a picture and its negative
        return True
    mix = []
    for picture in (before, after):
        a, b = _parts((aa, bb, ab), _product(first, picture), _product(picture, last))
        mix.append(b / max(a + b, _MIN_TOTAL))
    return (
        mix[0] < 0.5 + _ROUNDING
        and mix[1] > 0.5 - _ROUNDING
        and mix[1] - mix[0] < _MAX_STEP + _ROUNDING
    )


def _product(first: Centred, second: Centred) -> float:
    return float(np.dot(first.pixels, second.pixels))


def _score(products: FloatPlane, reach: int) -> float:
    """Return the score from the products of all centred pictures with each other."""
    aa, bb, ab = (float(products[i, j]) for i, j in ((0, 0), (-1, -1), (0, -1)))
    unlike = 1.0 - ab / np.sqrt(aa * bb)
    if unlike < _MIN_UNLIKE:
        return 0.0
    mix, residual = _mixed(products)
    steps = np.diff(mix)
    is_one = (
        mix[reach - 1] < 0.5 <= mix[reach]
        and steps.max() < _MAX_STEP
        and steps.min() > _MAX_BACK
        and mix[1 : _EDGE + 1].mean() < _MAX_MIXED
        and mix[-_EDGE - 1 : -1].mean() > 1.0 - _MAX_MIXED
    )
    is_mixed = (mix > 0.1) & (mix < 0.9)
    if not is_one or not is_mixed.any():
        return 0.0
    return max(0.0, 1.0 - float(residual[is_mixed].mean()) / _MAX_RESIDUAL)


def _mixed(products: FloatPlane) -> tuple[Vector, Vector]:
    """Return how far each picture is from the first (0) to the last (1), and what is left.

    Of p = a first + b last, b / (a + b) is the same under any exposure.
    What is left is rms, of half the distance between first and last.
    """
    aa, bb, ab = products[0, 0], products[-1, -1], products[0, -1]
    to_first, to_last = products[0], products[-1]
    a, b = _parts((aa, bb, ab), to_first, to_last)
    total = np.maximum(a + b, _MIN_TOTAL)
    left = np.diag(products) - a * to_first - b * to_last
    apart = np.maximum(aa + bb - 2.0 * ab, 1e-12)
    return b / total, np.sqrt(np.maximum(left, 0.0) / apart) * 2.0 / total


def _parts(
    products: tuple[float, float, float], to_first: Number, to_last: Number
) -> tuple[Number, Number]:
    """Return a and b of p = a first + b last, by least squares.

    Given are the products of both ends with themselves and each other, and of p with both.
    """
    aa, bb, ab = products
    determinant = max(float(aa * bb - ab * ab), 1e-12)
    a = (bb * to_first - ab * to_last) / determinant
    b = (aa * to_last - ab * to_first) / determinant
    return a, b
