"""The hot loops in NumPy and OpenCV, written to be simple; `ops` uses them without the extension.

See `ops` for what each function returns.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NUM_PLANES = 7  # of `two_colors`
TILE = 64  # pixels: side of the dither pattern
_DIRECTIONS = (0, 1), (1, -1), (1, 0), (1, 1)  # down and right, of the edges that a pixel has
_WINDOW = (5, 5)  # low-res samples around one that its two colours come from


class UpsampleParams(NamedTuple):
    """Constants of the guided upsampling, explained in `color.upsampling`."""

    luma_epsilon: float  # luma variance
    flat: float  # luma variance at which flatness is one half
    chroma_epsilon: float  # chroma variance
    gain: float
    max_skewness: float
    sharpening: float


class ChromaCoding(NamedTuple):
    """How luma and chroma are coded, for `choose_colors`."""

    luma_scale: float  # code values between black and white
    luma_offset: float  # code value of black
    chroma_scale: float  # code values between -0.5 and 0.5
    chroma_offset: float  # code value of neutral
    kr: float  # luma weights of red and blue
    kb: float
    peak: float  # the highest code value
    is_dithered: bool


class FlowParams(NamedTuple):
    """Constants of the forward-backward check, explained in `temporal.flow`."""

    miss_share: float
    miss_pixels: float  # squared pixels
    uncertainty: float
    max_uncertainty: float
    away: float  # pixels: the flow of what comes from outside the picture


class VoteParams(NamedTuple):
    """Constants of the vote of segments, explained in `network.surfaces`."""

    strength: float  # share of the segments' colours where they equal the pixel's own
    tolerance: float  # variances of the pixel's own distribution
    max_gain: float  # of chroma


class WarpSource(NamedTuple):
    """Values to be sampled along `flow`, weighted by (weight + least) * factor."""

    values: Floats  # (H, W, 4)
    flow: Floats  # (h, w, 4), a tracked flow, at this or a lower resolution
    weight: Floats  # (h, w)
    least: float = 0.0
    factor: float = 1.0


# ---------------------------------------------------------------- chroma


def two_colors(guide: NDArray[np.uint8], low: Any, params: UpsampleParams) -> Floats:
    """Return the planes of `ops.two_colors`."""
    luma = guide.astype(np.float64)
    mean, square, cube = _mean(luma), _mean(luma**2), _mean(luma**3)
    variance = np.maximum(square - mean**2, 0.0)
    third = cube - mean * (3.0 * variance + mean**2)

    # the two-point distribution with these three moments
    root = 1.0 / np.sqrt(variance + params.luma_epsilon)
    skewness = np.clip(third * root**3, -params.max_skewness, params.max_skewness)
    offset = 0.5 * skewness * np.sqrt(variance)
    half_span = np.sqrt(variance + offset**2)
    middle = mean + offset
    above_dark = np.clip(luma - middle + half_span, 0.0, 2.0 * half_span)

    # the share of chroma's variance that luma explains
    planes = [plane.astype(np.float64) for plane in low]
    means = [_mean(plane) for plane in planes]
    covariances = [_mean(p * luma) - m * mean for p, m in zip(planes, means)]
    spread = sum(_mean(p**2) - m**2 for p, m in zip(planes, means))
    explained = sum(c**2 for c in covariances) * root**2
    explained = explained / (np.maximum(spread, 0.0) + params.chroma_epsilon)
    trust = explained**3

    to_dark = (offset - half_span) * trust**2 - above_dark * (trust - trust**2)
    centers, differences = [], []
    for plane, plane_mean, covariance in zip(planes, means, covariances):
        blurred = cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REPLICATE)
        sharp = plane + params.sharpening * (plane - blurred)
        dark = sharp + (plane_mean - plane) * trust**2 + covariance * to_dark * root**2
        bright = dark + covariance * 2.0 * half_span * trust * root**2
        lowest = cv2.erode(plane, np.ones(_WINDOW))
        highest = cv2.dilate(plane, np.ones(_WINDOW))
        dark, bright = (color.clip(lowest, highest) for color in (dark, bright))
        centers.append(0.5 * (dark + bright))
        differences.append(bright - dark)
    gain = 0.5 * params.gain * half_span / (half_span**2 + params.luma_epsilon)
    flatness = 1.0 / (1.0 + (variance / params.flat) ** 2)
    return np.stack([middle, gain, *centers, *differences, flatness]).astype(np.float32)


def look_up_chroma(
    codes: NDArray[np.uint8], ab: Floats, table: NDArray[np.int16], step: float, unit: float
) -> tuple[Floats, Floats]:
    """Return the planes of `ops.look_up_chroma`."""
    side = table.shape[1]
    place = (ab / np.float32(step) + (side - 1) / 2).clip(0.0, side - 1)
    corner = np.minimum(place.astype(np.intp), side - 2)
    x, y = np.moveaxis(place - corner, 2, 0)[..., None]
    column, row = np.moveaxis(corner, 2, 0)
    upper, lower = (
        table[codes, row + n, column] * (1.0 - x) + table[codes, row + n, column + 1] * x
        for n in range(2)
    )
    cb, cr = np.moveaxis(unit * (upper * (1.0 - y) + lower * y), 2, 0).astype(np.float32)
    return cb, cr


def choose_colors(
    luma: NDArray[Any], guide: Floats, planes: Floats, noise: Floats, coding: ChromaCoding
) -> NDArray[Any]:
    """Return the planes of `ops.choose_colors`."""
    height, width = luma.shape
    middle, gain, *colors, flatness = (cv2.resize(plane, (width, height)) for plane in planes)
    scale = coding.luma_scale / 255.0
    choice = ((guide - coding.luma_offset) / scale - middle) * gain
    choice = choice.clip(-0.5, 0.5)
    cb, cr = (center + choice * diff for center, diff in zip(colors[:2], colors[2:]))

    # toward neutral until R'G'B' is within 0..1
    y = ((luma.astype(np.float32) - coding.luma_offset) / coding.luma_scale).clip(0.0, 1.0)
    kr, kb = coding.kr, coding.kb
    red, blue = 2.0 * (1.0 - kr) * cr, 2.0 * (1.0 - kb) * cb
    green = -(kr * red + kb * blue) / (1.0 - kr - kb)
    highest = np.maximum.reduce([red, green, blue]).clip(1e-9, None)
    lowest = np.minimum.reduce([red, green, blue]).clip(None, -1e-9)
    share = np.minimum((1.000001 - y) / highest, (y + 1e-6) / -lowest).clip(None, 1.0)

    repeats = 1, -(-height // TILE), -(-width // TILE)
    dots = np.tile(noise, repeats)[:, :height, :width] * flatness * coding.is_dithered
    coded = np.stack([cb, cr]) * (share * coding.chroma_scale) + dots + coding.chroma_offset
    return np.rint(coded).clip(0, coding.peak).astype(luma.dtype)


def _mean(plane: NDArray[Any]) -> NDArray[np.float64]:
    return cv2.blur(plane, _WINDOW, borderType=cv2.BORDER_REPLICATE)


# ---------------------------------------------------------------- motion


def warp(values: NDArray[Any], flow: Floats) -> NDArray[Any]:
    """Return values (H, W) or (H, W, C) of the second picture, sampled where the flow leads.

    Linear between pixels; the border's values outside. `flow`: (h, w, 2) or a tracked flow, of
    pictures of this or another size.
    """
    columns, rows = _targets(flow, values.shape)
    return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)


def compose(first: Floats, second: Floats) -> Floats:
    """Return the tracked flow of `ops.compose`."""
    return first + warp(second, first)


def tracked_flows(flow: Floats, num_inversions: int, params: FlowParams) -> tuple[Floats, Floats]:
    """Return the tracked flows of `ops.tracked_flows`."""
    forward = np.zeros((*flow.shape[:2], 4), np.float32)
    forward[..., :2] = flow
    backward = -forward
    for _ in range(num_inversions):
        backward = -warp(forward, backward)
    uncertainties = _uncertainty(forward, backward, params), _uncertainty(backward, forward, params)
    forward[..., 2], backward[..., 2] = uncertainties
    return forward, backward


def warp_weight(
    source: NDArray[np.uint8],
    flow: Floats,
    luma: NDArray[np.uint8],
    per_square: float,
    stride: int,
) -> Floats:
    """Return the weight of `ops.warp_weight`."""
    uncertainty = flow[..., 2]
    difference = warp(source.astype(np.float32), flow) - luma
    visible = np.exp(-uncertainty[::stride, ::stride])
    exposure = (difference[::stride, ::stride] * visible).sum() / (visible.sum() + 1e-6)
    weight: Floats = np.exp(per_square * (difference - exposure) ** 2 - uncertainty)
    return weight


def accumulate_warped(total: Floats, source: WarpSource) -> None:
    """Do what `ops.accumulate_warped` does."""
    total += warp(source.values, source.flow) * _full_weight(source)


def blend_warped(first: WarpSource, second: WarpSource) -> Floats:
    """Return the mean of `ops.blend_warped`."""
    weights = [_full_weight(source) for source in (first, second)]
    values = [warp(source.values, source.flow)[..., :2] for source in (first, second)]
    total = values[0] * weights[0] + values[1] * weights[1]
    blended: Floats = total / (weights[0] + weights[1] + np.float32(1e-5))
    return blended


def _full_weight(source: WarpSource) -> Floats:
    """Return the weight at the size of the values, (H, W, 1)."""
    weight = cv2.resize(source.weight, source.values.shape[1::-1])
    return ((weight + source.least) * np.float32(source.factor))[..., None]


def _uncertainty(forward: Floats, backward: Floats, params: FlowParams) -> Floats:
    """Return by how much more than allowed the way back misses where the flow began, (H, W)."""
    outside = (params.away,) * 4
    targets = _targets(forward, backward.shape)
    returned = cv2.remap(backward, *targets, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, outside)
    missed = ((returned + forward)[..., :2] ** 2).sum(axis=2)
    allowed = 2.0 * params.miss_share * (forward[..., :2] ** 2).sum(axis=2) + params.miss_pixels
    uncertainty = params.uncertainty * (missed / allowed - 1.0)
    return uncertainty.clip(0.0, params.max_uncertainty)


def _targets(flow: Floats, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the (columns, rows) that a flow leads to in pictures of a size (H, W)."""
    height, width = shape[:2]
    columns, rows = (cv2.extractChannel(flow, axis) for axis in (0, 1))
    if flow.shape[:2] != (height, width):
        columns *= width / flow.shape[1]
        rows *= height / flow.shape[0]
        columns, rows = (cv2.resize(plane, (width, height)) for plane in (columns, rows))
    for plane, coordinates in zip((columns, rows), _grid(height, width)):
        plane += coordinates
    return columns, rows


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return each pixel's column and row, (H, W) each."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for plane in (columns, rows):
        plane.flags.writeable = False
    return columns, rows


