"""Dissolves: frames which are mixtures of a picture before them and one after them."""

import numpy as np
from numpy.typing import NDArray

from filmcolor.frames import FloatPlane
from filmcolor.thumbs import Thumb, blurred_area, picture_area

Vector = NDArray[np.float32]

REACHES = (8, 12, 16)  # frames on either side: dissolves of up to 12, 20 and 28 frames
_MIN_UNLIKE = 0.5  # 1 - correlation of the pictures before and after
_LEAST_UNLIKE = 0.8 * _MIN_UNLIKE  # of the two alone, whose bars may be wider than all have
_MAX_RESIDUAL = 0.65  # rms, of half the distance between the pictures before and after
_MAX_STEP = 0.4  # of the way from one picture to the other between two frames: less than a cut
_MAX_BACK = -0.2  # it goes back by grain and flicker only
_EDGE = 4  # frames at either end that are not yet, or no longer, mixed
_MAX_MIXED = 0.07  # how much of the other picture is in those, on average


def dissolve_score(thumbs: list[Thumb]) -> float:
    """Return how surely a dissolve has its middle right before the middle one of thumbs.

    0 means none is there. The thumbs are those of 2 REACH + 1 frames in a row.
    """
    reach = len(thumbs) // 2
    if thumbs[0].is_flat or thumbs[-1].is_flat or thumbs[reach].is_flat:
        return 0.0
    ends = _centred([thumbs[0], thumbs[-1]])  # most often they are alike, and soon told
    aa, bb, ab = (float(np.dot(*pair)) for pair in (ends[[0, 0]], ends[[1, 1]], ends))
    if ab > (1.0 - _LEAST_UNLIKE) * np.sqrt(aa * bb):
        return 0.0
    pictures = _centred(thumbs)
    return _score(pictures @ pictures.T, reach)


def _centred(thumbs: list[Thumb]) -> FloatPlane:
    """Return their pictures (N, pixels) without the bars that all have, less their means."""
    area = blurred_area(picture_area(thumbs))
    pictures: FloatPlane = np.stack([t.blurred[area].ravel() for t in thumbs])
    pictures -= pictures.mean(axis=1, keepdims=True)
    return pictures


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

    Least squares of p = a first + b last: b / (a + b) is the same under any exposure.
    What is left is rms, of half the distance between first and last.
    """
    aa, bb, ab = products[0, 0], products[-1, -1], products[0, -1]
    to_first, to_last = products[0], products[-1]
    determinant = max(float(aa * bb - ab * ab), 1e-12)
    a = (bb * to_first - ab * to_last) / determinant
    b = (aa * to_last - ab * to_first) / determinant
    total = np.maximum(a + b, 0.05)
    left = np.diag(products) - a * to_first - b * to_last
    apart = np.maximum(aa + bb - 2.0 * ab, 1e-12)
    return b / total, np.sqrt(np.maximum(left, 0.0) / apart) * 2.0 / total
