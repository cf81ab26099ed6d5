"""Strokes of colour spread to the edges of what they are on.

A random walk in luma: the walker takes a step the more easily the more alike the two samples
are, and tires. The chance that it meets a stroke before it tires is how surely a sample is of
that stroke's thing; the mean colour that it meets is the sample's colour. Affinities are those
of Levin et al. 2004, "Colorization using optimization"; walks that end on strokes are Grady's
of 2006, "Random walks for image segmentation". One sparse system has all walks in it.
"""

import cv2
import numpy as np
from scipy.sparse import diags
from scipy.sparse.linalg import splu

from filmcolor.frames import FloatPlane, Gray

_HOLD = 100.0  # how strongly a stroke keeps its own colour, against a step to a like sample
_REACH = 1.0  # short sides that a walk goes in even luma until it tires
_SIGMA = 2.5  # codes of luma: what differs by much more is something else
_NOISE = 1.25  # times the median step of luma that sigma is at least: grain is no edge
_LEAST_STEP = 1e-7
_DOUBTFUL, _SURE = 0.2, 0.7  # chances between which coverage rises from 0 to 1


def spread(ab: FloatPlane, coverage: FloatPlane, guide: Gray) -> tuple[FloatPlane, FloatPlane]:
    """Return ab (h, w, 2) and coverage (h, w) of strokes spread along luma (h, w).

    Things that have no stroke stay uncovered; between two strokes in even luma colours
    blend. A grey stroke spreads like any other: what it is on has no colour.
    """
    height, width = guide.shape
    clean = cv2.medianBlur(guide, 3).astype(np.float64)
    down, across = np.diff(clean, axis=0), np.diff(clean, axis=1)
    noise = float(np.median(np.abs(np.concatenate([down.ravel(), across.ravel()]))))
    sigma = max(_SIGMA, _NOISE * noise)
    # steps to the sample below and to the one on the right, flat; none out of the picture
    below = np.zeros((height, width))
    below[:-1] = np.exp(-0.5 * (down / sigma) ** 2) + _LEAST_STEP
    right = np.zeros((height, width))
    right[:, :-1] = np.exp(-0.5 * (across / sigma) ** 2) + _LEAST_STEP
    steps = below.copy()
    steps[1:] += below[:-1]
    steps += right
    steps[:, 1:] += right[:, :-1]
    held = _HOLD * coverage.astype(np.float64)
    tiring = 1.0 / (_REACH * min(height, width)) ** 2
    first, far = right.ravel()[:-1], below.ravel()[:-width]
    system = diags(
        [(steps + held + tiring).ravel(), -first, -first, -far, -far],
        [0, 1, -1, width, -width],
        format="csc",
    )
    given = np.stack([held, held * ab[..., 0], held * ab[..., 1]], axis=-1).reshape(-1, 3)
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    chance, a, b = solver.solve(given).T.reshape(3, height, width)
    safe = np.maximum(chance, 1e-9)
    sure = ((chance - _DOUBTFUL) / (_SURE - _DOUBTFUL)).clip(0.0, 1.0)
    sure = sure * sure * (3.0 - 2.0 * sure)
    colors = np.where(sure[..., None] > 0.0, np.dstack([a / safe, b / safe]), 0.0)
    return colors.astype(np.float32), sure.astype(np.float32)
