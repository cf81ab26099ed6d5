"""Surfaces: one object, one colour. The pixels of a surface vote before their colours are decoded.

The network predicts a distribution over bins for each pixel by itself, so that the parts of one
coat become navy, brown and mauve. Here the logarithms of the distributions are averaged over the
segments of the picture, which all pixels of a segment must agree on: it chooses one colour where a
mean of colours would be mud. Segments of several scales soften each other's mistakes, and a pixel
whose own distribution is sure (of low entropy) keeps its colour.

Segments come from luma and from the decoder's features, so that skin and cloth of equal luma are
not joined (graph-based segmentation: Felzenszwalb & Huttenlocher 2004). Figures: `train/LOG.md`.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmcolor.kernels import ops
from filmcolor.types.frames import FloatPlane

SURFACES = 1.0  # strength, by default

# chosen on photographs and old films: figures in train/LOG.md
_SHARE = 0.9  # of the vote at full strength, against the pixel's own distribution
_SURE, _STEEPNESS = 3.0, 2.0  # nats of entropy at which the share is half of that; its slope
_SOFTENING = 0.15  # of distributions at full strength: a vote of many pixels is too sure
_SCALES = 80.0, 240.0, 720.0  # luma of 255: a segment of n pixels may differ by scale / n
_MIN_SIZE = 20  # pixels of a segment
_FEATURE_SCALE = 60.0  # luma of 255 that count as much as a distance of 1 between features
_RESOLUTION = 64.0  # steps of an edge's weight per unit of luma


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
    ab = np.empty((num, height * width, 2), np.float32)
    for index in range(num):
        rows = logits[index].permute(1, 2, 0).reshape(height * width, -1).float()
        if strength == 0.0:
            ab[index] = rows.softmax(dim=1).cpu().numpy() @ points
            continue
        rows = rows / (1.0 + _SOFTENING * strength)
        small = cv2.resize(luma[index], (width, height), interpolation=cv2.INTER_AREA)
        maps = torch.nn.functional.normalize(features[index].float(), dim=0)
        weights = _edge_weights(small, maps.permute(1, 2, 0).cpu().numpy())
        labels = np.stack(list(_segments(weights)))
        params = _SHARE * strength, _SURE, _STEEPNESS
        ab[index] = ops.vote(rows.cpu().numpy(), labels, points.T, params)
    return ab.reshape(num, height, width, 2)


def _segments(weights: NDArray[np.uint16]) -> Iterator[NDArray[np.int32]]:
    """Yield the segment (h · w,) of each pixel by scale, numbered over all scales."""
    first = 0
    for scale in _SCALES:
        labels = ops.segment(weights, scale * _RESOLUTION, _MIN_SIZE).ravel() + first
        first = int(labels.max()) + 1
        yield labels


def _edge_weights(luma: FloatPlane, features: FloatPlane) -> NDArray[np.uint16]:
    """Return the weights (h, w, 4) of the edges right, down-left, down and down-right.

    `luma`: (h, w) in 0..1; `features`: (h, w, C) of length 1.
    """
    values = np.dstack([luma * np.float32(255.0), features * np.float32(_FEATURE_SCALE)])
    height, width = luma.shape
    weights = np.zeros((height, width, 4), np.float32)
    for direction, (down, right) in enumerate(((0, 1), (1, -1), (1, 0), (1, 1))):
        left, stop = max(0, -right), width - max(0, right)
        here = values[: height - down, left:stop]
        there = values[down:, left + right : stop + right]
        difference = here - there
        distance = np.sqrt(np.einsum("hwc,hwc->hw", difference, difference))
        weights[: height - down, left:stop, direction] = distance
    coded: NDArray[np.uint16] = (weights * _RESOLUTION).clip(0, 65535).astype(np.uint16)
    return coded
