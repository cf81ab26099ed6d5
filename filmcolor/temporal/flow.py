"""Dense optical flow on small luma, with its uncertainty.

A flow is float32 (H, W, 2), pixels to the right and down: what is at (x, y) in the first picture is
at (x, y) + flow[y, x] in the second. A tracked flow has a third channel, its uncertainty: a colour
warped along it weighs exp(-uncertainty). Uncertainty starts where the forward-backward test of
Sundaram, Brox & Keutzer (2010) calls a pixel occluded, grows with the distance by which the way
back misses, and adds up when tracked flows are composed. (The fourth channel is 0: OpenCV warps
four channels faster than three.)

Motion is estimated at half the resolution of ab, for DIS that ends at half scale knows no more.
The inverse flow comes from fixed-point iteration, not from a second search: half the cost, and
steadier over 24 frames. Pixels hidden in the other picture have no inverse; the iteration misses
them, and so they become uncertain.
"""

from threading import local
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.kernels import ops
from filmcolor.kernels.ops import FlowParams
from filmcolor.types.frames import Flow, Gray, TrackedFlow


class Effort(NamedTuple):
    """How much work dense inverse search does (DIS, Kroeger et al. 2016)."""

    finest_scale: int  # matching stops at the picture halved this many times
    patch_stride: int  # pixels
    num_iterations: int  # of gradient descent, per patch
    num_refinements: int  # variational, per scale


# milliseconds per flow on one core at 114 × 64; their quality is in train/LOG.md
GLANCE = Effort(1, 4, 8, 0)  # 0.15
COARSE = Effort(1, 4, 16, 5)  # 0.3
FINE = Effort(0, 4, 12, 2)  # 0.9
MEDIUM = Effort(1, 3, 25, 5)  # OpenCV's preset of that name

_MIN_SIDE = 16  # pixels: OpenCV's DIS crashes on smaller pictures
_PATCH_SIZE = 8  # pixels
# Sundaram, Brox & Keutzer 2010: how far forward and backward flow may disagree, squared pixels
MISS_SHARE, MISS_PIXELS = 0.01, 0.5
_PARAMS = FlowParams(
    MISS_SHARE,
    MISS_PIXELS,
    uncertainty=0.5,  # for missing by twice the allowed squared distance
    max_uncertainty=20.0,
    away=1e3,
)
_NUM_INVERSIONS = 2  # fixed-point iterations; more change nothing
_thread = local()  # DIS objects hold buffers, so each thread has its own


def find_flow(
    first: Gray, second: Gray, effort: Effort = MEDIUM, initial: Flow | None = None
) -> Flow:
    """Return the flow from one 8-bit luma (H, W) to another.

    Patches are compared less their means, so a change of exposure is not taken for motion.
    `initial`: a flow (H, W, 2) to start from instead of zero.
    """
    height, width = first.shape
    padding = [max(0, _MIN_SIDE - side) for side in (height, width)]
    pictures = [first, second] if initial is None else [first, second, initial]
    if any(padding):
        pictures = [
            cv2.copyMakeBorder(p, 0, padding[0], 0, padding[1], cv2.BORDER_REPLICATE)
            for p in pictures
        ]
    first, second, *initials = map(np.ascontiguousarray, pictures)
    start = initials[0].copy() if initials else None  # OpenCV overwrites it
    flow: Flow = _dis(effort, bool(initials)).calc(first, second, start)
    return flow[:height, :width]


def find_tracked_flows(
    first: Gray, second: Gray, effort: Effort, initial: Flow | None = None
) -> tuple[TrackedFlow, TrackedFlow]:
    """Return the tracked flows from the first luma (H, W) to the second, and back."""
    flow = find_flow(first, second, effort, initial)
    return ops.tracked_flows(flow, _NUM_INVERSIONS, _PARAMS)


def compose_flow(first: Flow, second: Flow) -> Flow:
    """Return the flow A → C of the flows A → B and B → C."""
    composed: Flow = first + ops.warp(second, first)
    return composed


def is_inside(flow: Flow) -> NDArray[np.bool_]:
    """Return for each pixel (H, W) whether the flow leads to a point inside the picture."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    columns += flow[..., 0]
    rows += flow[..., 1]
    inside: NDArray[np.bool_] = (
        (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    )
    return inside


def _dis(effort: Effort, has_initial: bool) -> cv2.DISOpticalFlow:
    """Return this thread's DIS object.

    There are two, with and without an initial flow: OpenCV keeps the initial flow for later calls.
    """
    name = "with_initial" if has_initial else "without_initial"
    if not hasattr(_thread, name):
        setattr(_thread, name, cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    dis: cv2.DISOpticalFlow = getattr(_thread, name)
    # set each time: OpenCV changes them for small pictures and does not restore them, so that
    # colours would depend on what was coloured before
    dis.setPatchSize(_PATCH_SIZE)
    dis.setFinestScale(effort.finest_scale)
    dis.setPatchStride(effort.patch_stride)
    dis.setGradientDescentIterations(effort.num_iterations)
    dis.setVariationalRefinementIterations(effort.num_refinements)
    return dis