# ---------------------------------------------------------------- network


def max_pool(maps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the maps of `ops.max_pool`: bfloat16 bits of positive values order as integers do."""
    padded = np.pad(maps, ((0, 0), (1, 0), (1, 0), (0, 0)))  # zeros: nothing is below them
    windows = [
        padded[:, y : y + maps.shape[1] : 2, x : x + maps.shape[2] : 2]
        for y in range(3)
        for x in range(3)
    ]
    pooled: NDArray[np.int16] = np.maximum.reduce(windows)
    return pooled


def edge_weights(values: Floats, resolution: float) -> NDArray[np.uint16]:
    """Return the weights of `ops.edge_weights`."""
    height, width = values.shape[:2]
    weights = np.zeros((height, width, len(_DIRECTIONS)), np.uint16)
    for direction, (down, right) in enumerate(_DIRECTIONS):
        left, stop = max(0, -right), width - max(0, right)
        here = values[: height - down, left:stop]
        there = values[down:, left + right : stop + right]
        distance = np.linalg.norm(here - there, axis=2) * np.float32(resolution)
        weights[: height - down, left:stop, direction] = distance.clip(0.0, 65535.0)
    return weights


def segment(
    weights: NDArray[np.uint16], scales: NDArray[np.float32], min_size: int
) -> NDArray[np.int32]:
    """Return the segments of `ops.segment`."""
    height, width = weights.shape[:2]
    rows, columns, directions = np.indices(weights.shape).reshape(3, -1)
    down, right = np.array(_DIRECTIONS)[directions].T
    rows_to, columns_to = rows + down, columns + right
    is_inside = (rows_to < height) & (columns_to >= 0) & (columns_to < width)
    ends = np.stack([rows * width + columns, rows_to * width + columns_to], axis=1)[is_inside]
    values = weights.reshape(-1)[is_inside]
    order = np.argsort(values, kind="stable")
    edges = list(zip(values[order].tolist(), ends[order].tolist(), strict=True))
    labels, num_segments = [], 0
    for scale in scales.tolist():
        roots = _merge(height * width, edges, scale, min_size)
        unique, numbers = np.unique(roots, return_inverse=True)
        labels.append(numbers.reshape(height, width) + num_segments)
        num_segments += len(unique)
    return np.stack(labels).astype(np.int32)


def _merge(
    num: int, edges: list[tuple[int, list[int]]], scale: float, min_size: int
) -> NDArray[np.intp]:
    """Return the first pixel of each pixel's segment."""
    parent, size, inner = list(range(num)), [1] * num, [0] * num

    def root_of(pixel: int) -> int:
        while parent[pixel] != pixel:
            parent[pixel] = parent[parent[pixel]]
            pixel = parent[pixel]
        return pixel

    for is_by_size in (False, True):
        for weight, ends in edges:
            first, second = sorted(map(root_of, ends))
            if first == second:
                continue
            if is_by_size:
                is_merged = min(size[first], size[second]) < min_size
            else:
                is_merged = all((weight - inner[s]) * size[s] <= scale for s in (first, second))
            if is_merged:
                parent[second], inner[first] = first, weight
                size[first] += size[second]
    return np.array([root_of(pixel) for pixel in range(num)])


def vote(logits: Floats, labels: NDArray[np.int32], centers: Floats, params: VoteParams) -> Floats:
    """Return the ab of `ops.vote`."""
    counts = np.maximum(np.bincount(labels.ravel()), 1)[:, None]

    def average(values: NDArray[Any]) -> NDArray[Any]:  # over each segment
        totals = np.zeros((len(counts), values.shape[1]))
        for scale in labels:
            np.add.at(totals, scale, values)
        return totals / counts

    own = _softmax(logits)
    ab = own @ centers.T
    variance = np.maximum(own @ (centers**2).sum(axis=0) - (ab**2).sum(axis=1), 0.0)
    colors = _softmax(average(logits)) @ centers.T
    chroma = average(np.linalg.norm(ab, axis=1)[:, None])
    voted_chroma = np.linalg.norm(colors, axis=1)[:, None]
    colors *= (chroma / np.maximum(voted_chroma, 1e-6)).clip(1.0, params.max_gain)
    distance = ((average(ab)[labels] - ab) ** 2).sum(axis=2)  # (num_scales, P)
    shares = np.exp(-distance / (params.tolerance * variance + 1.0))[..., None]
    shares *= params.strength / len(labels)
    mixed = (1.0 - shares.sum(axis=0)) * ab + (shares * colors[labels]).sum(axis=0)
    return mixed.astype(np.float32)


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
