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
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.frames import FloatPlane, Gray

Flow = NDArray[np.float32]  # (H, W, 2)
Course = NDArray[np.float32]  # (H, W, 4): a flow, its doubt, and 0


class Effort(NamedTuple):
    """How much work dense inverse search does (Kroeger et al. 2016)."""

    finest_scale: int  # patches are matched in pictures halved so many times, and coarser
    patch_stride: int  # pixels
    num_iterations: int  # of gradient descent, per patch
    num_refinements: int  # variational, per scale


# milliseconds a flow on one core, 228 × 128; what each is worth is in train/LOG.md
COARSE = Effort(2, 4, 16, 5)  # 0.6
MIDDLE = Effort(1, 4, 12, 2)  # 1.4
FINE = Effort(0, 4, 12, 3)  # 6.5
MEDIUM = Effort(1, 3, 25, 5)  # OpenCV's preset of that name

_LEAST_SIDE = 16  # pixels: OpenCV's DIS crashes on smaller pictures
_PATCH_SIDE = 8  # pixels
# Sundaram, Brox & Keutzer 2010: how far flow there and back may miss, in squared pixels
MISS_SHARE, MISS_PIXELS = 0.01, 0.5
_DOUBT = 0.5  # for missing by as much again as is allowed, squared
_MOST_DOUBT = 20.0
_AWAY = 1e3  # pixels
_own = local()  # a DIS object holds buffers, so each thread has its own


def find_flow(first: Gray, second: Gray, effort: Effort = MEDIUM) -> Flow:
    """Return the flow from one 8-bit luma (H, W) to another.

    Patches are compared less their means, so that a change of exposure is no motion.
    """
    height, width = first.shape
    missing = [max(0, _LEAST_SIDE - side) for side in (height, width)]
    if any(missing):
        first, second = (
            cv2.copyMakeBorder(p, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for p in (first, second)
        )
    first, second = np.ascontiguousarray(first), np.ascontiguousarray(second)
    flow: Flow = _finder(effort).calc(first, second, None)
    return flow[:height, :width]


def find_courses(first: Gray, second: Gray, effort: Effort) -> tuple[Course, Course]:
    """Return the courses from the first luma to the second, and back."""
    there, back = find_flow(first, second, effort), find_flow(second, first, effort)
    return _course(there, back), _course(back, there)


def fetch(values: FloatPlane, flow: Flow) -> FloatPlane:
    """Return values (H, W) or (H, W, C) of the second picture where the first has them.

    Linear between pixels; beyond the border, the border's. `flow`: or a course.
    """
    height, width = flow.shape[:2]
    columns, rows = _grid(height, width)
    fetched: FloatPlane = cv2.remap(
        values,
        cv2.extractChannel(flow, 0) + columns,
        cv2.extractChannel(flow, 1) + rows,
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_REPLICATE,
    )
    return fetched


def chain(first: Flow, second: Flow) -> Flow:
    """Return the flow from A to C of the flows from A to B and from B to C."""
    chained: Flow = first + fetch(second, first)
    return chained


def follow(first: Course, second: Course) -> Course:
    """Return the course from A to C of the courses from A to B and from B to C."""
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


def _course(there: Flow, back: Flow) -> Course:
    """Return `there` with its doubt: how much more than allowed the way back misses."""
    columns, rows = cv2.split(there)
    places = tuple(a + b for a, b in zip((columns, rows), _grid(*there.shape[:2])))
    doubt, allowed = np.zeros_like(columns), np.full_like(columns, MISS_PIXELS)
    for axis, along in enumerate((columns, rows)):
        missed = cv2.remap(  # what lies beyond the border never comes back
            cv2.extractChannel(back, axis),
            *places,
            cv2.INTER_LINEAR,
            None,
            cv2.BORDER_CONSTANT,
            _AWAY,
        )
        missed += along
        doubt += np.square(missed)
        allowed += 2.0 * MISS_SHARE * np.square(along)
    doubt /= allowed
    doubt -= 1.0
    doubt *= _DOUBT
    course: Course = cv2.merge(
        [columns, rows, np.clip(doubt, 0.0, _MOST_DOUBT), np.zeros_like(columns)]
    )
    return course


def _finder(effort: Effort) -> cv2.DISOpticalFlow:
    if not hasattr(_own, "finder"):
        _own.finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder: cv2.DISOpticalFlow = _own.finder
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
