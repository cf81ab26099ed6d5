"""Low-res chroma to the chroma plane's size, its edges where the film's luma has them.

Around each low-res sample the colours are taken for a mixture of two, one that goes with
darker and one with brighter luma. What the two are, and where between them luma divides
them, is found at low resolution from moments; at full size luma only chooses between them.
The choice saturates: grain about either luma changes no colour. As far as luma does not
explain the colours, the result is bilinear interpolation.

All is bound by memory, not by arithmetic. `native` does it in few passes where it is compiled;
else planes are reused as soon as they are spent, and large pictures are made in strips that stay
in the cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from filmcolor import native
from filmcolor.frames import FloatPlane, Gray

_WINDOW = 5  # low-res samples: enough to see both sides of an edge that a sample mixes
_LUMA_EPSILON = 1.3  # luma variance, about (1 code)²: what is flatter tells nothing
_FLAT = 6.5  # luma variance of what is half flat, (2.5 codes)²
_CHROMA_EPSILON = 1e-6  # chroma variance, (a quarter of a code of 8 bits)²
_GAIN = 1.5  # of the choice: 1 follows luma in a line, more keeps grain out
_MAX_SKEWNESS = 3.0  # a share of 8 % of the window: smaller ones cannot be told from noise
_REACH = np.ones((_WINDOW, _WINDOW), np.uint8)
_SHARPENED = 0.5  # of the low-res chroma: half of what area averaging and bilinear blur
_SHARPENING = np.full((3, 3), -_SHARPENED / 9.0, np.float32)
_SHARPENING[1, 1] += 1.0 + _SHARPENED
_TASTE = _LUMA_EPSILON, _FLAT, _CHROMA_EPSILON, _GAIN, _MAX_SKEWNESS, _SHARPENED
_STRIP = 250_000  # samples of a strip: smaller ones cost more calls than they save memory


@dataclass(frozen=True, slots=True)
class Strip:
    """Some rows of full-size planes, and the low-res rows that they are interpolated from."""

    rows: slice
    low: slice
    skipped: int  # enlarged rows above the first of `rows`
    factors: tuple[float, float]  # full size over low-res, x and y

    def enlarged(self, plane: Any) -> Any:
        """Return `rows` of a low-res plane (h, w) enlarged to full size, bilinearly."""
        x, y = self.factors
        rows = cv2.resize(plane[self.low], None, fx=x, fy=y)
        return rows[self.skipped : self.skipped + self.rows.stop - self.rows.start]


def strips(low_shape: tuple[int, int], shape: tuple[int, int]) -> list[Strip]:
    """Cut full-size planes into strips that, enlarged, are the rows of the whole enlarged.

    For that they begin where a low-res row and a full-size one begin together. The first
    rows there are still halfway to the low-res row above, and so belong to the strip above.
    """
    (low_height, low_width), (height, width) = low_shape, shape
    factors = width / low_width, height / low_height
    num_places = math.gcd(low_height, height)
    num_strips = max(1, min(num_places, height * width // _STRIP))
    places = [num_places * i // num_strips for i in range(num_strips + 1)]
    halfway = max(0, math.ceil(factors[1] / 2.0 - 0.5))
    ends = [place * height // num_places for place in places]
    found = []
    for i, start in enumerate(ends[:-1]):
        first = start + halfway if i else 0
        stop = ends[i + 1] + halfway if i + 1 < num_strips else height
        low = slice(*(place * low_height // num_places for place in places[i : i + 2]))
        low = slice(low.start, low.stop + 1)  # what is below the last row, if any
        found.append(Strip(slice(first, stop), low, first - start, factors))
    return found


class TwoColors:
    """Low-res planes that say at each sample which two colours luma has to choose from.

    `center` (Cb, Cr) is half-way between them: half of `difference` is taken off where luma
    is below `middle` and added where it is above; `gain`: how fast that changes with luma.
    `flatness` is 1 where luma is even and 0 in texture. Both colours lie within the range of
    the window's samples, so no colour is ever beyond its neighbourhood's: no halo.
    """

    planes: FloatPlane  # where loops are compiled: all of these, (7, h, w)
    center: list[FloatPlane]
    difference: list[FloatPlane]

    def __init__(self, low: Sequence[FloatPlane], guide: Gray) -> None:
        """`low`: Cb and Cr, (h, w) each; `guide`: luma (h, w), 0 to 255."""
        if native.is_built():
            self.planes = native.two_colors(guide, low, _TASTE)
            self.middle, self.gain, *pairs, self.flatness = self.planes
            self.center, self.difference = pairs[:2], pairs[2:]
            return
        square = guide.astype(np.uint16)
        square *= square
        cube = square.astype(np.int32)
        cube *= guide
        mean, variance, third = _mean(guide), _mean(square), _mean(cube)
        spare = mean * mean
        variance -= spare
        _drop_negative(variance)
        # E (Y - mean)³ = E Y³ - mean (3 variance + mean²)
        cv2.scaleAdd(variance, 3.0, spare, dst=spare)
        spare *= mean
        third -= spare
        self.flatness = cv2.multiply(variance, variance, scale=1.0 / _FLAT**2)
        self.flatness += np.float32(1.0)
        np.divide(np.float32(1.0), self.flatness, out=self.flatness)

        # the two-point distribution that has these three moments
        np.add(variance, np.float32(_LUMA_EPSILON), out=spare)
        root = cv2.pow(spare, -0.5, dst=spare)
        per_variance = root * root
        root *= per_variance
        half_skew = cv2.multiply(third, root, dst=third, scale=0.5)
        np.clip(half_skew, -0.5 * _MAX_SKEWNESS, 0.5 * _MAX_SKEWNESS, out=half_skew)
        deviation = cv2.sqrt(variance, dst=variance)
        offset = np.multiply(half_skew, deviation, out=half_skew)
        half_span = cv2.magnitude(deviation, offset, magnitude=deviation)
        self.middle = mean + offset
        np.multiply(half_span, half_span, out=spare)
        spare += np.float32(_LUMA_EPSILON)
        self.gain = cv2.divide(half_span, spare, dst=spare, scale=0.5 * _GAIN)
        # how far the sample's luma is from the dark one to the bright one
        above_dark = guide - self.middle
        above_dark += half_span
        _drop_negative(above_dark)
        dark_offset = np.subtract(offset, half_span, out=offset)
        span = np.multiply(half_span, np.float32(2.0), out=half_span)
        cv2.min(above_dark, span, dst=above_dark)

        means = [_mean(plane) for plane in low]
        spare = np.empty_like(mean)
        covariances = [_mean(np.multiply(plane, guide, out=spare)) for plane in low]
        spread = _mean(_sum_of_squares(low, spare))
        for plane_mean, covariance in zip(means, covariances):
            covariance -= np.multiply(plane_mean, mean, out=spare)
        spread -= _sum_of_squares(means, spare)
        _drop_negative(spread)
        spread += np.float32(_CHROMA_EPSILON)
        explained = _sum_of_squares(covariances, spare)
        explained *= per_variance
        explained /= spread
        trust = np.multiply(explained, explained, out=spread)  # in there being just these two
        trust *= explained
        trust_squared = np.multiply(trust, trust, out=explained)
        doubt = np.subtract(trust, trust_squared, out=mean)

        # trusted: the window's dark colour; else what makes the sample's own mean
        dark_offset *= trust_squared
        dark_offset -= np.multiply(above_dark, doubt, out=above_dark)
        dark_offset *= per_variance
        span *= trust
        span *= per_variance
        lowest, highest = above_dark, doubt
        self.center, self.difference = [], []
        for plane, plane_mean, covariance in zip(low, means, covariances):
            dark = cv2.filter2D(plane, -1, _SHARPENING, borderType=cv2.BORDER_REPLICATE)
            plane_mean -= plane
            cv2.accumulateProduct(plane_mean, trust_squared, dark)
            cv2.accumulateProduct(covariance, dark_offset, dark)
            bright = np.multiply(covariance, span, out=covariance)
            bright += dark
            cv2.erode(plane, _REACH, dst=lowest)
            cv2.dilate(plane, _REACH, dst=highest)
            for color in (dark, bright):
                cv2.max(color, lowest, dst=color)
                cv2.min(color, highest, dst=color)
            self.center.append(cv2.addWeighted(dark, 0.5, bright, 0.5, 0.0, dst=plane_mean))
            self.difference.append(np.subtract(bright, dark, out=bright))

    def chosen_by(
        self, luma: FloatPlane, strip: Strip, scale: float, offset: float
    ) -> tuple[FloatPlane, FloatPlane]:
        """Return a strip's (Cb, Cr) by its `luma`, the guide's times `scale` plus `offset`.

        `luma` is spent.
        """
        luma -= strip.enlarged(self.middle * np.float32(scale) + np.float32(offset))
        luma *= strip.enlarged(self.gain * np.float32(1.0 / scale))
        choice = np.clip(luma, -0.5, 0.5, out=luma)
        planes = []
        for center, difference in zip(self.center, self.difference):
            plane = strip.enlarged(center)
            cv2.accumulateProduct(choice, strip.enlarged(difference), plane)
            planes.append(plane)
        return planes[0], planes[1]


def _mean(plane: Any) -> FloatPlane:
    mean: FloatPlane = cv2.boxFilter(
        plane, cv2.CV_32F, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE
    )
    return mean


def _sum_of_squares(pair: Any, out: FloatPlane) -> FloatPlane:
    np.multiply(pair[0], pair[0], out=out)
    cv2.accumulateSquare(pair[1], out)
    return out


def _drop_negative(plane: FloatPlane) -> None:
    cv2.threshold(plane, 0.0, 0.0, cv2.THRESH_TOZERO, dst=plane)
