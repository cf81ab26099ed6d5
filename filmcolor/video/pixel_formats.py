"""Luma, chroma and RGB planes of decoded frames, whatever their pixel format."""

import mmap
from typing import Any

import av
import av.error
import cv2
import numpy as np

from filmcolor.color.spaces import Channels, luma_from_rgb, rgb_from_ycc
from filmcolor.types.frames import Picture, Plane
from filmcolor.types.yuv import Coding

# bytes from one Y' to the next, and where the first one is
_PACKED = {"yuyv422": (2, 0), "yvyu422": (2, 0), "uyvy422": (2, 1), "ya8": (2, 0)}
# (columns, rows) that share a chroma sample, and how FFmpeg calls the planar format
_PLANAR = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
_LARGE = 1 << 22  # bytes: of planes that get pages of their own


def luma_of(frame: av.VideoFrame, coding: Coding) -> Plane:
    """Return the Y' plane (H, W) of a decoded frame, without a copy where that can be.

    RGB and palette pictures have no luma of their own; theirs is computed.
    """
    name, pixels = frame.format.name, frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        return _luma_of_rgb(frame, coding)
    if name in _PACKED:
        stride, first = _PACKED[name]
        return _rows(frame, stride)[:, first::stride]
    if any(c.plane == 0 for c in pixels.components[1:]):  # a rare packing: have it unpacked
        frame = frame.reformat(format=f"yuv444p{coding.bit_depth}le".replace("p8le", "p"))
    return _code_values(frame, 0, coding)


def rgb_of(frame: av.VideoFrame, coding: Coding) -> Picture:
    """Return R'G'B' uint8 (H, W, 3) of a decoded frame, by its matrix, range and depth.

    Chroma goes up to the luma's size linearly, its samples taken as centred between the
    luma's.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream:
        rgb = _stored_rgb(frame, coding.bit_depth)
        return rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257.0).astype(np.uint8)
    luma = (luma_of(frame, coding).astype(np.float32) - coding.luma_offset) / coding.luma_scale
    channels: Channels = luma, luma, luma
    if len(pixels.components) >= 3:
        size = luma.shape[1], luma.shape[0]
        cb, cr = (
            (cv2.resize(p.astype(np.float32), size) - coding.chroma_offset) / coding.chroma_scale
            for p in chroma_of(frame, coding)
        )
        channels = rgb_from_ycc(luma, cb, cr, coding)
    return np.rint(np.dstack(channels).clip(0.0, 1.0) * 255.0).astype(np.uint8)


def copied(luma: Plane) -> Plane:
    """Return a plane of its own: the decoder's frame would hold its chroma too, while it waits.

    Large ones get pages of their own. The allocator keeps a heap for each thread; where planes
    are made in one and let go in another, such heaps fragment, and memory grows with the film.
    """
    if luma.nbytes < _LARGE:
        return luma.copy()
    pages = np.frombuffer(mmap.mmap(-1, luma.nbytes), luma.dtype)
    copy = pages.reshape(luma.shape)
    copy[...] = luma
    return copy


def chroma_of(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    """Return the (Cb, Cr) planes of a decoded frame, of the size they are coded in.

    Without a copy where that can be. Those of RGB and palette pictures are computed.
    """
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette:
        return _chroma_of_rgb(frame, coding)
    if [c.plane for c in pixels.components[:3]] != [0, 1, 2]:  # packed, or Cb and Cr in turn
        shared = 64 // pixels.chroma_width(64), 64 // pixels.chroma_height(64)
        name = f"{_PLANAR.get(shared, 'yuv444p')}{coding.bit_depth}le".replace("p8le", "p")
        frame = frame.reformat(format=name)
    return _code_values(frame, 1, coding), _code_values(frame, 2, coding)


def _code_values(frame: av.VideoFrame, number: int, coding: Coding) -> Plane:
    """Return a plane that holds one component, without a copy where that can be."""
    pixels = frame.format
    if coding.bit_depth == 8:
        return _rows(frame, 1, number)
    values = _rows(frame, 2, number).view(">u2" if pixels.is_big_endian else "<u2")
    if pixels.name.startswith(("p0", "p2", "p4")) or "msb" in pixels.name:
        return values >> (16 - coding.bit_depth)
    return values.astype(np.uint16, copy=False)


def _rows(frame: av.VideoFrame, num_bytes: int, number: int = 0) -> Plane:
    """Return the bytes of a plane (H, W * num_bytes), sharing the decoder's memory."""
    plane: Any = frame.planes[number]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width * num_bytes]


def _luma_of_rgb(frame: av.VideoFrame, coding: Coding) -> Plane:
    depth = coding.bit_depth
    rgb = _stored_rgb(frame, depth).astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    peak = 255.0 if depth == 8 else 65535.0
    coded = luma * (coding.luma_scale / peak) + coding.luma_offset
    return np.rint(coded).astype(np.uint8 if depth == 8 else np.uint16)


def _chroma_of_rgb(frame: av.VideoFrame, coding: Coding) -> tuple[Plane, Plane]:
    depth = coding.bit_depth
    rgb = _stored_rgb(frame, depth).astype(np.float32)
    kr, kb = coding.kr_kb
    luma = luma_from_rgb(rgb[..., 0], rgb[..., 1], rgb[..., 2], (kr, 1 - kr - kb, kb))
    scale = coding.chroma_scale / (255.0 if depth == 8 else 65535.0)
    cb, cr = (
        np.rint((rgb[..., place] - luma) * (0.5 * scale / (1.0 - k)) + coding.chroma_offset)
        for place, k in ((2, kb), (0, kr))
    )
    dtype = np.uint8 if depth == 8 else np.uint16
    return cb.astype(dtype), cr.astype(dtype)


def _stored_rgb(frame: av.VideoFrame, depth: int) -> Plane:
    """Return R'G'B' (H, W, 3) of an RGB frame: uint8 at a depth of 8, else uint16 in 0..65535."""
    return frame.reformat(format="rgb24" if depth == 8 else "rgb48le").to_ndarray()
