"""Reads single components out of FFmpeg's pixel formats, without changing a value.

PyAV gives the plane and the bits of each component; where its samples lie within the plane is
written here, as in FFmpeg's table of formats (libavutil/pixdesc.c, the comments of pixfmt.h).
"""

import re
from typing import Any

import av
import numpy as np

from filmcolor.types.frames import Plane

_MAX_BITS = 16  # of code values here: 32-bit integers lose their lower half

# (step, offset) of Y', Cb, Cr and opacity, in items of one sample each
_PACKED_YUV = {
    "yuyv422": ((2, 0), (4, 1), (4, 3)),
    "yvyu422": ((2, 0), (4, 3), (4, 1)),
    "uyvy422": ((2, 1), (4, 0), (4, 2)),
    "y210": ((2, 0), (4, 1), (4, 3)),
    "y212": ((2, 0), (4, 1), (4, 3)),
    "y216": ((2, 0), (4, 1), (4, 3)),
    "ayuv": ((4, 1), (4, 2), (4, 3), (4, 0)),
    "ayuv64": ((4, 1), (4, 2), (4, 3), (4, 0)),
    "uyva": ((4, 1), (4, 0), (4, 2), (4, 3)),
    "vuya": ((4, 2), (4, 1), (4, 0), (4, 3)),
    "vuyx": ((4, 2), (4, 1), (4, 0)),
    "vyu444": ((3, 1), (3, 2), (3, 0)),
    "xv36": ((4, 1), (4, 0), (4, 2)),
    "xv48": ((4, 1), (4, 0), (4, 2)),
    "uyyvyy411": ((6, 1), (6, 0), (6, 3)),  # Y' also at 2, 4 and 5: see `unpack`
}
# formats that pack several components into one item: its bytes, and (lowest bit, bits) of each
_BIT_FIELDS = {
    "x2rgb10": (4, ((20, 10), (10, 10), (0, 10))),
    "x2bgr10": (4, ((0, 10), (10, 10), (20, 10))),
    "xv30": (4, ((10, 10), (0, 10), (20, 10))),
    "v30x": (4, ((12, 10), (2, 10), (22, 10))),
    "rgb565": (2, ((11, 5), (5, 6), (0, 5))),
    "bgr565": (2, ((0, 5), (5, 6), (11, 5))),
    "rgb555": (2, ((10, 5), (5, 5), (0, 5))),
    "bgr555": (2, ((0, 5), (5, 5), (10, 5))),
    "rgb444": (2, ((8, 4), (4, 4), (0, 4))),
    "bgr444": (2, ((0, 4), (4, 4), (8, 4))),
    "rgb8": (1, ((5, 3), (2, 3), (0, 2))),
    "bgr8": (1, ((0, 3), (3, 3), (6, 2))),
    "rgb4_byte": (1, ((3, 1), (1, 2), (0, 1))),
    "bgr4_byte": (1, ((0, 1), (1, 2), (3, 1))),
}
_SWAPPED_CHROMA = ("nv21", "nv42")  # Cr before Cb
# samples in the upper bits of their 16
_UPPER_BITS = re.compile(r"p[024]1\d|y21\d|xv36|.*msb")


def is_float(pixels: av.VideoFormat) -> bool:
    """Return whether a format holds floating-point samples, black 0.0 and white 1.0."""
    return re.search(r"f(16|32)$", _base_name(pixels)) is not None


def is_rgb_like(pixels: av.VideoFormat) -> bool:
    """Return whether a format has no luma of its own: RGB, palettes, X'Y'Z', black and white."""
    return pixels.is_rgb or pixels.has_palette or pixels.name.startswith(("xyz", "mono"))


def code_depth(pixels: av.VideoFormat) -> int:
    """Return the bits of the code values that are read from a format, 8 to 16."""
    if pixels.has_palette:
        return 8
    return _MAX_BITS if is_float(pixels) else min(_MAX_BITS, max(8, pixels.components[0].bits))


def is_known(pixels: av.VideoFormat) -> bool:
    """Return whether frames of a format have pictures to read.

    Not those of camera sensors (Bayer patterns), nor those that a graphics card holds.
    """
    return bool(pixels.components) and not pixels.is_bayer and pixels.name not in ("rgb4", "bgr4")


def can_unpack(pixels: av.VideoFormat) -> bool:
    """Return whether `unpack` reads a format; palettes, bits and X'Y'Z' are converted first."""
    return not (pixels.has_palette or pixels.name.startswith(("xyz", "mono")))


def unpack(frame: av.VideoFrame, number: int) -> Plane:
    """Return a component (H, W) of a frame: Y', Cb, Cr; R', G', B'; or opacity.

    Integers are code values of `code_depth` bits, as views where possible; floats are float32.
    """
    pixels = frame.format
    name, component = _base_name(pixels), pixels.components[number]
    order = ">" if pixels.is_big_endian else "<"
    is_chroma = number in (1, 2) and not pixels.is_rgb and len(pixels.components) > 2
    width = pixels.chroma_width(frame.width) if is_chroma else frame.width
    height = pixels.chroma_height(frame.height) if is_chroma else frame.height
    if name in _BIT_FIELDS:
        num_bytes, fields = _BIT_FIELDS[name]
        low, bits = fields[number]
        items = _items(frame, component.plane, f"{order}u{num_bytes}", height)[:, :width]
        peak = (1 << bits) - 1
        codes = (items >> low & peak).astype(np.uint16)
        return codes if bits >= 8 else ((codes * 255 + peak // 2) // peak).astype(np.uint8)
    kind = "f" if is_float(pixels) else "u"
    num_bytes = 1 if component.bits <= 8 else 2 if component.bits <= 16 else 4
    step, offset = _position(pixels, name, number)
    values = _items(frame, component.plane, f"{order}{kind}{num_bytes}", height)
    if name == "uyyvyy411" and number == 0:
        groups = values[:, : -(-width // 4) * 6].reshape(height, -1, 6)
        return groups[:, :, [1, 2, 4, 5]].reshape(height, -1)[:, :width]
    values = values[:, offset::step][:, :width]
    if kind == "f":
        return values.astype(np.float32, copy=False)
    if num_bytes == 4:
        return (values >> 16).astype(np.uint16)
    if _UPPER_BITS.fullmatch(name):
        values = values >> (16 - component.bits)
    return values.astype(np.uint8 if num_bytes == 1 else np.uint16, copy=False)


def _base_name(pixels: av.VideoFormat) -> str:
    """Return a format's name without its byte order: "gray10" for "gray10be"."""
    return re.sub(r"(?<=\w)[lb]e$", "", pixels.name)


def _position(pixels: av.VideoFormat, name: str, number: int) -> tuple[int, int]:
    """Return the (step, offset) of a component in its plane, in items."""
    if name in _PACKED_YUV:
        return _PACKED_YUV[name][number]
    plane = pixels.components[number].plane
    if pixels.is_rgb and not pixels.is_planar:
        letters = re.match("[rgba0]+", name)
        assert letters is not None
        return len(letters[0]), letters[0].index("rgba"[number])
    neighbours = [n for n, c in enumerate(pixels.components) if c.plane == plane]
    if name in _SWAPPED_CHROMA and number > 0:
        neighbours.reverse()
    return len(neighbours), neighbours.index(number)


def _items(frame: av.VideoFrame, number: int, dtype: str, height: int) -> Plane:
    """Return the items of a plane (H, line), sharing the decoder's memory."""
    plane: Any = frame.planes[number]
    line = plane.line_size - plane.line_size % np.dtype(dtype).itemsize
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[:height, :line].view(dtype)
