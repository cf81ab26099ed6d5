"""Draws strokes of colour on transparent pictures, PNG in and PNG out.

A stroke is a line through its points with round joins and ends, as thick at each point as its width
times the pressure there. Its edges are antialiased. The same strokes give the same bytes.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from filmcolor.errors import InputError, SettingsError
from filmcolor.types.frames import Gray

Points = NDArray[np.float64]  # (N, 3) or (3,): x, y, radius
Canvas = NDArray[np.uint8]  # (H, W, 4), B'G'R' and opacity, as OpenCV encodes it

_PIECE = 48.0  # pixels of a line that are drawn at a time: a box around it is mostly stroke
_BAND = 64  # rows that are blended at a time
_NEAREST = 0.2  # pixels: closer points add nothing
_COMPRESSION = 1  # of zlib: strokes are mostly nothing, which compresses well at any level
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def draw(
    png: bytes | None, strokes: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> bytes | None:
    """Return a transparent PNG of `size` (width, height) with more strokes on it.

    `png`: the picture so far, None for nothing. `strokes`: `{color, width, points}` as in
    docs/studio-api.md; a colour of None erases. Returns None when nothing is left. Raises
    SettingsError for strokes without meaning, InputError when the picture cannot be read.
    """
    canvas = read_canvas(png, size)
    draw_on(canvas, strokes)
    return write_canvas(canvas)


def read_canvas(png: bytes | None, size: tuple[int, int]) -> Canvas:
    """Return a picture with strokes at `size` (width, height), an empty one for None."""
    if png is None:
        return np.zeros((size[1], size[0], 4), np.uint8)
    canvas = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if canvas is None or canvas.dtype != np.uint8 or canvas.shape[2:] != (4,):
        canvas = _read_other(png)
    if canvas.shape[1::-1] == size:
        return canvas
    opacity = canvas[..., 3:].astype(np.float32)
    payload = np.dstack([canvas[..., :3] * (opacity / 255.0), opacity])
    payload = cv2.resize(payload, size, interpolation=cv2.INTER_AREA)
    payload[..., :3] /= np.maximum(payload[..., 3:], 1e-6) / 255.0
    return np.rint(payload.clip(0.0, 255.0)).astype(np.uint8)


def write_canvas(canvas: Canvas) -> bytes | None:
    """Return a picture with strokes as PNG, None for an empty one.

    Written here because OpenCV takes three times as long at 4K: it tries filters on empty rows.
    """
    if not cv2.hasNonZero(np.ascontiguousarray(canvas[..., 3])):
        return None
    height, width = canvas.shape[:2]
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = cv2.cvtColor(canvas, cv2.COLOR_BGRA2RGBA).reshape(height, -1)
    header = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)  # 8 bits, R'G'B' and opacity
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.data, _COMPRESSION)), (b"IEND", b"")
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG (ISO/IEC 15948, clause 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_picture(canvas: Canvas) -> bytes:
    """Return a picture in colours everywhere as PNG."""
    return bytes(cv2.imencode(".png", canvas)[1])


def draw_on(canvas: Canvas, strokes: Sequence[Mapping[str, Any]]) -> None:
    """Draw strokes on a picture. Raises SettingsError, before any is drawn, as `draw` does."""
    for color, points in [_parse(stroke) for stroke in strokes]:
        _draw(canvas, color, points)


def _read_other(data: bytes) -> Canvas:
    """Return a picture of another kind: other programs save palettes and 16 bits."""
    try:
        with Image.open(BytesIO(data)) as image:
            rgba = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"the strokes cannot be read ({error}); remove their file") from error
    return np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])


def _parse(stroke: Mapping[str, Any]) -> tuple[tuple[int, int, int] | None, Points]:
    """Return the colour (B', G', R') of a stroke, and its points (N, 3): x, y, radius."""
    try:
        points = np.array(stroke["points"], np.float64).reshape(-1, 3)
        width, color = float(stroke["width"]), stroke["color"]
        bgr = None if color is None else _bgr(color)
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            'a stroke is {"color": "#rrggbb" or null, "width": pixels, '
            '"points": [[x, y, pressure], …]}'
        ) from error
    if not len(points) or not width > 0.0 or not np.isfinite([*points.flat, width]).all():
        raise SettingsError("a stroke needs points, and a width above 0, as finite numbers")
    points[:, 2] = 0.5 * width * points[:, 2].clip(0.0, 1.0)
    return bgr, points


def _bgr(color: str) -> tuple[int, int, int]:
    if len(color) != 7 or color[0] != "#":
        raise ValueError(color)
    return int(color[5:], 16), int(color[3:5], 16), int(color[1:3], 16)


