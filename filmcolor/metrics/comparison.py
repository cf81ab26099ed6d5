"""Renditions of a picture at the size of comparison, and the running metrics of each.

Frames of a film are compared at a short side of at most SIZE pixels, as R'G'B' in 8 bits and ab
that is not rounded. No metric's definition names a size, and ab and its error are in Lab units, not
in pixels; but smaller pictures average grain and fine colour detail, so metrics of other sizes
differ a little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeVar

import cv2
import numpy as np

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.metrics.image import Mean, ab_square_error, colorfulness, mean_chroma, psnr
from filmcolor.metrics.temporal import Cdc, FrameMotion, WarpErrors
from filmcolor.types.frames import FloatPlane, Picture, Plane
from filmcolor.types.yuv import Coding

K = TypeVar("K")

GREY, FILM, TRUTH = "grey", "film", "truth"  # names of renditions, in this order
SIZE = 256  # short side at which a film's frames are compared, pixels


@dataclass(frozen=True, slots=True, eq=False)
class Rendition:
    """A picture in one of the colourings that are compared."""

    rgb: Picture  # (H, W, 3), R'G'B'
    ab: FloatPlane  # (H, W, 2), CIELAB

    @classmethod
    def from_rgb(cls, rgb: FloatPlane) -> "Rendition":
        """Return a film's frame, R'G'B' in 0..1 (H, W, 3), downscaled to the comparison size."""
        picture = downscale_to_comparison(rgb)
        # ab of unrounded R'G'B': rounding adds noise of 0.3 Lab units
        _, a, b = lab_from_rgb(*(np.ascontiguousarray(picture[..., c]) for c in range(3)))
        return cls(to_8_bits(picture), np.dstack([a, b]))

    @classmethod
    def from_luma(cls, luma: FloatPlane) -> "Rendition":
        """Return R' = G' = B' = Y' of luma in 0..1 (H, W), at its own size."""
        rgb = np.repeat(to_8_bits(luma)[..., None], 3, axis=2)
        return cls(rgb, np.zeros((*luma.shape, 2), np.float32))


def normalize_luma(luma: Plane, coding: Coding) -> FloatPlane:
    """Return luma (H, W) of code values with black at 0 and white at 1, not clipped."""
    shifted = luma.astype(np.float32) - np.float32(coding.luma_offset)
    return shifted / np.float32(coding.luma_scale)


def downscale_to_comparison(picture: FloatPlane) -> FloatPlane:
    """Return a picture (H, W) or (H, W, C) at the comparison size; it is never enlarged."""
    return resize_area(picture, comparison_size(picture.shape[1], picture.shape[0]))


def comparison_size(width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) at which frames of a size are compared."""
    scale = min(1.0, SIZE / min(width, height))
    return round(width * scale), round(height * scale)


def resize_area(picture: FloatPlane, size: tuple[int, int]) -> FloatPlane:
    """Return a picture (H, W) or (H, W, C) at a size (width, height), averaged over areas."""
    if picture.shape[1::-1] == size:
        return picture
    resized: FloatPlane = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return resized


def to_8_bits(values: FloatPlane) -> Picture:
    """Return values in 0..1 as uint8 code values of the same shape."""
    return np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8)


class MetricAccumulator:
    """Accumulates the metrics of one colouring, picture by picture."""

    def __init__(self) -> None:
        self.error, self.chroma = Mean(), Mean()
        self.colorfulness, self.psnr = Mean(), Mean()
        self.cdc, self.warp = Cdc(), WarpErrors()

    def add(self, rendition: Rendition, truth: Rendition | None) -> None:
        """Add a picture's own metrics, and its ab error where there is a truth."""
        num_pixels = rendition.ab.shape[0] * rendition.ab.shape[1]
        if truth is not None:
            self.error.add(ab_square_error(rendition.ab, truth.ab), num_pixels)
        self.chroma.add(mean_chroma(rendition.ab), num_pixels)
        self.colorfulness.add(colorfulness(rendition.rgb))

    def add_motion(self, rendition: Rendition, motion: FrameMotion) -> None:
        """Add the next frame of a film to the metrics over time."""
        self.cdc.add(rendition.rgb, motion.short is None)
        self.warp.add(rendition.ab, motion)


def add_renditions(
    accumulators: dict[K, MetricAccumulator], renditions: Mapping[K, Rendition]
) -> None:
    """Add the renditions of one picture to their accumulators; grey is first, the truth last."""
    grey, *_, truth = renditions.values()
    is_truth_grey = np.array_equal(grey.rgb, truth.rgb)  # black leader: PSNR is infinite
    for key, rendition in renditions.items():
        accumulator = accumulators.setdefault(key, MetricAccumulator())
        accumulator.add(rendition, truth)
        if rendition is not truth and not is_truth_grey:
            ratio = psnr(rendition.rgb, truth.rgb)
            if isfinite(ratio):  # an infinite value would hide all others in the mean
                accumulator.psnr.add(ratio)
