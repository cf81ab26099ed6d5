"""Where the pixels of one picture are in another: dense optical flow on small luma.

A flow is float32 (H, W, 2), pixels to the right and down: what is at (x, y) in the first
picture is at (x, y) + flow[y, x] in the second.
"""

from functools import lru_cache
from threading import local

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.frames import FloatPlane

Luma = NDArray[np.uint8]  # (H, W)
Flow = NDArray[np.float32]  # (H, W, 2)

FAST, MEDIUM = cv2.DISOPTICAL_FLOW_PRESET_FAST, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
_LEAST_SIDE = 16  # pixels: OpenCV's DIS crashes on smaller pictures
_own = local()  # a DIS object holds buffers, so each thread has its own


def find_flow(first: Luma, second: Luma, preset: int = MEDIUM) -> Flow:
    """Return the flow from one 8-bit luma (H, W) to another.

    Dense inverse search: Kroeger et al. 2016. Patches are compared less their means, so
    that a change of exposure is no motion.
    """
    height, width = first.shape
    missing = [max(0, _LEAST_SIDE - side) for side in (height, width)]
    if any(missing):
        first, second = (
            cv2.copyMakeBorder(p, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for p in (first, second)
        )
    finders = _own.__dict__.setdefault("finders", {})
    if preset not in finders:
        finders[preset] = cv2.DISOpticalFlow_create(preset)
    flow: Flow = finders[preset].calc(
        np.ascontiguousarray(first), np.ascontiguousarray(second), None
    )
    return flow[:height, :width]


def fetch(values: FloatPlane, flow: Flow) -> FloatPlane:
    """Return values (H, W) or (H, W, C) of the second picture where the first has them.

    Linear between pixels; beyond the border, the border's.
    """
    fetched: FloatPlane = cv2.remap(
        values, flow + _grid(*flow.shape[:2]), None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )
    return fetched


def chain(first: Flow, second: Flow) -> Flow:
    """Return the flow from A to C of the flows from A to B and from B to C."""
    chained: Flow = first + fetch(second, first)
    return chained


def is_inside(flow: Flow) -> NDArray[np.bool_]:
    """Tell of each pixel (H, W) whether the flow leads to a place in the picture."""
    height, width = flow.shape[:2]
    there = flow + _grid(height, width)
    columns, rows = there[..., 0], there[..., 1]
    inside: NDArray[np.bool_] = (
        (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    )
    return inside


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> Flow:
    """Return each pixel's own place (H, W, 2), as x and y."""
    grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    grid.flags.writeable = False
    return grid
