"""Frames as they are compared, in grey, in one colouring or another: pictures and their sums.

A film's frames are compared at a short side of at most SIZE pixels, R'G'B' in 8 bits and ab
unrounded: no definition names a size, and ab and its error are in Lab units, not in pixels; but
grain and fine colour detail are averaged, so figures of other sizes differ a little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeVar

import cv2
import numpy as np

from filmcolor import metrics
from filmcolor.color import Coding, lab_from_rgb
from filmcolor.frames import FloatPlane, Picture, Plane

K = TypeVar("K")

SIZE = 256  # short side at which a film's frames are compared, pixels


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture as one row shows it."""

    rgb: Picture
    ab: FloatPlane  # (H, W, 2), CIELAB


def show_rgb(rgb: FloatPlane) -> Shown:
    """Return a film's frame, R'G'B' in 0..1 (H, W, 3), at the size of comparison."""
    picture = reduced(rgb)  # not rounded again for ab: that is noise of its own, 0.3 Lab units
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(picture[..., c]) for c in range(3)))
    return Shown(eight_bits(picture), np.dstack([a, b]))


def show_luma(luma: FloatPlane) -> Shown:
    """Return R' = G' = B' = Y' of luma in 0..1 (H, W), at its own size."""
    rgb = np.repeat(eight_bits(luma)[..., None], 3, axis=2)
    return Shown(rgb, np.zeros((*luma.shape, 2), np.float32))


def scaled_luma(luma: Plane, coding: Coding) -> FloatPlane:
    """Return luma (H, W) of code values, black at 0 and white at 1, not clipped."""
    scaled = luma.astype(np.float32) - np.float32(coding.luma_offset)
    return scaled / np.float32(coding.luma_scale)


def reduced(picture: FloatPlane) -> FloatPlane:
    """Return a picture (H, W) or (H, W, C) at the size of comparison; it is never enlarged."""
    size = reduced_size(picture.shape[1], picture.shape[0])
    if size == picture.shape[1::-1]:
        return picture
    small: FloatPlane = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) at which frames of a size are compared."""
    scale = min(1.0, SIZE / min(width, height))
    return round(width * scale), round(height * scale)


def eight_bits(values: FloatPlane) -> Picture:
    """Return code values of 0..1, uint8 of the same shape."""
    return np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8)


class Tally:
    """What a row adds up, picture by picture: means of `metrics`."""

    def __init__(self) -> None:
        self.error, self.chroma = metrics.Mean(), metrics.Mean()
        self.colorfulness, self.psnr = metrics.Mean(), metrics.Mean()
        self.cdc, self.warp = metrics.Cdc(), metrics.WarpErrors()

    def add(self, view: Shown, truth: Shown | None) -> None:
        """Take in a picture; without a truth, all but its error."""
        num_pixels = view.ab.shape[0] * view.ab.shape[1]
        if truth is not None:
            self.error.add(metrics.ab_square_error(view.ab, truth.ab), num_pixels)
        self.chroma.add(metrics.mean_chroma(view.ab), num_pixels)
        self.colorfulness.add(metrics.colorfulness(view.rgb))

    def follow(self, view: Shown, step: metrics.Step) -> None:
        """Take in a frame as the next one of a film."""
        self.cdc.add(view.rgb, step.near is None)
        self.warp.add(view.ab, step)


def add_views(tallies: dict[K, Tally], views: Mapping[K, Shown]) -> None:
    """Take in one picture as all rows show it, grey first and the truth last."""
    grey_view, *_, truth = views.values()
    is_exactly_grey = np.array_equal(grey_view.rgb, truth.rgb)  # black leader: PSNR is infinite
    for key, view in views.items():
        tally = tallies.setdefault(key, Tally())
        tally.add(view, truth)
        if view is not truth and not is_exactly_grey:
            ratio = metrics.psnr(view.rgb, truth.rgb)
            if isfinite(ratio):  # else one frame would hide all others
                tally.psnr.add(ratio)
