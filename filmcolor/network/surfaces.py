"""Surfaces: one object, one colour. The pixels of a surface vote on it.

The network predicts a distribution over bins for each pixel by itself, so that the parts of one
coat become navy, brown and mauve. Here the logits are averaged over the segments of the picture: a
mean of log-probabilities chooses a colour that all pixels of a segment can agree on, where a mean
of colours would be mud. Such a vote mutes colours, so the segment's chroma becomes the mean of its
pixels' own.

A pixel follows its segments as far as its own distribution allows: less, the farther its mean is
from theirs in terms of its variance. So a face keeps its colour where a segment joins it to a
wall, and blue does not leak from the sky into a house. (A gate by entropy either let pixels of
2 to 2.5 nats, such as skies and skin, fade, or kept blotches.) Segmentations of several scales
soften each other's mistakes and do not flicker.

Segments come from luma and from the decoder's features, so that skin and cloth of equal luma are
not joined. Features of the encoder, distances of distributions and edges of luma at twice the
size did not help.

Chosen on every third picture of 235 that no training has seen; on all of them, off and on: ab RMSE
20.6 and 20.8 % below grey, at 75 % of the true chroma 19.8 and 20.3 %; spread of ab inside objects
at that chroma 3.81 and 2.23 (`benchmarks/surfaces.py`). On four films the warp error between
anchors falls by 7 to 44 %.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from filmcolor.kernels import ops
from filmcolor.types.frames import FloatPlane

SURFACES = 1.0  # strength, by default

SCALES = 60.0, 150.0, 400.0, 1000.0  # levels of luma: a segment of n pixels differs by scale / n
MIN_SIZE = 30  # pixels of a segment
SHORT_SIDE = 64  # pixels: of the pictures that both are for
LEAST_SIZE = 4  # pixels of a segment in smaller pictures
FEATURE_LEVELS = 60.0  # levels of luma that count as much as a distance of 1 between features
RESOLUTION = 64.0  # steps of an edge's weight per level of luma
TOLERANCE = 1.0  # with 2, small faces fade; with 0.5, blotches stay
MAX_GAIN = 2.0  # of a segment's chroma


def surface_ab(
    logits: Tensor, centers: Tensor, luma: FloatPlane, features: Tensor, strength: float
) -> FloatPlane:
    """Return ab (N, h, w, 2), CIELAB, after the pixels of each surface have voted.

    `logits`: (N, bins, h, w) over bins at `centers` (bins, 2). `luma`: (N, H, W) in 0..1.
    `features`: (N, C, h, w), alike inside a surface. `strength`: 0 gives the mean of each pixel's
    own distribution, 1 the full vote.
    """
    num, _, height, width = logits.shape
    points = centers.float().cpu().numpy()
    params = ops.VoteParams(strength, TOLERANCE, MAX_GAIN)
    ab = np.empty((num, height * width, 2), np.float32)
    for index in range(num):
        rows = logits[index].permute(1, 2, 0).reshape(height * width, -1).float()
        if strength == 0.0:
            ab[index] = rows.softmax(dim=1).cpu().numpy() @ points
            continue
        labels = _segments(luma[index], features[index]).reshape(len(SCALES), -1)
        ab[index] = ops.vote(rows.cpu().numpy(), labels, points.T, params)
    return ab.reshape(num, height, width, 2)


def segmented_values(luma: FloatPlane, features: Tensor) -> FloatPlane:
    """Return what pixels of a segment have in common (h, w, 1 + C): luma and features, in levels.

    `luma`: (H, W) in 0..1, denoised. `features`: (C, h, w).
    """
    num_channels, height, width = features.shape
    values = np.empty((height, width, 1 + num_channels), np.float32)
    levels = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    values[..., 0] = levels * np.float32(255.0)
    unit = FEATURE_LEVELS * functional.normalize(features.float(), dim=0)
    values[..., 1:] = unit.permute(1, 2, 0).cpu().numpy()
    return values


def _segments(luma: FloatPlane, features: Tensor) -> NDArray[np.int32]:
    """Return the segments (num_scales, h, w) of luma (H, W) in 0..1 and features (C, h, w)."""
    values = segmented_values(luma, features)
    height, width = values.shape[:2]
    enlargement = (min(height, width) / SHORT_SIDE) ** 2  # of areas
    return ops.segment(
        ops.edge_weights(values, RESOLUTION),
        np.array(SCALES, np.float32) * np.float32(RESOLUTION * enlargement),
        max(LEAST_SIZE, round(MIN_SIZE * enlargement)),
    )
