"""The per-frame hot loops: compiled C where the extension was built, else NumPy and OpenCV.

Only this module chooses between the two. Both give the same results but for rounding, the compiled
ones in a half to a tenth of the time, segments in a hundredth. The extension is optional,
because filmcolor must install without a compiler. Plain C rather than Numba (a second of start-up
and a compiler in every install) or Cython (a build step for every checkout).

Luma is 0 to 255, Cb and Cr are -0.5 to 0.5, ab is in CIELAB units, flows are in pixels. The
compiled functions raise ValueError for arrays whose sizes do not match.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmcolor.kernels import fallback
from filmcolor.kernels.fallback import (
    NUM_PLANES,
    TILE,
    ChromaCoding,
    FlowParams,
    UpsampleParams,
    VoteParams,
    WarpSource,
    warp,
)

__all__ = [
    "NUM_PLANES",
    "TILE",
    "ChromaCoding",
    "FlowParams",
    "UpsampleParams",
    "VoteParams",
    "WarpSource",
    "accumulate_warped",
    "blend_warped",
    "choose_colors",
    "compose",
    "edge_weights",
    "is_compiled",
    "look_up_chroma",
    "max_pool",
    "segment",
    "tracked_flows",
    "two_colors",
    "vote",
    "warp",
    "warp_weight",
]

Floats = NDArray[np.float32]

_compiled: Any = None
with suppress(ImportError):  # there was no compiler at installation
    _compiled = import_module("filmcolor.kernels._compiled")


def is_compiled() -> bool:
    """Return whether the compiled loops are in use."""
    return _compiled is not None


def two_colors(guide: NDArray[np.uint8], low: Any, params: UpsampleParams) -> Floats:
    """Return planes (7, h, w): middle, gain, center and difference of (Cb, Cr), flatness.

    `guide`: luma (h, w); `low`: Cb and Cr, (h, w) each. See `color.upsampling`.
    """
    if _compiled is None:
        return fallback.two_colors(guide, low, params)
    planes = np.empty((NUM_PLANES, *guide.shape), np.float32)
    cb, cr = map(np.ascontiguousarray, low)
    _compiled.two_colors(np.ascontiguousarray(guide), cb, cr, planes, guide.shape, params)
    return planes


def look_up_chroma(
    codes: NDArray[np.uint8], ab: Floats, table: NDArray[np.int16], step: float, unit: float
) -> tuple[Floats, Floats]:
    """Return Cb and Cr (h, w) of luma codes (h, w) and ab (h, w, 2), interpolated in a table.

    `table`: (256, N, N, 2) by luma, b and a: Cb and Cr in multiples of `unit`. Its middle is
    neutral; `step` is the distance in ab between neighbours. ab beyond the table is clipped.
    """
    if _compiled is None:
        return fallback.look_up_chroma(codes, ab, table, step, unit)
    cb, cr = (np.empty(codes.shape, np.float32) for _ in range(2))
    codes, ab = np.ascontiguousarray(codes), np.ascontiguousarray(ab)
    sizes = codes.size, table.shape[1]
    _compiled.look_up_chroma(codes, ab, table, cb, cr, *sizes, 1.0 / step, unit)
    return cb, cr


def choose_colors(
    luma: NDArray[Any], guide: Floats, planes: Floats, noise: Floats, coding: ChromaCoding
) -> NDArray[Any]:
    """Return coded Cb and Cr (2, H, W), of the dtype of luma.

    `luma`: code values at the chroma samples (H, W); `guide`: the same, denoised; `planes`: from
    `two_colors`; `noise`: (2, TILE, TILE), dither in code values.
    """
    if _compiled is None:
        return fallback.choose_colors(luma, guide, planes, noise, coding)
    coded = np.empty((2, *luma.shape), luma.dtype)
    sizes = luma.shape, planes.shape[1:], luma.itemsize
    luma, guide = np.ascontiguousarray(luma), np.ascontiguousarray(guide)
    _compiled.choose_colors(luma, guide, planes, noise, coded, *sizes, coding)
    return coded


def compose(first: Floats, second: Floats) -> Floats:
    """Return the tracked flow A → C of the tracked flows A → B and B → C, (H, W, 4) each."""
    if _compiled is None:
        return fallback.compose(first, second)
    composed = np.empty_like(first)
    _compiled.compose(first, second, composed, first.shape[:2])
    return composed


def tracked_flows(flow: Floats, num_inversions: int, params: FlowParams) -> tuple[Floats, Floats]:
    """Return the tracked flow (H, W, 4) of a flow (H, W, 2), and its inverse.

    `num_inversions`: fixed-point iterations that invert the flow.
    """
    if _compiled is None:
        return fallback.tracked_flows(flow, num_inversions, params)
    size = flow.shape[:2]
    forward, backward = (np.empty((*size, 4), np.float32) for _ in range(2))
    flow = np.ascontiguousarray(flow)
    _compiled.tracked_flows(flow, forward, backward, size, num_inversions, params)
    return forward, backward


def warp_weight(
    source: NDArray[np.uint8],
    flow: Floats,
    luma: NDArray[np.uint8],
    per_square: float,
    stride: int,
) -> Floats:
    """Return the weight, 0 to 1 (H, W), of what a tracked flow (H, W, 4) warps from `source`.

    It is exp(per_square * difference² - uncertainty); the difference is that of luma less its mean
    over the picture, which is a change of exposure. `per_square` is negative; `stride`: pixels
    between those that the mean is taken of.
    """
    if _compiled is None:
        return fallback.warp_weight(source, flow, luma, per_square, stride)
    weight = np.empty(luma.shape, np.float32)
    _compiled.warp_weight(source, flow, luma, weight, luma.shape, per_square, stride)
    return weight


def accumulate_warped(total: Floats, source: WarpSource) -> None:
    """Add the warped values of a source, times their weight, to `total` (H, W, 4)."""
    if _compiled is None:
        fallback.accumulate_warped(total, source)
    else:
        _compiled.accumulate_warped(total, total.shape[:2], source.weight.shape, tuple(source))


def blend_warped(first: WarpSource, second: WarpSource) -> Floats:
    """Return the weighted mean (H, W, 2) of the first two channels of two warped sources."""
    if _compiled is None:
        return fallback.blend_warped(first, second)
    mean = np.empty((*first.values.shape[:2], 2), np.float32)
    sizes = mean.shape[:2], first.weight.shape
    _compiled.blend_warped(mean, *sizes, tuple(first), tuple(second))
    return mean


def max_pool(maps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return 3×3 max pooling at stride 2, (N, H/2, W/2, C), of maps with even H and W.

    `maps`: (N, H, W, C), the bits of bfloat16 values, none of them negative.
    """
    if _compiled is None:
        return fallback.max_pool(maps)
    num, height, width, channels = maps.shape
    pooled = np.empty((num, height // 2, width // 2, channels), np.int16)
    _compiled.max_pool(maps, pooled, maps.shape)
    return pooled


def edge_weights(values: Floats, resolution: float) -> NDArray[np.uint16]:
    """Return the weights (h, w, 4) of the edges right, down-left, down and down-right of pixels.

    A weight is the distance between the values (h, w, C) at both ends, in steps of 1 / resolution;
    0 where an edge leads out of the picture.
    """
    if _compiled is None:
        return fallback.edge_weights(values, resolution)
    weights = np.empty((*values.shape[:2], 4), np.uint16)
    values = np.ascontiguousarray(values, np.float32)
    _compiled.edge_weights(values, weights, values.shape, resolution)
    return weights


def segment(
    weights: NDArray[np.uint16], scales: NDArray[np.float32], min_size: int
) -> NDArray[np.int32]:
    """Return the segments (num_scales, h, w) that pixels belong to, numbered over all scales.

    Graph-based segmentation (Felzenszwalb & Huttenlocher 2004): two segments are merged along the
    edge between them if its weight is at most the greatest weight inside each, plus a scale over
    its size. Those of less than `min_size` pixels are merged with their most similar neighbours.
    `weights`: from `edge_weights`; `scales` are in the same unit.
    """
    if _compiled is None:
        return fallback.segment(weights, scales, min_size)
    labels = np.empty((len(scales), *weights.shape[:2]), np.int32)
    weights, scales = np.ascontiguousarray(weights), np.ascontiguousarray(scales, np.float32)
    _compiled.segment(weights, scales, labels, labels.shape, min_size)
    return labels


def vote(logits: Floats, labels: NDArray[np.int32], centers: Floats, params: VoteParams) -> Floats:
    """Return ab (P, 2) of logits (P, bins) after the pixels of each segment have voted.

    A segment's colour is the mean colour of the mean of its pixels' logits, with their own mean
    chroma. A pixel's own colour is mixed with those of its segments, one of each scale.
    `labels`: (num_scales, P), from `segment`; `centers`: (2, bins), ab of the bins.
    """
    if _compiled is None:
        return fallback.vote(logits, labels, centers, params)
    ab = np.empty((len(logits), 2), np.float32)
    sizes = len(labels), *logits.shape
    logits, labels = np.ascontiguousarray(logits), np.ascontiguousarray(labels)
    _compiled.vote(logits, labels, np.ascontiguousarray(centers), ab, sizes, params)
    return ab
