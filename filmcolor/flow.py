"""Where the pixels of one picture are in another: dense optical flow on small luma.

A flow is float32 (H, W, 2), pixels to the right and down: what is at (x, y) in the first
picture is at (x, y) + flow[y, x] in the second. A course is a flow with a third channel, its
doubt: a colour that is fetched along it weighs exp(-doubt). It begins where the test of
Sundaram, Brox & Keutzer (2010) calls a pixel occluded, and grows with the way there and
back missing its beginning. Doubts of courses that are followed one after the other
add up. (OpenCV fetches four channels faster than three.)
"""

from functools import lru_cache
from threading import local
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor import native
from filmcolor.frames import FloatPlane, Gray

Flow = NDArray[np.float32]  # (H, W, 2)
Course = NDArray[np.float32]  # (H, W, 4): a flow, its doubt, and 0


class Effort(NamedTuple):
    """How much work dense inverse search does (Kroeger et al. 2016)."""

    finest_scale: int  # patches are matched in pictures halved so many times, and coarser
    patch_stride: int  # pixels
    num_iterations: int  # of gradient descent, per patch
    num_refinements: int  # variational, per scale


# milliseconds a flow on one core, 114 × 64; what each is worth is in train/LOG.md
GLANCE = Effort(1, 4, 8, 0)  # 0.15
COARSE = Effort(1, 4, 16, 5)  # 0.3
FINE = Effort(0, 4, 12, 2)  # 0.9
MEDIUM = Effort(1, 3, 25, 5)  # OpenCV's preset of that name

_LEAST_SIDE = 16  # pixels: OpenCV's DIS crashes on smaller pictures
_PATCH_SIDE = 8  # pixels
# Sundaram, Brox & Keutzer 2010: how far flow there and back may miss, in squared pixels
MISS_SHARE, MISS_PIXELS = 0.01, 0.5
_DOUBT = 0.5  # for missing by as much again as is allowed, squared
_MOST_DOUBT = 20.0
_AWAY = 1e3  # pixels
_DOUBTS = MISS_SHARE, MISS_PIXELS, _DOUBT, _MOST_DOUBT, _AWAY
_INVERSIONS = 2  # iterations that turn a flow round; more change nothing
_own = local()  # a DIS object holds buffers, so each thread has its own


def find_flow(
    first: Gray, second: Gray, effort: Effort = MEDIUM, begin: Flow | None = None
) -> Flow:
    """Return the flow from one 8-bit luma (H, W) to another.

    Patches are compared less their means, so that a change of exposure is no motion.
    `begin`: a flow to begin from instead of none.
    """
    height, width = first.shape
    missing = [max(0, _LEAST_SIDE - side) for side in (height, width)]
    pictures = [first, second] if begin is None else [first, second, begin]
    if any(missing):
        pictures = [
            cv2.copyMakeBorder(p, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for p in pictures
        ]
    first, second, *begins = map(np.ascontiguousarray, pictures)
    # overwritten by OpenCV
    flow: Flow = _finder(effort, bool(begins)).calc(
        first, second, begins[0].copy() if begins else None
    )
    return flow[:height, :width]


def find_courses(
    first: Gray, second: Gray, effort: Effort, begin: Flow | None = None
) -> tuple[Course, Course]:
    """Return the courses from the first luma to the second, and back.

    The way there is searched for, the way back is its inverse: what has none, for it is
    hidden in the other picture, is missed by the iteration, and so is doubted.
    """
    flow = find_flow(first, second, effort, begin)
    if native.is_built():
        return native.courses(flow, _INVERSIONS, _DOUBTS)
    there = _course(flow)
    back = -there
    for _ in range(_INVERSIONS):
        back = -fetch(there, back)
    doubts = _doubt(there, back), _doubt(back, there)
    for course, doubt in zip((there, back), doubts, strict=True):
        cv2.insertChannel(doubt, course, 2)
    return there, back


def fetch(values: NDArray[Any], flow: Flow) -> NDArray[Any]:
    """Return values (H, W) or (H, W, C) of the second picture where the first has them.

    Linear between pixels; beyond the border, the border's. `flow`: or a course, of pictures
    of this size or of another.
    """
    places = _places(flow, values.shape)
    fetched: NDArray[Any] = cv2.remap(values, *places, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    return fetched


def chain(first: Flow, second: Flow) -> Flow:
    """Return the flow from A to C of the flows from A to B and from B to C."""
    chained: Flow = first + fetch(second, first)
    return chained


def follow(first: Course, second: Course) -> Course:
    """Return the course from A to C of the courses from A to B and from B to C."""
    if native.is_built():
        return native.follow(first, second)
    followed: Course = fetch(second, first)
    followed += first
    return followed


def is_inside(flow: Flow) -> NDArray[np.bool_]:
    """Tell of each pixel (H, W) whether the flow leads to a place in the picture."""
    height, width = flow.shape[:2]
    columns, rows = (flow[..., axis] + places for axis, places in enumerate(_grid(height, width)))
    inside: NDArray[np.bool_] = (
        (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    )
    return inside


def _course(flow: Flow) -> Course:
    """Return a flow as a course without doubt."""
    course = np.zeros((*flow.shape[:2], 4), np.float32)
    course[..., :2] = flow
    return course


def _doubt(there: Course, back: Course) -> FloatPlane:
    """Return how much more than allowed the way back misses, what comes from beyond all."""
    missed = cv2.remap(
        back, *_places(there, back.shape), cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, (_AWAY,) * 4
    )
    missed += there
    doubt = _squared(missed)
    allowed = _squared(there)
    allowed *= 2.0 * MISS_SHARE
    allowed += MISS_PIXELS
    doubt /= allowed
    doubt -= 1.0
    doubt *= _DOUBT
    np.maximum(doubt, 0.0, out=doubt)
    np.minimum(doubt, _MOST_DOUBT, out=doubt)
    return doubt


def _squared(course: Course) -> FloatPlane:
    """Return the squared length of each vector."""
    across, down = cv2.extractChannel(course, 0), cv2.extractChannel(course, 1)
    across *= across
    down *= down
    across += down
    squared: FloatPlane = across
    return squared


def _places(flow: Flow, shape: tuple[int, ...]) -> tuple[FloatPlane, FloatPlane]:
    """Return the (columns, rows) that a flow leads to in pictures of a size (H, W)."""
    height, width = shape[:2]
    columns, rows = (cv2.extractChannel(flow, axis) for axis in (0, 1))
    if flow.shape[:2] != (height, width):
        columns *= width / flow.shape[1]
        rows *= height / flow.shape[0]
        columns, rows = (cv2.resize(places, (width, height)) for places in (columns, rows))
    for places, own in zip((columns, rows), _grid(height, width)):
        places += own
    return columns, rows


def _finder(effort: Effort, has_begin: bool) -> cv2.DISOpticalFlow:
    """Return a DIS object; those given a beginning keep it for searches that have none."""
    name = "guided" if has_begin else "free"
    if not hasattr(_own, name):
        setattr(_own, name, cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    finder: cv2.DISOpticalFlow = getattr(_own, name)
    # each time: on a small picture OpenCV changes them, and never changes them back
    finder.setPatchSize(_PATCH_SIDE)
    finder.setFinestScale(effort.finest_scale)
    finder.setPatchStride(effort.patch_stride)
    finder.setGradientDescentIterations(effort.num_iterations)
    finder.setVariationalRefinementIterations(effort.num_refinements)
    return finder


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[FloatPlane, FloatPlane]:
    """Return each pixel's own column and row, each (H, W)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for plane in (columns, rows):
        plane.flags.writeable = False
    return columns, rows
