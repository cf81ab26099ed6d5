"""Low-res ab and full-size luma to chroma planes: edge-aware, in gamut.

ab is turned into Cb and Cr at its own small size, where exact colour science is cheap.
There a local line Cb = slope * Y' + base is fitted (the fast guided filter: He & Sun
2015), and slope and base go up to the chroma plane's size, where the film's own luma puts
the edges back.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from filmcolor.color import (
    Coding,
    chroma_from_lab,
    convert_luma,
    rgb_from_ycc,
    shrink_into_gamut,
)
from filmcolor.frames import AbFrame, ColorFrame, FloatPlane, Plane

_RADIUS = 3  # of the guided filter's window, low-res pixels
_EPSILON = 1e-3  # luma variance below which a window counts as flat: grain is not copied


@dataclass(frozen=True, slots=True)
class Subsampling:
    """How many luma columns and rows share a chroma sample: (2, 2) is 4:2:0."""

    x: int
    y: int

    def plane_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of a chroma plane, rounded up."""
        return -(-width // self.x), -(-height // self.y)


SUBSAMPLING_420 = Subsampling(2, 2)
SUBSAMPLING_422 = Subsampling(2, 1)
SUBSAMPLING_444 = Subsampling(1, 1)


@dataclass(frozen=True, slots=True)
class ChromaPlan:
    """How finished frames are made: from one coding to another of the same range."""

    source: Coding
    target: Coding
    subsampling: Subsampling
    saturation: float = 1.0


def add_chroma(frame: AbFrame, plan: ChromaPlan) -> ColorFrame:
    """Return the finished frame: the source's luma itself, and chroma planes for it."""
    film = frame.frame
    luma = convert_luma(film.luma, plan.source, plan.target)
    ab = frame.ab * np.float32(plan.saturation)
    cb, cr = chroma_planes(luma, frame.small, ab, plan.target, plan.subsampling)
    return ColorFrame(film.number, luma, cb, cr, film.pts, film.duration)


def chroma_planes(
    luma: Plane, small: FloatPlane, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return the coded (Cb, Cr) planes of luma (H, W), whose colour is ab (h, w, 2).

    `small`: luma in 0..1, low-res, of any size. Planes have the dtype of `luma`.
    """
    height, width = ab.shape[:2]
    guide = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    low = np.dstack(chroma_from_lab(guide, ab[..., 0], ab[..., 1], coding)).astype(np.float32)
    full_guide = _luma_at_chroma(luma, coding, subsampling)
    cb, cr = _guided_upsample(low, guide, full_guide)
    cb, cr = shrink_into_gamut(full_guide, cb, cr, coding)
    return _coded(cb, coding, luma.dtype), _coded(cr, coding, luma.dtype)


def rgb_picture(frame: ColorFrame, coding: Coding) -> FloatPlane:
    """Return R'G'B' (H, W, 3) in 0..1, for pictures of a finished frame."""
    height, width = frame.luma.shape
    luma = (frame.luma.astype(np.float32) - coding.luma_offset) / coding.luma_scale
    cb, cr = (
        (cv2.resize(p, (width, height)).astype(np.float32) - coding.chroma_offset)
        / coding.chroma_scale
        for p in (frame.cb, frame.cr)
    )
    picture: FloatPlane = np.dstack(rgb_from_ycc(luma, cb, cr, coding)).clip(0.0, 1.0)
    return picture


def _luma_at_chroma(luma: Plane, coding: Coding, subsampling: Subsampling) -> FloatPlane:
    """Return luma in 0..1 where the chroma samples sit (H.273: left, centred vertically)."""
    height, width = luma.shape
    size = subsampling.plane_size(width, height)
    if subsampling.x * size[0] != width or subsampling.y * size[1] != height:
        pad = (subsampling.y * size[1] - height, subsampling.x * size[0] - width)
        luma = cv2.copyMakeBorder(luma, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    plane = (
        luma if size == (width, height) else cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    )
    scaled = plane.astype(np.float32)
    scaled -= coding.luma_offset
    scaled *= 1.0 / coding.luma_scale
    if subsampling.x == 2:  # the mean sits between two columns; the sample on the left one
        scaled[:, 1:] = 0.75 * scaled[:, 1:] + 0.25 * scaled[:, :-1]
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def _guided_upsample(
    low: FloatPlane, guide: FloatPlane, full_guide: FloatPlane
) -> tuple[FloatPlane, FloatPlane]:
    """Return low (h, w, 2) at the size of full_guide, two planes, its edges where luma's are."""
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)

    def mean(values: Any) -> Any:
        return cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_low = mean(guide), mean(low)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(low * guide[..., None]) - mean_low * mean_guide[..., None]
    slope = covariance / (variance + _EPSILON)[..., None]
    base = mean_low - slope * mean_guide[..., None]
    size = full_guide.shape[1], full_guide.shape[0]
    slope, base = (cv2.resize(mean(values), size) for values in (slope, base))
    return (
        slope[..., 0] * full_guide + base[..., 0],
        slope[..., 1] * full_guide + base[..., 1],
    )


def _coded(chroma: FloatPlane, coding: Coding, dtype: np.dtype) -> Plane:
    coded = chroma * coding.chroma_scale + coding.chroma_offset
    np.rint(coded, out=coded)
    limit = (1 << coding.bit_depth) - 1
    return np.clip(coded, 0, limit, out=coded).astype(dtype)
