"""Low-res ab and full-size luma to chroma planes: edge-aware, in gamut.

ab is turned into Cb and Cr at its own small size, where colour science is cheap. The film's
own luma puts the edges back on the way up (`upsample`), and 8 bits are dithered (`dither`).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor import native
from filmcolor.color import (
    Coding,
    chroma_of_codes,
    convert_chroma,
    convert_luma,
    rgb_from_ycc,
    shrink_into_gamut,
)
from filmcolor.dither import dither, pattern
from filmcolor.frames import AbFrame, ColorFrame, FloatPlane, Gray, LumaFrame, Plane
from filmcolor.upsample import TwoColors, strips

# the chroma sample sits on the left one of two columns, whose mean sits between them
_SITING = {1: np.ones(1), 2: np.array([0.25, 0.75])}  # H.273, chroma location 0
_HALVING = np.array([0.25, 0.5, 0.25])  # keeps the sample on the left one of two columns
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

    @property
    def codings(self) -> tuple[Coding, Coding]:
        """The film's coding and the output's."""
        return self.source, self.target


def add_chroma(frame: AbFrame, plan: ChromaPlan) -> ColorFrame:
    """Return the finished frame: the source's luma itself, and chroma planes for it."""
    film = frame.frame
    luma = convert_luma(film.luma, plan.source, plan.target)
    make = woven_planes if is_woven(frame, plan) else chroma_planes
    cb, cr = make(luma, frame.guide, frame.ab, plan.target, plan.subsampling)
    return ColorFrame.of(film, luma, cb, cr)


def is_woven(frame: AbFrame, plan: ChromaPlan) -> bool:
    """Tell whether a frame's rows of chroma are those of its two fields, in turn."""
    return frame.frame.is_interlaced and plan.subsampling.y > 1


def keep_chroma(film: LumaFrame, plan: ChromaPlan) -> ColorFrame:
    """Return the finished frame of one that is left as it is: with the film's own chroma.

    The same code values where depth and subsampling are the same.
    """
    assert film.chroma is not None
    height, width = film.luma.shape
    luma = convert_luma(film.luma, plan.source, plan.target)
    cb, cr = (
        convert_chroma(_resampled(plane, (width, height), plan.subsampling), *plan.codings)
        for plane in film.chroma
    )
    return ColorFrame.of(film, luma, cb, cr)


