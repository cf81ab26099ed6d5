"""Propagates strokes of colour to the edges of the objects they are on.

A random walk in luma: a step is the more likely the more similar two samples are, and the walk
ends with some probability at each step. The chance that it reaches a stroke before it ends is the
confidence that a sample belongs to that stroke's object; the mean colour that it reaches is the
sample's colour. The affinities are those of Levin et al. 2004, "Colorization using optimization";
walks that end on strokes are Grady's of 2006, "Random walks for image segmentation". Unlike
Levin's, the one sparse system gives colours and confidence: 0.1 s at 128×176. Edges that are soft
over several samples leak; another stroke on the other side stops that.
"""

import cv2
import numpy as np
from scipy.sparse import diags
from scipy.sparse.linalg import splu

from filmcolor.types.frames import FloatPlane, Gray

_STROKE_WEIGHT = 100.0  # of a stroke's own colour, relative to a step to a similar sample
_REACH = 1.0  # short sides that a walk goes in even luma before it ends
_SIGMA = 2.5  # codes of luma: samples that differ by much more are another object
_NOISE = 1.25  # sigma is at least this many median steps of luma: grain is no edge
_MIN_AFFINITY = 1e-7
_MIN_CHANCE, _FULL_CHANCE = 0.2, 0.7  # between which coverage rises from 0 to 1


def propagate(ab: FloatPlane, coverage: FloatPlane, guide: Gray) -> tuple[FloatPlane, FloatPlane]:
    """Return ab (h, w, 2) and coverage (h, w) of strokes propagated along luma (h, w).

    Objects without a stroke stay uncovered; between two strokes in even luma their colours blend.
    A grey stroke propagates like any other: its object has no colour.
    """
    height, width = guide.shape
    smooth = cv2.medianBlur(guide, 3).astype(np.float64)
    down, across = np.diff(smooth, axis=0), np.diff(smooth, axis=1)
    noise = float(np.median(np.abs(np.concatenate([down.ravel(), across.ravel()]))))
    sigma = max(_SIGMA, _NOISE * noise)
    # affinities to the sample below and to the one on the right; none across the border
    below = np.zeros((height, width))
    below[:-1] = np.exp(-0.5 * (down / sigma) ** 2) + _MIN_AFFINITY
    right = np.zeros((height, width))
    right[:, :-1] = np.exp(-0.5 * (across / sigma) ** 2) + _MIN_AFFINITY
    degree = below.copy()
    degree[1:] += below[:-1]
    degree += right
    degree[:, 1:] += right[:, :-1]
    stroke = _STROKE_WEIGHT * coverage.astype(np.float64)
    ending = 1.0 / (_REACH * min(height, width)) ** 2
    to_right, to_below = right.ravel()[:-1], below.ravel()[:-width]
    system = diags(
        [(degree + stroke + ending).ravel(), -to_right, -to_right, -to_below, -to_below],
        [0, 1, -1, width, -width],
        format="csc",
    )
    sources = np.stack([stroke, stroke * ab[..., 0], stroke * ab[..., 1]], axis=-1).reshape(-1, 3)
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    chance, a, b = solver.solve(sources).T.reshape(3, height, width)
    divisor = np.maximum(chance, 1e-9)
    share = ((chance - _MIN_CHANCE) / (_FULL_CHANCE - _MIN_CHANCE)).clip(0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    colors = np.where(share[..., None] > 0.0, np.dstack([a / divisor, b / divisor]), 0.0)
    return colors.astype(np.float32), share.astype(np.float32)
