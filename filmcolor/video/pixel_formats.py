"""Extracts luma, chroma and R'G'B' planes from decoded frames of any pixel format."""

import mmap
from typing import Any

import av
import av.error
import cv2
import numpy as np

from filmcolor.color.spaces import Channels, luma_from_rgb, rgb_from_ycc
from filmcolor.types.frames import Picture, Plane
from filmcolor.types.yuv import Coding

# packed formats: bytes from one Y' to the next, and the offset of the first
_PACKED = {"yuyv422": (2, 0), "yvyu422": (2, 0), "uyvy422": (2, 1), "ya8": (2, 0)}
# FFmpeg's planar formats by luma (columns, rows) per chroma sample
_PLANAR = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
_LARGE_PLANE = 1 << 22  # bytes: larger planes get memory pages of their own


def extract_luma(frame: av.VideoFrame, coding: Coding) -> Plane:
    """Return the Y' plane (H, W) of a decoded frame, as a view where possible.

    RGB and palette formats have no luma; it is computed.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        return _luma_from_rgb_frame(frame, coding)
    if pixels.name in _PACKED:
        stride, first = _PACKED[pixels.name]
        return _byte_rows(frame, stride)[:, first::stride]
    if any(c.plane == 0 for c in pixels.components[1:]):  # a rare packed format
        frame = frame.reformat(format=_planar_format("yuv444p", coding.bit_depth))
    return _component_plane(frame, 0, coding)


def extract_chroma(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    """Return the (Cb, Cr) planes of a decoded frame at their coded size, as views where possible.

    RGB and palette formats have no chroma; it is computed.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette:
        return _chroma_from_rgb_frame(frame, coding)
    if [c.plane for c in pixels.components[:3]] != [0, 1, 2]:  # packed, or Cb and Cr interleaved
        subsampling = 64 // pixels.chroma_width(64), 64 // pixels.chroma_height(64)
        name = _PLANAR.get(subsampling, "yuv444p")
        frame = frame.reformat(format=_planar_format(name, coding.bit_depth))
    return _component_plane(frame, 1, coding), _component_plane(frame, 2, coding)


def extract_rgb(frame: av.VideoFrame, coding: Coding) -> Picture:
    """Return R'G'B' uint8 (H, W, 3) of a decoded frame, by its matrix, range and depth.

    Chroma is upsampled bilinearly, its samples taken as centred between the luma samples.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        rgb = _unpack_rgb(frame, coding.bit_depth)
        return rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257.0).astype(np.uint8)
    luma = (extract_luma(frame, coding).astype(np.float32) - coding.luma_offset) / coding.luma_scale
    channels: Channels = luma, luma, luma
    if len(pixels.components) >= 3:
        size = luma.shape[1], luma.shape[0]
        cb, cr = (
            (cv2.resize(p.astype(np.float32), size) - coding.chroma_offset) / coding.chroma_scale
            for p in extract_chroma(frame, coding)
        )
        channels = rgb_from_ycc(luma, cb, cr, coding)
    return np.rint(np.dstack(channels).clip(0.0, 1.0) * 255.0).astype(np.uint8)


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


def _planar_format(name: str, bit_depth: int) -> str:
    """Return FFmpeg's name of a planar format at a bit depth: "yuv444p", "yuv444p10le"."""
    return name if bit_depth == 8 else f"{name}{bit_depth}le"


def _component_plane(frame: av.VideoFrame, number: int, coding: Coding) -> Plane:
    """Return the code values of a plane with one component, as a view where possible."""
    pixels = frame.format
    if coding.bit_depth == 8:
        return _byte_rows(frame, 1, number)
    values = _byte_rows(frame, 2, number).view(">u2" if pixels.is_big_endian else "<u2")
    if pixels.name.startswith(("p0", "p2", "p4")) or "msb" in pixels.name:
        return values >> (16 - coding.bit_depth)
    return values.astype(np.uint16, copy=False)


def _byte_rows(frame: av.VideoFrame, num_bytes: int, number: int = 0) -> Plane:
    """Return the bytes of a plane (H, W * num_bytes), sharing the decoder's memory."""
    plane: Any = frame.planes[number]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width * num_bytes]


def _luma_from_rgb_frame(frame: av.VideoFrame, coding: Coding) -> Plane:
    _, luma, peak = _rgb_and_luma(frame, coding)
    codes = luma * (coding.luma_scale / peak) + coding.luma_offset
    return np.rint(codes).astype(_dtype(coding))


def _chroma_from_rgb_frame(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    rgb, luma, peak = _rgb_and_luma(frame, coding)
    kr, kb = coding.kr_kb
    scale = coding.chroma_scale / peak
    cb, cr = (
        np.rint((rgb[..., channel] - luma) * (0.5 * scale / (1.0 - k)) + coding.chroma_offset)
        for channel, k in ((2, kb), (0, kr))
    )
    return cb.astype(_dtype(coding)), cr.astype(_dtype(coding))


def _rgb_and_luma(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Any, float]:
    """Return R'G'B' (H, W, 3) of an RGB frame, its luma (H, W), and their white level."""
    rgb = _unpack_rgb(frame, coding.bit_depth).astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    return rgb, luma, 255.0 if coding.bit_depth == 8 else 65535.0


def _dtype(coding: Coding) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if coding.bit_depth == 8 else np.uint16


def _unpack_rgb(frame: av.VideoFrame, bit_depth: int) -> Plane:
    """Return R'G'B' (H, W, 3) of an RGB frame: uint8 at 8 bits, else uint16 in 0..65535."""
    return frame.reformat(format="rgb24" if bit_depth == 8 else "rgb48le").to_ndarray()
