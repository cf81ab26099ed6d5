"""Low-res ab and full-size luma to chroma planes: edge-aware, in gamut.

ab is turned into Cb and Cr at its own small size, where exact colour science is cheap. The
film's own luma puts the edges back on the way up (`upsample`), and 8 bits are dithered
(`dither`).
"""

import math
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color import Coding, chroma_from_lab, convert_luma, rgb_from_ycc, shrink_into_gamut
from filmcolor.dither import dithered
from filmcolor.frames import AbFrame, ColorFrame, FloatPlane, Gray, Plane
from filmcolor.upsample import TwoColors

# the chroma sample sits on the left one of two columns, whose mean sits between them
_SITING = {1: np.ones(1), 2: np.array([0.25, 0.75])}  # H.273, chroma location 0
_AVERAGED = 0.7  # low-res samples over which the guide's grain is averaged
_MAX_AVERAGED = 7.0  # chroma samples


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
    cb, cr = chroma_planes(luma, frame.guide, ab, plan.target, plan.subsampling)
    return ColorFrame(film.number, luma, cb, cr, film.pts, film.duration)


def chroma_planes(
    luma: Plane, guide: Gray, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return the coded (Cb, Cr) planes of luma (H, W), whose colour is ab (h, w, 2).

    `guide`: low-res luma (h, w). Planes have the dtype of `luma`; 8 bits are dithered where
    luma is flat.
    """
    height, width = guide.shape
    low_guide = guide * np.float32(1.0 / 255.0)
    low = chroma_from_lab(
        low_guide, np.ascontiguousarray(ab[..., 0]), np.ascontiguousarray(ab[..., 1]), coding
    )
    plane = _luma_at_chroma(luma, subsampling)
    colors = TwoColors(low, low_guide)
    full_guide = _guide(plane, (height, width), subsampling)
    cb, cr = colors.chosen_by(full_guide, coding.luma_scale, coding.luma_offset)
    _keep_in_gamut(plane, cb, cr, _doubtful(plane, colors, coding), coding)
    return _coded(cb, coding, colors.flatness, 0), _coded(cr, coding, colors.flatness, 1)


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


def _luma_at_chroma(luma: Plane, subsampling: Subsampling) -> Plane:
    """Return luma code values at the chroma plane's size, each the mean of its pixels."""
    height, width = luma.shape
    size = subsampling.plane_size(width, height)
    if size == (width, height):
        return luma
    pad = (subsampling.y * size[1] - height, subsampling.x * size[0] - width)
    if any(pad):
        luma = cv2.copyMakeBorder(luma, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)


def _guide(plane: Plane, low_size: tuple[int, int], subsampling: Subsampling) -> FloatPlane:
    """Return luma where the chroma samples sit, its grain averaged over most of a low-res one."""
    rows, columns = (_box(n / low) for n, low in zip(plane.shape, low_size))
    columns = np.convolve(columns, _SITING[subsampling.x])
    guide: FloatPlane
    if len(columns) == len(rows) == 1:
        guide = plane.astype(np.float32)
    else:
        guide = cv2.sepFilter2D(
            plane,
            cv2.CV_32F,
            columns,
            rows,
            anchor=(len(columns) // 2, len(rows) // 2),  # an even one leans to the left
            borderType=cv2.BORDER_REPLICATE,
        )
    return guide


def _box(ratio: float) -> NDArray[np.float64]:
    """Return a centred running mean for planes `ratio` times the low-res one."""
    width = min(max(1.0, _AVERAGED * ratio), _MAX_AVERAGED)
    side = math.ceil((width - 1.0) / 2.0)
    taps = np.ones(2 * side + 1)
    taps[0] = taps[-1] = (width - (2 * side - 1)) / 2.0 if side else 1.0
    return taps / taps.sum()


def _doubtful(plane: Plane, colors: TwoColors, coding: Coding) -> NDArray[np.intp]:
    """Return where luma (H, W), code values, may take what it chooses out of the gamut.

    Found from the colours' room at low resolution, which is cheaper than looking at every
    sample's R'G'B': those are linear in chroma, so what lies between colours is not beyond
    all of them.
    """
    kr, kb = coding.kr_kb
    channels: list[FloatPlane] = []  # R' - Y', G' - Y', B' - Y' of both colours
    for cb, cr in colors.extremes():
        reds, blues = cr * np.float32(2.0 * (1.0 - kr)), cb * np.float32(2.0 * (1.0 - kb))
        greens = cv2.addWeighted(reds, -kr / (1.0 - kr - kb), blues, -kb / (1.0 - kr - kb), 0.0)
        channels += reds, greens, blues
    highest, lowest = reduce(np.maximum, channels), reduce(np.minimum, channels)
    size = plane.shape[1], plane.shape[0]
    # one code less on either side, for the rounding on the way up
    top = np.floor((1.0 - highest) * coding.luma_scale) + (coding.luma_offset - 1)
    bottom = np.ceil(lowest * -coding.luma_scale) + (coding.luma_offset + 1)
    limit = np.iinfo(plane.dtype).max
    top, bottom = (
        cv2.resize(bound.clip(0, limit).astype(plane.dtype), size) for bound in (top, bottom)
    )
    return np.flatnonzero((plane > top) | (plane < bottom))


def _keep_in_gamut(
    plane: Plane, cb: FloatPlane, cr: FloatPlane, where: NDArray[np.intp], coding: Coding
) -> None:
    """Shrink the samples `where` (flat indices) in place as far as luma's own detail asks."""
    if not len(where):
        return
    luma = plane.reshape(-1)[where].astype(np.float32)
    luma -= coding.luma_offset
    luma *= 1.0 / coding.luma_scale
    np.clip(luma, 0.0, 1.0, out=luma)
    cb_flat, cr_flat = cb.reshape(-1), cr.reshape(-1)  # views
    cb_flat[where], cr_flat[where] = shrink_into_gamut(luma, cb_flat[where], cr_flat[where], coding)


def _coded(chroma: FloatPlane, coding: Coding, flatness: FloatPlane, plane: int) -> Plane:
    if coding.bit_depth == 8:
        return dithered(chroma, coding.chroma_scale, coding.chroma_offset, flatness, plane)
    chroma *= coding.chroma_scale
    chroma += coding.chroma_offset
    np.rint(chroma, out=chroma)
    limit = (1 << coding.bit_depth) - 1
    return np.clip(chroma, 0, limit, out=chroma).astype(np.uint16)
