"""Steadies ab in time, inside a shot, over a finite window.

Each pixel's colour becomes the weighted mean of the colours that the network gave the
same place in the frames around it. A frame weighs less the further it is in time, and a
pixel weighs less the more its luma differs, so that what moves away does not smear.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.frames import AbFrame, FloatPlane

WINDOW_SECONDS = Fraction(1, 3)  # on either side
_MAX_RADIUS = 16  # frames: bounds memory for high frame rates
_LUMA_SIGMA = 8.0  # 8-bit steps of luma at which agreement has fallen to 61 %


def window_radius(frame_rate: Fraction) -> int:
    """Return how many frames on either side steady a frame."""
    return max(1, min(_MAX_RADIUS, round(frame_rate * WINDOW_SECONDS)))


def steady(frames: Iterable[AbFrame], radius: int) -> Iterator[AbFrame]:
    """Yield the same frames with ab steadied over `radius` frames on either side.

    Never reaches across a cut: a shot's first frame is what that shot gives alone.
    """
    window: deque[tuple[AbFrame, NDArray[np.uint8]]] = deque()
    before = 0  # how many frames at the window's left are already done
    for frame in frames:
        window.append((frame, _guide(frame)))
        if len(window) > before + radius:
            yield _steadied(window, before, radius)
            before += 1
            if before > radius:
                window.popleft()
                before -= 1
    for position in range(before, len(window)):
        yield _steadied(window, position, radius)


def _guide(frame: AbFrame) -> NDArray[np.uint8]:
    """Return luma (h/2, w/2) in 0..255 at the size of ab, its grain averaged away."""
    height, width = frame.ab.shape[:2]
    guide = cv2.resize(frame.small, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(cv2.blur(guide, (3, 3)), alpha=255.0)


def _agreement() -> FloatPlane:
    steps = np.arange(256, dtype=np.float32) / _LUMA_SIGMA
    weights: FloatPlane = np.exp(-0.5 * steps * steps)
    return weights


_AGREEMENT = _agreement()


def _steadied(
    window: deque[tuple[AbFrame, NDArray[np.uint8]]], position: int, radius: int
) -> AbFrame:
    frame, guide = window[position]
    total = np.zeros_like(frame.ab)
    weights = np.zeros(frame.ab.shape[:2], np.float32)
    for other in _same_shot(window, position, radius):
        neighbour, other_guide = window[other]
        distance = (other - position) / (radius + 1)
        weight = cv2.LUT(cv2.absdiff(guide, other_guide), _AGREEMENT)
        weight *= 1.0 - distance * distance
        total += neighbour.ab * weight[..., None]
        weights += weight
    total /= weights[..., None]
    return AbFrame(frame.frame, frame.small, frame.is_cut, total)


def _same_shot(
    window: deque[tuple[AbFrame, NDArray[np.uint8]]], position: int, radius: int
) -> range:
    first = position
    while first > max(0, position - radius) and not window[first][0].is_cut:
        first -= 1
    stop = position + 1
    end = min(len(window), position + radius + 1)
    while stop < end and not window[stop][0].is_cut:
        stop += 1
    return range(first, stop)