def chroma_planes(
    luma: Plane, guide: Gray, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return the coded (Cb, Cr) planes of luma (H, W), whose colour is ab (h, w, 2).

    `guide`: low-res luma (h, w). Planes have the dtype of `luma`; 8 bits are dithered where
    luma is flat.
    """
    plane = _luma_at_chroma(luma, subsampling)
    kernels = guide_kernels(plane.shape, guide.shape, subsampling)
    colors = low_res_colors(guide, ab, coding)
    if native.is_built():
        full_guide = _guide(plane, slice(0, len(plane)), *kernels)
        scales = coding.luma_scale, coding.luma_offset, coding.chroma_scale, coding.chroma_offset
        codes = *scales, *coding.kr_kb, (1 << coding.bit_depth) - 1, coding.bit_depth == 8
        cb, cr = native.choose_colors(plane, full_guide, colors.planes, pattern(), codes)
        return cb, cr
    room = _room(colors, coding)
    coded = np.empty((2, *plane.shape), plane.dtype)
    for strip in strips(guide.shape, plane.shape):
        rows = strip.rows
        full_guide = _guide(plane, rows, *kernels)
        chroma = colors.chosen_by(full_guide, strip, coding.luma_scale / 255.0, coding.luma_offset)
        where = _doubtful(plane[rows], strip.enlarged(room), coding)
        _keep_in_gamut(plane[rows], chroma, where, coding)
        scale, offset = coding.chroma_scale, coding.chroma_offset
        if coding.bit_depth == 8:
            flatness = strip.enlarged(colors.flatness)
            dither(chroma, scale, offset, flatness, coded[:, rows], rows.start)
        else:
            for exact, codes in zip(chroma, coded[:, rows]):
                _round(exact, coding, codes)
    return coded[0], coded[1]


def woven_planes(
    luma: Plane, guide: Gray, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return `chroma_planes` of an interlaced frame: each field's from that field's luma.

    In interlaced 4:2:0 the rows of chroma are the fields' in turn, as those of luma are.
    """
    height, width = luma.shape
    columns, rows = subsampling.plane_size(width, height)
    woven = np.empty((2, rows, columns), luma.dtype)
    for parity in range(2):
        field = np.ascontiguousarray(luma[parity::2])
        slots = woven[:, parity::2]
        for plane, codes in zip(chroma_planes(field, guide, ab, coding, subsampling), slots):
            codes[:] = plane[: len(codes)]
    return woven[0], woven[1]


def low_res_colors(guide: Gray, ab: FloatPlane, coding: Coding) -> TwoColors:
    """Return what full-size luma chooses from: of low-res luma (h, w) and its ab (h, w, 2)."""
    return TwoColors(chroma_of_codes(guide, ab, coding), guide)


def guide_kernels(
    size: tuple[int, int], low_size: tuple[int, int], subsampling: Subsampling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the column and the row that chroma planes' luma (H, W) is filtered with.

    That sets it where the chroma samples sit, and averages its grain.
    """
    rows, columns = (_box(n / low) for n, low in zip(size, low_size))
    return rows, np.convolve(columns, _SITING[subsampling.x])


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


def _resampled(plane: Plane, size: tuple[int, int], subsampling: Subsampling) -> Plane:
    """Return a chroma plane of a picture of `size` (width, height) at another subsampling."""
    wanted = subsampling.plane_size(*size)
    if plane.shape[::-1] == wanted:
        return plane
    # samples of the wanted plane from one of the film's to the next
    across, down = (round(s / n) for s, n in zip(size, plane.shape[::-1]))
    across, down = subsampling.x / across, subsampling.y / down
    plane = np.ascontiguousarray(plane)
    if across == 2:
        plane = cv2.sepFilter2D(plane, -1, _HALVING, np.ones(1), borderType=cv2.BORDER_REPLICATE)
    # columns begin together, rows lie evenly about those that they stand for
    places = np.array([[across, 0.0, 0.0], [0.0, down, (down - 1.0) / 2.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, places, wanted, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _guide(
    plane: Plane, rows: slice, column: NDArray[np.float64], row: NDArray[np.float64]
) -> FloatPlane:
    """Return rows of luma where the chroma samples sit.

    Its grain is averaged over most of a low-res sample.
    """
    side = len(column) // 2
    first = max(rows.start - side, 0)
    guide: FloatPlane = cv2.sepFilter2D(
        plane[first : rows.stop + side],
        cv2.CV_32F,
        row,
        column,
        anchor=(len(row) // 2, side),  # an even one leans to the left
        borderType=cv2.BORDER_REPLICATE,
    )
    return guide[rows.start - first : rows.stop - first]


def _box(ratio: float) -> NDArray[np.float64]:
    """Return a centred running mean for planes `ratio` times the low-res one."""
    width = min(max(1.0, _AVERAGED * ratio), _MAX_AVERAGED)
    side = math.ceil((width - 1.0) / 2.0)
    taps = np.ones(2 * side + 1)
    taps[0] = taps[-1] = (width - (2 * side - 1)) / 2.0 if side else 1.0
    return taps / taps.sum()


def _room(colors: TwoColors, coding: Coding) -> NDArray[np.int16]:
    """Return how far luma may be from mid-grey (h, w), in 8-bit codes, for both colours' sake.

    R'G'B' are linear in chroma, so what lies between colours is not beyond all of them. Each
    is taken to be as far to either side of Y' as the furthest: so there is one limit, not two.
    """
    kr, kb = coding.kr_kb
    blue, red = (
        cv2.addWeighted(np.abs(center), 2.0 * (1.0 - k), np.abs(difference), 1.0 - k, 0.0)
        for center, difference, k in zip(colors.center, colors.difference, (kb, kr))
    )
    green = cv2.addWeighted(blue, kb / (1.0 - kr - kb), red, kr / (1.0 - kr - kb), 0.0)
    furthest = cv2.max(cv2.max(blue, red), green)
    scale = coding.luma_scale / (1 << (coding.bit_depth - 8))
    # a code less, for the rounding here and on the way up
    room: NDArray[np.int16] = cv2.addWeighted(
        furthest, -scale, furthest, 0.0, scale // 2 - 1.5, dtype=cv2.CV_16S
    )
    return room


def _doubtful(plane: Plane, room: NDArray[np.int16], coding: Coding) -> NDArray[np.intp]:
    """Return where luma (H, W), code values, may take what it chooses out of the gamut.

    Found from `room` at full size, which is cheaper than looking at every sample's R'G'B'.
    """
    distance = cv2.absdiff(plane, float(coding.luma_offset + coding.luma_scale // 2))
    if coding.bit_depth > 8:
        distance >>= coding.bit_depth - 8
    return np.flatnonzero(distance.astype(np.int16) >= room)


def _keep_in_gamut(
    plane: Plane, chroma: tuple[FloatPlane, FloatPlane], where: NDArray[np.intp], coding: Coding
) -> None:
    """Shrink the samples `where` (flat indices) in place as far as luma's own detail asks."""
    if not len(where):
        return
    luma = plane.reshape(-1)[where].astype(np.float32)
    luma -= coding.luma_offset
    luma *= 1.0 / coding.luma_scale
    np.clip(luma, 0.0, 1.0, out=luma)
    cb, cr = (p.reshape(-1) for p in chroma)  # views
    cb[where], cr[where] = shrink_into_gamut(luma, cb[where], cr[where], coding)


def _round(chroma: FloatPlane, coding: Coding, codes: Plane) -> None:
    """Write chroma, which is spent, to `codes`."""
    chroma *= coding.chroma_scale
    chroma += coding.chroma_offset
    np.rint(chroma, out=chroma)
    codes[:] = np.clip(chroma, 0, (1 << coding.bit_depth) - 1, out=chroma)
