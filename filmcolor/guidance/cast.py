"""Reduces colour casts: a warm tint that lies over a whole picture, such as the brown of a room.

The least colourful tenth of a picture is taken to be nearly neutral. Its median ab is the cast, and
three quarters of it are subtracted everywhere. Only warm casts count, by the cosine of the angle to
amber: the network's mistakes are brown, and a pale sky must stay blue where it is the least
colourful part. The correction changes continuously with the picture. Each anchor is corrected by
itself, and the smoothing after it averages the corrections along the motion, so a frame still
depends on its neighbourhood alone.

By default casts are kept. Photographs and film stills lose 1 to 3½ percentage points of how far ab
lies under grey, because most casts are in the light itself; frames of video clips gain 2 to 3
(`train/LOG.md`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from filmcolor.types.frames import FloatPlane, Gray, PredictedFrame

CASTS = KEEP, REDUCE = "keep", "reduce"

_SHARE = 0.1  # of the judged pixels: the least colourful ones
_STRENGTH = 0.75  # of the cast that is subtracted
_AMBER = math.radians(75.0)  # CIELAB hue of tungsten light and of sepia
_MAX_CAST = 12.0  # CIELAB units: stronger ones are a colour of the scene
_BLACK, _WHITE = 20, 240  # 8-bit luma: pixels beyond have no colour to judge by
_MIN_SHARE = 0.01  # of the picture's pixels: fewer between black and white are no measure


def reduce_cast(ab: FloatPlane, luma: Gray) -> FloatPlane:
    """Return ab (h, w, 2), CIELAB, of a picture of 8-bit luma (H, W) with less of its cast."""
    small = cv2.resize(luma, ab.shape[1::-1], interpolation=cv2.INTER_AREA)
    judged = ab[(small > _BLACK) & (small < _WHITE)]  # (P, 2)
    if len(judged) < max(1.0, _MIN_SHARE * small.size):
        return ab
    chroma = np.hypot(judged[:, 0], judged[:, 1])
    a, b = map(float, np.median(judged[chroma <= np.quantile(chroma, _SHARE)], axis=0))
    amount = math.hypot(a, b)
    if amount == 0.0:
        return ab
    warmth = max(0.0, a * math.cos(_AMBER) + b * math.sin(_AMBER)) / amount  # 0 to 1
    factor = _STRENGTH * warmth * min(1.0, _MAX_CAST / amount)
    reduced: FloatPlane = ab - np.array([a * factor, b * factor], np.float32)
    return reduced


def reduce_casts(frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
    """Yield the frames with the casts of their anchors reduced."""
    for frame in frames:
        if frame.ab is not None:
            frame = replace(frame, ab=reduce_cast(frame.ab, frame.tracked.luma))
        yield frame
