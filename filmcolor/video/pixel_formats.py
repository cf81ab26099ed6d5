"""Extracts luma, chroma and R'G'B' planes from decoded frames of any pixel format."""

import mmap
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color.spaces import Channels, luma_from_rgb, rgb_from_ycc, srgb_from_linear
from filmcolor.types.frames import FloatPlane, Picture, Plane
from filmcolor.types.yuv import Coding
from filmcolor.video.pixel_layout import can_unpack, code_depth, is_float, is_rgb_like, unpack

_LARGE_PLANE = 1 << 22  # bytes: larger planes get memory pages of their own


def extract_luma(frame: av.VideoFrame, coding: Coding, is_linear: bool = False) -> Plane:
    """Return the Y' plane (H, W) of a decoded frame, as a view where possible.

    RGB and palette formats have no luma; it is computed. `is_linear`: floating-point values are
    linear light and get the curve of sRGB; otherwise they are Y' or R'G'B', black 0 and white 1.
    """
    if is_rgb_like(frame.format):
        _, luma, peak = _rgb_and_luma(frame, coding, is_linear)
    elif is_float(frame.format):
        luma, peak = _nonlinear(unpack(frame, 0), is_linear), 1.0
    else:
        return unpack(frame, 0)
    codes = luma * (coding.luma_scale / peak) + coding.luma_offset
    return np.rint(codes).astype(_dtype(coding))


def extract_chroma(
    frame: av.VideoFrame, coding: Coding, is_linear: bool = False
) -> tuple[Plane, Plane]:
    """Return the (Cb, Cr) planes of a decoded frame at their coded size, as views where possible.

    RGB and palette formats have no chroma; it is computed. `is_linear`: as for `extract_luma`.
    """
    if is_rgb_like(frame.format):
        return _chroma_from_rgb_frame(frame, coding, is_linear)
    return unpack(frame, 1), unpack(frame, 2)


def extract_alpha(frame: av.VideoFrame) -> Plane:
    """Return the alpha plane (H, W) of a decoded frame, as a view where possible.

    Code values of the luma's bit depth: 0 is transparent, the highest opaque.
    """
    pixels = frame.format
    alpha = unpack(frame, len(pixels.components) - 1)
    if is_float(pixels):
        return np.rint(np.nan_to_num(alpha).clip(0.0, 1.0) * 65535.0).astype(np.uint16)
    return alpha


def extract_rgb(frame: av.VideoFrame, coding: Coding, is_linear: bool = False) -> Picture:
    """Return R'G'B' uint8 (H, W, 3) of a decoded frame, by its matrix, range and depth.

    Chroma is upsampled bilinearly, its samples taken as centred between the luma samples.
    `is_linear`: as for `extract_luma`.
    """
    rgb, peak = _rgb_and_peak(frame, coding, is_linear)
    return rgb if rgb.dtype == np.uint8 else np.rint(rgb * (255.0 / peak)).astype(np.uint8)


def extract_deep_rgb(
    frame: av.VideoFrame, coding: Coding, is_linear: bool = False
) -> NDArray[np.uint16]:
    """Return R'G'B' uint16 (H, W, 3) of a decoded frame, like `extract_rgb`."""
    rgb, peak = _rgb_and_peak(frame, coding, is_linear)
    return np.rint(rgb * (65535.0 / peak)).astype(np.uint16)


def _rgb_and_peak(
    frame: av.VideoFrame, coding: Coding, is_linear: bool
) -> tuple[NDArray[Any], float]:
    """Return R'G'B' (H, W, 3) of a frame, uint8, uint16 or float32, and its white level."""
    if is_rgb_like(frame.format):
        return _unpack_rgb(frame, is_linear)
    codes = extract_luma(frame, coding, is_linear).astype(np.float32)
    luma = (codes - coding.luma_offset) / coding.luma_scale
    channels: Channels = luma, luma, luma
    if len(frame.format.components) >= 3:
        size = luma.shape[1], luma.shape[0]
        cb, cr = (
            (cv2.resize(p.astype(np.float32), size) - coding.chroma_offset) / coding.chroma_scale
            for p in extract_chroma(frame, coding)
        )
        channels = rgb_from_ycc(luma, cb, cr, coding)
    return np.dstack(channels).clip(0.0, 1.0), 1.0


def copy_plane(plane: Plane) -> Plane:
    """Return a copy of a plane, which does not keep the decoder's frame alive.

    About a hundred frames wait for later ones at a time, and a view would hold each frame's chroma
    and padding too. The copy costs 0.03 ms at 480p. Large planes get memory pages of their own: the
    allocator keeps a heap per thread, and where one thread allocates planes and another releases
    them the heaps fragment, so that memory would grow with the film.
    """
    if plane.nbytes < _LARGE_PLANE:
        return plane.copy()
    pages = np.frombuffer(mmap.mmap(-1, plane.nbytes), plane.dtype)
    copy = pages.reshape(plane.shape)
    copy[...] = plane
    return copy


def _chroma_from_rgb_frame(
    frame: av.VideoFrame, coding: Coding, is_linear: bool
) -> tuple[Plane, Plane]:
    rgb, luma, peak = _rgb_and_luma(frame, coding, is_linear)
    kr, kb = coding.kr_kb
    scale = coding.chroma_scale / peak
    cb, cr = (
        np.rint((rgb[..., channel] - luma) * (0.5 * scale / (1.0 - k)) + coding.chroma_offset)
        for channel, k in ((2, kb), (0, kr))
    )
    return cb.astype(_dtype(coding)), cr.astype(_dtype(coding))


def _rgb_and_luma(
    frame: av.VideoFrame, coding: Coding, is_linear: bool
) -> tuple[FloatPlane, FloatPlane, float]:
    """Return R'G'B' (H, W, 3) of an RGB frame, its luma (H, W), and their white level."""
    values, peak = _unpack_rgb(frame, is_linear)
    rgb = values.astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    return rgb, luma, peak


def _unpack_rgb(frame: av.VideoFrame, is_linear: bool) -> tuple[Plane, float]:
    """Return R'G'B' (H, W, 3) of an RGB frame, uint8, uint16 or float32, and its white level."""
    pixels = frame.format
    if can_unpack(pixels):
        rgb = np.dstack([unpack(frame, number) for number in range(3)])
        if is_float(pixels):
            return _nonlinear(rgb, is_linear), 1.0
        return rgb, float((1 << code_depth(pixels)) - 1)
    is_deep = max(component.bits for component in pixels.components) > 8
    converted = frame.reformat(format="rgb48le" if is_deep else "rgb24").to_ndarray()
    return converted, 65535.0 if is_deep else 255.0


def _nonlinear(values: FloatPlane, is_linear: bool) -> FloatPlane:
    """Return floating-point samples within 0..1, with the curve of sRGB for linear light."""
    inside = np.nan_to_num(values, nan=0.0).clip(0.0, 1.0)
    return srgb_from_linear(inside).astype(np.float32) if is_linear else inside


def _dtype(coding: Coding) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if coding.bit_depth == 8 else np.uint16
