"""Finds what two pictures both show, by the network's features, and hands on its colours.

Each sample of a picture (8×8 pixels that the network sees) is compared with all samples of an
exemplar, which has colours. It is a *seed* where its nearest sample is closer than _STRONG (squared
distance of features), that one's nearest sample is itself or beside it, and most samples around it
are seeds too. From seeds the match grows over what is alike: connected samples closer than _ALIKE,
whose share fades from _FULL to _NONE. A connected region with few seeds is left out, so a face or a
coat is found in front of another background, and a grey sky does not pass for a grey wall.

Figures, with the true colours of sixteen clips (`benchmarks/likeness.py`, `train/LOG.md`): samples
of one clip are 1.1 apart in the median, those of two clips 2.5, and 1 in 100 is closer than 1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from filmcolor.types.frames import FloatPlane

Mask = NDArray[np.bool_]

_TEMPERATURE = 0.15  # squared distance of features at which a sample's weight has fallen to 37 %
_STRONG, _ALIKE = 1.2, 1.8  # squared distances of features
# the same: up to which colours apply in full, and at all. 1.4 and 1.8 come closer to true colours,
# but tint the wall beside a face
_FULL, _NONE = 1.0, 1.4
_SMOOTHING = 5  # samples over which distances are averaged, or a surface would become speckled
_MAX_DETOUR = 2.9  # samples between a sample and the one that its nearest sample is nearest to
_SEED_SUPPORT = 0.6  # of the 3×3 samples around a seed
_ALIKE_SUPPORT = 0.5  # of the 3×3 samples around one that a match grows over
_MIN_SEEDS, _MIN_SEED_SHARE = 4, 0.05  # of a connected region
_BLOCK = 128  # samples that are compared at a time, so that their distances stay in the cache
_MARGIN = 2  # samples at the edges: the network's padding makes those of all pictures alike
_MIN_COVERAGE = 0.5  # of a sample that counts as one with colours


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """What a picture has in common with an exemplar, at the size of its features.

    `ab` (h, w, 2): the exemplar's, CIELAB. `share` (h, w), 0 to 1: how far it applies. `distance`
    (h, w): squared, of features from the exemplar's nearest. `seed_share`: the share of the
    picture's samples that surely show the same, 0 to 1.
    """

    ab: FloatPlane
    share: FloatPlane
    distance: FloatPlane
    seed_share: float


def find_likeness(
    features: FloatPlane, others: FloatPlane, ab: FloatPlane, coverage: FloatPlane
) -> Likeness:
    """Return what a picture has in common with an exemplar.

    `features` (h, w, C): the picture's. `others` (k, l, C), `ab` (k, l, 2) and `coverage` (k, l), 0
    to 1: the exemplar's features, its colours, and where it has any.
    """
    height, width = features.shape[:2]
    values = np.dstack([ab, np.ones_like(coverage)]) * coverage[..., None]
    distances, nearest, detours, means = _compare(features, others, values)
    distance = distances.reshape(height, width)
    covered = means[:, 2].reshape(height, width)
    has_color = coverage.reshape(-1)[nearest] >= _MIN_COVERAGE
    is_sure = ((distances < _STRONG) & (detours <= _MAX_DETOUR) & has_color).reshape(height, width)
    is_sure &= _is_inner(height, width)
    seeds = _blur(is_sure) > _SEED_SUPPORT
    region = _grow(seeds, (_blur(distance < _ALIKE) > _ALIKE_SUPPORT) | seeds)
    smooth = _blur(distance, _SMOOTHING)
    share = ((_NONE - smooth) / (_NONE - _FULL)).clip(0.0, 1.0) * covered * region
    mean_ab = means[:, :2].reshape(height, width, 2)
    mean_ab /= np.maximum(means[:, 2:], 1e-6).reshape(height, width, 1)
    return Likeness(mean_ab, share, distance, float((seeds & region).mean()))


def mean_likeness(found: Sequence[Likeness]) -> tuple[FloatPlane, FloatPlane]:
    """Return the ab (h, w, 2) and share (h, w) of several: of each sample the nearest's."""
    least = np.min([likeness.distance for likeness in found], axis=0)
    total, share = np.zeros_like(found[0].ab), np.zeros_like(least)
    weights = np.full_like(least, 1e-9)
    for likeness in found:
        weight = likeness.share * np.exp((least - likeness.distance) / _TEMPERATURE)
        total += likeness.ab * weight[..., None]
        weights += weight
        np.maximum(share, likeness.share, out=share)
    ab: FloatPlane = total / weights[..., None]
    return ab, share


