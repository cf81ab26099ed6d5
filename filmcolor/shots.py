"""Where one shot ends and the next begins."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np

from filmcolor.frames import FloatPlane, SmallFrame

LOOK = 3  # frames on either side that decide whether a cut is before a frame
_THUMB = (48, 36)  # (width, height): small enough that grain and gate weave average out
_MIN_CHANGE = 0.6  # mean |difference| of normalised thumbs: real cuts lie above 0.75
_MIN_RATIO = 2.2  # times the change of the frames around it: fast pans change all along


def mark_cuts(frames: Iterable[SmallFrame]) -> Iterator[SmallFrame]:
    """Yield the same frames, `is_cut` set on the first frame of each shot.

    A frame's mark depends on LOOK frames before it and LOOK after it, on nothing else.
    Thumbs are normalised in brightness and contrast, so that exposure flicker is no cut;
    a frame that differs while the ones around it agree is a flash, not two cuts.
    """
    window: deque[tuple[SmallFrame, FloatPlane]] = deque()
    before = 0  # how many frames at the window's left are already marked
    for frame in frames:
        window.append((frame, _thumb(frame.small)))
        if len(window) > before + LOOK:
            yield _marked(window, before)
            before += 1
            if before > LOOK:
                window.popleft()
                before -= 1
    for position in range(before, len(window)):
        start = max(0, position - LOOK)
        yield _marked(deque(list(window)[start:]), position - start)


def _marked(window: deque[tuple[SmallFrame, FloatPlane]], position: int) -> SmallFrame:
    thumbs = [thumb for _, thumb in list(window)[: position + LOOK + 1]]
    return replace(window[position][0], is_cut=is_cut(thumbs, position))


def is_cut(thumbs: list[FloatPlane], position: int) -> bool:
    """Tell whether a shot begins at thumbs[position]; the others are the frames around it."""
    if position == 0:
        return False
    changes = [_change(a, b) for a, b in pairwise(thumbs)]
    change = changes.pop(position - 1)
    if change < _MIN_CHANGE or change < _MIN_RATIO * np.median(changes or [0.0]):
        return False
    if changes and change < max(changes):
        return False  # the cut is beside this frame, and stronger
    before, after = thumbs[:position], thumbs[position:]
    return all(_change(a, b) > _MIN_CHANGE for a in before for b in after)


def _thumb(small: FloatPlane) -> FloatPlane:
    thumb = cv2.resize(small, _THUMB, interpolation=cv2.INTER_AREA)
    spread = float(thumb.std())
    # a nearly black or blank frame has no picture to compare: keep its noise small
    normal: FloatPlane = (thumb - thumb.mean()) / max(spread, 0.04)
    return normal


def _change(first: FloatPlane, second: FloatPlane) -> float:
    return float(np.abs(first - second).mean())
