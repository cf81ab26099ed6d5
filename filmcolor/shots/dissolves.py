"""Detects dissolves: frames that are mixtures of an earlier and a later picture.

By least squares, every frame of a window is expressed as a mixture of the window's first and last
frame, 8, 12 or 16 frames before and after its middle. The ratio of the two parts does not depend on
exposure. The frame in the middle of a dissolve is marked. A window needs pure frames at both ends:
otherwise a long dissolve would count as several.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from filmcolor.shots.thumbnail import CenteredPicture, Thumbnail, common_picture_area
from filmcolor.types.frames import FloatPlane

Vector = NDArray[np.float32]
Number = TypeVar("Number", float, NDArray[Any])

HALF_WINDOWS = (8, 12, 16)  # frames on either side: dissolves of up to 12, 20 and 28 frames
_MIN_UNLIKE = 0.5  # 1 - correlation of the first and last picture
# of the two alone: bars that only they have in common may be wider than those of all
_MIN_UNLIKE_ENDS = 0.8 * _MIN_UNLIKE
_MAX_RESIDUAL = 0.65  # rms, relative to half the distance between first and last picture
_MAX_STEP = 0.4  # progress from the first to the last picture between two frames: less than a cut
_MIN_STEP = -0.2  # it goes back by grain and flicker only
_NUM_PURE = 4  # frames at either end that are not yet, or no longer, mixed
_MAX_IMPURE = 0.07  # mean share of the other picture in those
_MIN_TOTAL = 0.05  # of both pictures in a mixture; the remainder is something else
_ROUNDING = 0.01  # of the progress, between two ways to compute it
_MIN_INDEPENDENT = 0.001  # of 1 - correlation², for which that rounding holds


def dissolve_score(thumbnails: Sequence[Thumbnail]) -> float:
    """Return the score of a dissolve with its middle right before the window's middle frame.

    0 means none. `thumbnails`: 2 N + 1 consecutive frames, N one of HALF_WINDOWS.
    """
    first, middle, last = thumbnails[0], len(thumbnails) // 2, thumbnails[-1]
    if first.is_flat or last.is_flat or thumbnails[middle].is_flat:
        return 0.0
    if not _are_unlike(first, last):  # the usual case, and quickly tested
        return 0.0
    area = common_picture_area(thumbnails)
    if not may_be_midpoint(*(thumbnails[n].centered(area) for n in (0, middle - 1, middle, -1))):
        return 0.0
    pixels = np.stack([t.centered(area).pixels for t in thumbnails])
    return _score(pixels @ pixels.T, middle)


def _are_unlike(first: Thumbnail, last: Thumbnail) -> bool:
    area = common_picture_area((first, last))
    a, b = first.centered(area), last.centered(area)
    return _product(a, b) <= (1.0 - _MIN_UNLIKE_ENDS) * sqrt(a.square * b.square)


def may_be_midpoint(
    first: CenteredPicture, before: CenteredPicture, after: CenteredPicture, last: CenteredPicture
) -> bool:
    """Return whether a dissolve's middle may be between two frames, `before` and `after`.

    False is certain; True is for `_score` to decide.
    """
    aa, bb, ab = first.square, last.square, _product(first, last)
    if aa * bb - ab * ab < _MIN_INDEPENDENT * aa * bb:  # a picture and its negative
        return True
    progress = []
    for picture in (before, after):
        a, b = _mixture((aa, bb, ab), _product(first, picture), _product(picture, last))
        progress.append(b / max(a + b, _MIN_TOTAL))
    return (
        progress[0] < 0.5 + _ROUNDING
        and progress[1] > 0.5 - _ROUNDING
        and progress[1] - progress[0] < _MAX_STEP + _ROUNDING
    )


def _product(first: CenteredPicture, second: CenteredPicture) -> float:
    return float(np.dot(first.pixels, second.pixels))


def _score(products: FloatPlane, middle: int) -> float:
    """Return the score from the products of all centered pictures with each other."""
    aa, bb, ab = (float(products[i, j]) for i, j in ((0, 0), (-1, -1), (0, -1)))
    unlike = 1.0 - ab / np.sqrt(aa * bb)
    if unlike < _MIN_UNLIKE:
        return 0.0
    progress, residual = _progress_and_residual(products)
    steps = np.diff(progress)
    is_dissolve = (
        progress[middle - 1] < 0.5 <= progress[middle]
        and steps.max() < _MAX_STEP
        and steps.min() > _MIN_STEP
        and progress[1 : _NUM_PURE + 1].mean() < _MAX_IMPURE
        and progress[-_NUM_PURE - 1 : -1].mean() > 1.0 - _MAX_IMPURE
    )
    is_mixed = (progress > 0.1) & (progress < 0.9)
    if not is_dissolve or not is_mixed.any():
        return 0.0
    return max(0.0, 1.0 - float(residual[is_mixed].mean()) / _MAX_RESIDUAL)


def _progress_and_residual(products: FloatPlane) -> tuple[Vector, Vector]:
    """Return each picture's progress from the first (0) to the last (1), and its residual.

    For p = a first + b last, progress is b / (a + b), which does not depend on exposure. The
    residual is rms, relative to half the distance between first and last.
    """
    aa, bb, ab = products[0, 0], products[-1, -1], products[0, -1]
    to_first, to_last = products[0], products[-1]
    a, b = _mixture((aa, bb, ab), to_first, to_last)
    total = np.maximum(a + b, _MIN_TOTAL)
    residual = np.diag(products) - a * to_first - b * to_last
    distance = np.maximum(aa + bb - 2.0 * ab, 1e-12)
    return b / total, np.sqrt(np.maximum(residual, 0.0) / distance) * 2.0 / total


def _mixture(
    products: tuple[float, float, float], to_first: Number, to_last: Number
) -> tuple[Number, Number]:
    """Return a and b of p = a first + b last, by least squares.

    `products`: first with itself, last with itself, and first with last; `to_first` and `to_last`:
    p with either.
    """
    aa, bb, ab = products
    determinant = max(float(aa * bb - ab * ab), 1e-12)
    a = (bb * to_first - ab * to_last) / determinant
    b = (aa * to_last - ab * to_first) / determinant
    return a, b