def _compare(
    features: FloatPlane, others: FloatPlane, values: FloatPlane
) -> tuple[FloatPlane, NDArray[np.int64], FloatPlane, FloatPlane]:
    """Return of each sample the squared distance and index of its nearest, detour, mean values.

    The detour is the distance, in samples, to the sample that its nearest one is nearest to. The
    mean values weight all samples by their closeness.
    """
    rows, other_rows = _rows(features), _rows(others)
    squares, other_squares = ((r * r).sum(dim=1) for r in (rows, other_rows))
    payload = torch.from_numpy(values.reshape(-1, 3).astype(np.float32))
    least_of_others = torch.full((len(other_rows),), torch.inf)
    back = torch.zeros(len(other_rows), dtype=torch.long)
    found, means = [], []
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        squared = torch.addmm(other_squares, part, other_rows.T, alpha=-2.0)
        squared += squares[start : start + _BLOCK, None]  # (P, M)
        least, index = squared.min(dim=0)
        is_closer = least < least_of_others
        least_of_others[is_closer], back[is_closer] = least[is_closer], index[is_closer] + start
        found.append(squared.min(dim=1))
        means.append(_mean_values(squared, found[-1][0], payload))
    distances, nearest = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    detour_ends, width, own = back.numpy()[nearest], features.shape[1], np.arange(len(rows))
    detours = np.hypot(
        own // width - detour_ends // width, own % width - detour_ends % width
    ).astype(np.float32)
    return distances, nearest, detours, torch.cat(means).numpy()


def _mean_values(squared: torch.Tensor, least: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return means (N, 3) of values (M, 3) by closeness, where the least distance is alike."""
    means = torch.zeros(len(squared), values.shape[1])
    is_alike = least < _ALIKE
    weights = squared[is_alike].sub_(least[is_alike, None]).mul_(-1.0 / _TEMPERATURE).exp_()
    means[is_alike] = (weights @ values) / weights.sum(dim=1, keepdim=True)
    return means


def _grow(seeds: Mask, alike: Mask) -> Mask:
    """Return the connected regions of what is alike that hold enough seeds."""
    num, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    num_seeds = np.bincount(labels[seeds], minlength=num)
    num_samples = np.bincount(labels.reshape(-1), minlength=num)
    is_kept = (num_seeds >= _MIN_SEEDS) & (num_seeds >= _MIN_SEED_SHARE * num_samples)
    is_kept[0] = False
    region: Mask = is_kept[labels]
    return region


def _is_inner(height: int, width: int) -> Mask:
    """Return where samples (h, w) are far enough from the edges to be seeds."""
    inner = np.zeros((height, width), bool)
    inner[_MARGIN : height - _MARGIN, _MARGIN : width - _MARGIN] = True
    return inner


def _blur(values: FloatPlane | Mask, size: int = 3) -> FloatPlane:
    """Return the means of the samples around each, `size` in both directions."""
    blurred: FloatPlane = cv2.blur(
        values.astype(np.float32), (size, size), borderType=cv2.BORDER_REFLECT
    )
    return blurred


def _rows(features: FloatPlane) -> torch.Tensor:
    """Return features (h, w, C) as rows (N, C)."""
    return torch.from_numpy(np.ascontiguousarray(features, np.float32)).flatten(0, 1)