def _draw(canvas: Canvas, color: tuple[int, int, int] | None, points: Points) -> None:
    """Draw a line of points (N, 3) in a colour, or erase along it."""
    height, width = canvas.shape[:2]
    reach = points[:, 2].max() + 1.0
    left, top = (int(max(0.0, np.floor(low - reach))) for low in points[:, :2].min(axis=0))
    right, bottom = (
        int(min(side, max(0.0, np.ceil(high + reach))))
        for side, high in zip((width, height), points[:, :2].max(axis=0), strict=True)
    )
    if left >= right or top >= bottom:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    own = points - (left, top, 0.0)
    for start, end in _pieces(own, mask.shape):
        _draw_piece(mask, start, end)
    for row in range(0, len(mask), _BAND):
        band = mask[row : row + _BAND]
        columns = np.flatnonzero(band.any(axis=0))
        if len(columns):
            part = slice(columns[0], columns[-1] + 1)
            rows = slice(top + row, top + row + len(band))
            target = canvas[rows, left + part.start : left + part.stop]
            _blend(target, band[:, part], color)


def _pieces(points: Points, shape: tuple[int, ...]) -> Iterator[tuple[Points, Points]]:
    """Yield the lines between points, in short pieces, as far as they may touch a picture."""
    previous = points[0]
    if len(points) == 1:
        yield previous, previous
    for position, point in enumerate(points[1:], 2):
        length = float(np.hypot(*(point - previous)[:2]))
        if length < _NEAREST and position < len(points):
            continue
        first, last = _visible(previous, point, shape)
        piece = max(_PIECE, 2.0 * previous[2], 2.0 * point[2])
        num = max(1, int(np.ceil(length * (last - first) / piece)))
        if first < last:
            ends = previous + np.linspace(first, last, num + 1)[:, None] * (point - previous)
            yield from pairwise(ends)
        previous = point


def _visible(start: Points, end: Points, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the part of a line, 0 to 1, beyond which it does not touch a picture (H, W)."""
    first, last = 0.0, 1.0
    reach = max(start[2], end[2]) + 1.0
    for axis, side in enumerate(shape[::-1]):
        step = end[axis] - start[axis]
        low, high = -reach - start[axis], side + reach - start[axis]
        if abs(step) < 1e-9:
            if not low <= 0.0 <= high:
                return 1.0, 0.0
            continue
        entry, leaving = sorted((low / step, high / step))
        first, last = max(first, entry), min(last, leaving)
    return (first, last) if first < last or abs(end - start)[:2].any() else (0.0, 1.0)


def _draw_piece(mask: Gray, start: Points, end: Points) -> None:
    """Add a line between two points (x, y, radius) to a mask."""
    reach = max(start[2], end[2]) + 1.0
    low = np.floor(np.minimum(start, end)[:2] - reach).astype(int)
    high = np.ceil(np.maximum(start, end)[:2] + reach).astype(int)
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, mask.shape[::-1])
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - start[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - start[1])
    along = (end - start).astype(np.float32)
    squared = float(along[0] ** 2 + along[1] ** 2)
    share = (x * along[0] + y * along[1]) / np.float32(max(squared, 1e-12))
    np.clip(share, 0.0, 1.0, out=share)
    distance = np.sqrt((x - share * along[0]) ** 2 + (y - share * along[1]) ** 2)
    radius = np.float32(start[2]) + share * along[2]
    # a line thinner than a pixel covers a part of it
    opacity = (radius + 0.5 - distance).clip(0.0, 1.0) * np.minimum(1.0, 2.0 * radius)
    part = mask[top:bottom, left:right]
    np.maximum(part, np.rint(255.0 * opacity).astype(np.uint8), out=part)


def _blend(target: Canvas, mask: Gray, color: tuple[int, int, int] | None) -> None:
    """Blend a colour over a part of a picture (h, w, 4), or erase it, by a mask (h, w)."""
    share = mask.astype(np.float32) / np.float32(255.0)
    rest = target[..., 3].astype(np.float32) / np.float32(255.0) * (1.0 - share)
    if color is None:
        opacity = np.rint(255.0 * rest).astype(np.uint8)
    else:
        total = share + rest
        weight = (share / np.maximum(total, np.float32(1e-6)))[..., None]
        mixed = np.array(color, np.float32) * weight + target[..., :3] * (1.0 - weight)
        touched = mask > 0
        target[touched, :3] = np.rint(mixed).astype(np.uint8)[touched]
        opacity = np.rint(255.0 * total).astype(np.uint8)
    target[..., 3] = opacity
    target[opacity == 0] = 0
