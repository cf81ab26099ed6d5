"""Strokes on a photograph: drawn on a canvas of its shape, and only such as have an effect."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from filmcolor.errors import SettingsError
from filmcolor.guidance.references import MIN_OPACITY, MIN_OPAQUE
from filmcolor.studio.strokes import draw
from filmcolor.types.frames import FloatPlane
from filmcolor.video.proxy import proxy_size

_CANVAS, _CANVAS_SHORT = 2048, 256  # pixels, long side of the canvas; its short side is no less


def draw_on_photo(
    old: bytes | None,
    strokes: Sequence[Mapping[str, Any]],
    photo_size: tuple[int, int],
    network_size: int,
) -> bytes | None:
    """Return a transparent PNG with more strokes, None when an eraser leaves nothing.

    `strokes` are in pixels of the picture, `photo_size` is its (width, height); the PNG has at most
    2048 pixels a side. `network_size`: short side that the network sees.
    Raises SettingsError for strokes that would have no effect, or hide the whole picture.
    """
    if not strokes:
        return old
    canvas = _canvas_size(*photo_size)
    scale = canvas[0] / photo_size[0], canvas[1] / photo_size[1]
    new = draw(old, [_scaled(stroke, scale) for stroke in strokes], canvas)
    width, height = proxy_size(*photo_size, network_size)
    coverage = _coverage(new, (width // 2, height // 2)) if new else np.zeros(1)
    if coverage.mean() >= MIN_OPAQUE:
        raise SettingsError("strokes would cover the whole picture; leave more of it free")
    if coverage.max() >= 2.0 * MIN_OPACITY:  # with a margin: `filmcolor photo` must take them
        return new
    if strokes[-1]["color"] is None:
        return None  # crumbs
    raise SettingsError("this stroke is too thin to colour anything; choose a wider brush")


def _canvas_size(width: int, height: int) -> tuple[int, int]:
    scale = max(_CANVAS / max(width, height), _CANVAS_SHORT / min(width, height))
    return (width, height) if scale >= 1.0 else (round(width * scale), round(height * scale))


def _scaled(stroke: Mapping[str, Any], scale: tuple[float, float]) -> dict[str, Any]:
    """Return a stroke in pixels of the canvas."""
    across, down = scale
    points = [[x * across, y * down, pressure] for x, y, pressure in stroke["points"]]
    return {**stroke, "width": stroke["width"] * (across + down) / 2.0, "points": points}


def _coverage(strokes: bytes, size: tuple[int, int]) -> FloatPlane:
    """Return the opacity of a PNG of strokes, 0 to 1, at a size (width, height)."""
    pixels = cv2.imdecode(np.frombuffer(strokes, np.uint8), cv2.IMREAD_UNCHANGED)
    opacity = pixels[..., 3].astype(np.float32) / 255.0
    coverage: FloatPlane = cv2.resize(opacity, size, interpolation=cv2.INTER_AREA)
    return coverage
