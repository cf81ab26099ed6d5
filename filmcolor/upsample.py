"""Low-res chroma to the chroma plane's size, its edges where the film's luma has them.

Around each low-res sample the colours are taken for a mixture of two, one that goes with
darker and one with brighter luma. What the two are, and where between them luma divides
them, is found at low resolution from moments; at full size luma only chooses between them.
The choice saturates: grain about either luma changes no colour. As far as luma does not
explain the colours, the result is bilinear interpolation.
"""

from typing import Any

import cv2
import numpy as np

from filmcolor.frames import FloatPlane

_WINDOW = 5  # low-res samples: enough to see both sides of an edge that a sample mixes
_LUMA_EPSILON = 2e-5  # luma variance, (1 code of 8 bits)²: what is flatter tells nothing
_FLAT = 4e-4  # luma variance of what is half flat, (5 codes of 8 bits)²
_CHROMA_EPSILON = 1e-6  # chroma variance, (a quarter of a code of 8 bits)²
_GAIN = 1.5  # of the choice: 1 follows luma in a line, more keeps grain out
_SHARPENING = 0.5  # of the low-res chroma: half of what area averaging and bilinear blur
_MAX_SKEWNESS = 3.0  # a share of 8 % of the window: smaller ones cannot be told from noise
_REACH = np.ones((_WINDOW, _WINDOW), np.uint8)


class TwoColors:
    """Low-res planes that say at each sample which two colours luma has to choose from.

    `center` (Cb, Cr) is half-way between them: half of `difference` is taken off where luma
    is below `middle` and added where it is above; `gain`: how fast that changes with luma.
    `flatness` is 1 where luma is even and 0 in texture. Both colours lie within the range of
    the window's samples, so no colour is ever beyond its neighbourhood's: no halo.
    """

    def __init__(self, low: tuple[FloatPlane, FloatPlane], guide: FloatPlane) -> None:
        mean = _mean(guide)
        square = guide * guide
        variance = np.maximum(_mean(square) - mean * mean, 0.0)
        self.flatness = 1.0 / (1.0 + np.square(variance * np.float32(1.0 / _FLAT)))
        third = _mean(square * guide) - mean * (3.0 * variance + mean * mean)
        known = variance + np.float32(_LUMA_EPSILON)
        deviation = np.sqrt(variance)
        # the two-point distribution that has these three moments
        half_skew = third / (known * np.sqrt(known))
        half_skew = np.clip(half_skew, -_MAX_SKEWNESS, _MAX_SKEWNESS) * 0.5
        half_span = deviation * np.sqrt(1.0 + half_skew * half_skew)
        offset = deviation * half_skew
        self.middle = mean + offset
        self.gain = (0.5 * _GAIN) * half_span / (half_span * half_span + _LUMA_EPSILON)
        bright_share = 0.5 + 0.5 * (guide - self.middle) / (half_span + 1e-6)
        bright_share = np.clip(bright_share, 0.0, 1.0)

        means = [_mean(plane) for plane in low]
        slopes = [_mean(p * guide) - m * mean for p, m in zip(low, means)]
        spread = _mean(low[0] * low[0] + low[1] * low[1]) - means[0] ** 2 - means[1] ** 2
        spread = np.maximum(spread, 0.0) + np.float32(_CHROMA_EPSILON)
        explained = (slopes[0] ** 2 + slopes[1] ** 2) / (known * spread)
        trust = explained * explained * explained  # in there being just these two colours
        trust_squared = trust * trust
        doubt = (trust - trust_squared) * bright_share

        self.center: list[FloatPlane] = []
        self.difference: list[FloatPlane] = []
        for plane, plane_mean, slope in zip(low, means, slopes):
            slope /= known
            whole = (2.0 * half_span) * slope
            own_dark = plane_mean + slope * (offset - half_span)
            # trusted: the window's dark colour; else what makes the sample's own mean
            dark = _sharpened(plane) - trust_squared * (plane - own_dark) - doubt * whole
            lowest, highest = cv2.erode(plane, _REACH), cv2.dilate(plane, _REACH)
            bright = dark + trust * whole
            for color in (dark, bright):
                np.maximum(color, lowest, out=color)
                np.minimum(color, highest, out=color)
            self.center.append(0.5 * (dark + bright))
            self.difference.append(np.subtract(bright, dark, out=bright))

    def chosen_by(
        self, luma: FloatPlane, scale: float, offset: float
    ) -> tuple[FloatPlane, FloatPlane]:
        """Return (Cb, Cr) at the size of `luma` (H, W), which is spent.

        `luma`: the guide's at full size, times `scale` and plus `offset`.
        """
        size = luma.shape[1], luma.shape[0]
        luma -= cv2.resize(self.middle * np.float32(scale) + np.float32(offset), size)
        luma *= cv2.resize(self.gain * np.float32(1.0 / scale), size)
        choice = np.clip(luma, -0.5, 0.5, out=luma)
        planes = []
        for center, difference in zip(self.center, self.difference):
            plane = cv2.resize(difference, size)
            plane *= choice
            plane += cv2.resize(center, size)
            planes.append(plane)
        return planes[0], planes[1]

    def extremes(self) -> list[tuple[FloatPlane, FloatPlane]]:
        """Return the two (Cb, Cr): all that is chosen lies between those around it."""
        halves = [0.5 * difference for difference in self.difference]
        return [
            (self.center[0] - halves[0], self.center[1] - halves[1]),
            (self.center[0] + halves[0], self.center[1] + halves[1]),
        ]


def _mean(plane: Any) -> FloatPlane:
    mean: FloatPlane = cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    return mean


def _sharpened(plane: FloatPlane) -> FloatPlane:
    around = cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REPLICATE)
    sharp: FloatPlane = cv2.addWeighted(plane, 1.0 + _SHARPENING, around, -_SHARPENING, 0.0)
    return sharp
