"""Low-res ab and full-size luma to finished chroma planes: edge-aware, in gamut, dithered.

ab is converted to Cb and Cr at its own low resolution, where that is cheap (`gamut`). The film's
luma puts the edges back on the way up (`upsampling`), and 8-bit planes are dithered (`dither`).
Chroma siting is MPEG's (left).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from filmcolor.color import dither
from filmcolor.color.gamut import chroma_from_gray
from filmcolor.color.spaces import rgb_from_ycc
from filmcolor.color.upsampling import full_size_guide, luma_at_chroma, two_colors
from filmcolor.kernels import ops
from filmcolor.types.frames import AbFrame, ColorFrame, FloatPlane, Gray, LumaFrame, Plane
from filmcolor.types.yuv import Coding, Subsampling, convert_chroma, convert_luma

_HALVING = np.array([0.25, 0.5, 0.25])  # keeps the sample on the left of two columns


@dataclass(frozen=True, slots=True)
class ChromaPlan:
    """How finished frames are coded: from one coding to another, both of one matrix."""

    source: Coding
    target: Coding
    subsampling: Subsampling


def add_chroma(frame: AbFrame, plan: ChromaPlan) -> ColorFrame:
    """Return the finished frame: the source's own luma, and chroma planes for it."""
    luma = convert_luma(frame.source.luma, plan.source, plan.target)
    make = interlaced_chroma_planes if has_interlaced_chroma(frame, plan) else chroma_planes
    cb, cr = make(luma, frame.guide, frame.ab, plan.target, plan.subsampling)
    return ColorFrame.from_source(frame.source, luma, cb, cr)


def has_interlaced_chroma(frame: AbFrame, plan: ChromaPlan) -> bool:
    """Return whether a frame's chroma rows belong to its two fields in turn."""
    return frame.source.is_interlaced and plan.subsampling.y > 1


def keep_source_chroma(source: LumaFrame, plan: ChromaPlan) -> ColorFrame:
    """Return a finished frame with the chroma that the film has.

    Code values are unchanged where bit depth and subsampling are.
    """
    assert source.chroma is not None
    height, width = source.luma.shape
    luma = convert_luma(source.luma, plan.source, plan.target)
    cb, cr = (
        convert_chroma(
            _resample(plane, (width, height), plan.subsampling), plan.source, plan.target
        )
        for plane in source.chroma
    )
    return ColorFrame.from_source(source, luma, cb, cr)


def chroma_planes(
    luma: Plane, guide: Gray, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return the coded (Cb, Cr) planes of a picture with luma (H, W) and colour ab (h, w, 2).

    `guide`: low-res luma (h, w). The planes have the dtype of `luma`; 8-bit planes are dithered
    where luma is flat.
    """
    plane = luma_at_chroma(luma, subsampling)
    full_guide = full_size_guide(plane, guide.shape, subsampling)
    colors = two_colors(chroma_from_gray(guide, ab, coding), guide)
    cb, cr = ops.choose_colors(plane, full_guide, colors, dither.noise(), _kernel_coding(coding))
    return cb, cr


def interlaced_chroma_planes(
    luma: Plane, guide: Gray, ab: FloatPlane, coding: Coding, subsampling: Subsampling
) -> tuple[Plane, Plane]:
    """Return `chroma_planes` of an interlaced frame: each field's from that field's luma.

    In interlaced 4:2:0 the rows of chroma belong to the fields in turn, as those of luma do.
    """
    height, width = luma.shape
    columns, rows = subsampling.plane_size(width, height)
    interleaved = np.empty((2, rows, columns), luma.dtype)
    for parity in range(2):
        field = np.ascontiguousarray(luma[parity::2])
        slots = interleaved[:, parity::2]
        for plane, slot in zip(chroma_planes(field, guide, ab, coding, subsampling), slots):
            slot[:] = plane[: len(slot)]
    return interleaved[0], interleaved[1]


def rgb_picture(frame: ColorFrame, coding: Coding) -> FloatPlane:
    """Return R'G'B' (H, W, 3) in 0..1 of a finished frame, for pictures of it."""
    height, width = frame.luma.shape
    luma = (frame.luma.astype(np.float32) - coding.luma_offset) / coding.luma_scale
    cb, cr = (
        (cv2.resize(p, (width, height)).astype(np.float32) - coding.chroma_offset)
        / coding.chroma_scale
        for p in (frame.cb, frame.cr)
    )
    picture: FloatPlane = np.dstack(rgb_from_ycc(luma, cb, cr, coding)).clip(0.0, 1.0)
    return picture


def _kernel_coding(coding: Coding) -> ops.ChromaCoding:
    return ops.ChromaCoding(
        coding.luma_scale,
        coding.luma_offset,
        coding.chroma_scale,
        coding.chroma_offset,
        *coding.kr_kb,
        peak=(1 << coding.bit_depth) - 1,
        is_dithered=coding.bit_depth == 8,
    )


def _resample(plane: Plane, size: tuple[int, int], subsampling: Subsampling) -> Plane:
    """Return a chroma plane of a picture of `size` (width, height) at another subsampling."""
    target_size = subsampling.plane_size(*size)
    if plane.shape[::-1] == target_size:
        return plane
    # samples of the target plane per sample of the film's
    across, down = (round(s / n) for s, n in zip(size, plane.shape[::-1]))
    across, down = subsampling.x / across, subsampling.y / down
    plane = np.ascontiguousarray(plane)
    if across == 2:
        plane = cv2.sepFilter2D(plane, -1, _HALVING, np.ones(1), borderType=cv2.BORDER_REPLICATE)
    # first columns coincide; rows are centred on those they stand for
    places = np.array([[across, 0.0, 0.0], [0.0, down, (down - 1.0) / 2.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, places, target_size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
