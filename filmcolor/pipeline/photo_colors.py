"""The colours of one still: predicted, graded, and replaced where strokes give others.

The parts of `pipeline.photo` for programs that show a still again and again: the network runs once
for a picture, strokes are propagated once for each of their states, and a grade costs no more than
the finished picture.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.color.chroma import chroma_planes
from filmcolor.color.spaces import luma_from_rgb, rgb_from_ycc
from filmcolor.color.upsampling import resize_ab
from filmcolor.errors import InputError
from filmcolor.guidance.cast import REDUCE, reduce_cast
from filmcolor.guidance.grading import Grade
from filmcolor.guidance.references import check_paint, colors_at_size, is_same_aspect
from filmcolor.images.image_file import read_rgba
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.types.frames import FloatPlane, Gray, Plane
from filmcolor.types.yuv import SUBSAMPLING_444, Coding
from filmcolor.video.proxy import downscale, halve, proxy_size

_BT709 = 1  # ITU-T H.273: sRGB pictures share BT.709's primaries


@dataclass(frozen=True, slots=True, eq=False)
class StrokeColors:
    """Strokes propagated to the edges of a still's objects."""

    ab: FloatPlane  # (h, w, 2), CIELAB
    coverage: FloatPlane  # (h, w), 0..1: the share of each sample with a given colour


@dataclass(frozen=True, slots=True, eq=False)
class PhotoColors:
    """The colours of a still at low resolution, before its grade."""

    guide: Gray  # luma (h, w)
    ab: FloatPlane  # (h, w, 2), CIELAB: the network's or model's
    strokes: StrokeColors | None = None

    def graded(self, grade: Grade) -> FloatPlane:
        """Return ab (h, w, 2) in a grade; colours of strokes are not graded."""
        ab = grade.apply(self.ab)
        if self.strokes is not None:
            ab += self.strokes.coverage[..., None] * (self.strokes.ab - ab)
        return ab

    def with_strokes(self, path: Path | None, size: tuple[int, int]) -> "PhotoColors":
        """Return these colours with those of a picture of strokes, or without strokes.

        `size`: (width, height) of the still, upright. Raises InputError when the picture cannot be
        read, is of another aspect, or holds no strokes on transparency.
        """
        strokes = None if path is None else _read_strokes(path, size, self.guide)
        return replace(self, strokes=strokes)


def exact_luma(rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> FloatPlane:
    """Return the luma (H, W) of R'G'B' (H, W, 3) in its code values, not rounded."""
    return luma_from_rgb(*(rgb[..., c].astype(np.float32) for c in range(3)))


def predict_colors(luma: FloatPlane, depth: int, colorizer: Colorizer) -> PhotoColors:
    """Return the colours that the network or the model gives luma (H, W) in code values.

    `depth`: 8 or 16 bits.
    """
    height, width = luma.shape
    coding, codes = _coded(luma, depth)
    if colorizer.model is not None:
        gray = downscale(codes, colorizer.model.input_size(width, height), coding)
        ab = colorizer.model.predict(gray)
        guide = downscale(codes, proxy_size(width, height, min(ab.shape[:2])), coding)
        return PhotoColors(guide, resize_ab(ab, guide.shape[::-1]))
    proxy = downscale(codes, proxy_size(width, height, colorizer.options.size), coding)
    ab = colorizer.predictor.predict(proxy[None])[0]
    if colorizer.options.cast == REDUCE:
        ab = reduce_cast(ab, proxy)
    return PhotoColors(halve(proxy), ab)


def color_luma(
    luma: FloatPlane, depth: int, guide: Gray, ab: FloatPlane
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return R'G'B' (H, W, 3) with luma (H, W), in code values, and colours ab (h, w, 2).

    `guide`: luma (h, w) at the size of ab. The luma may have any size: a preview's, for example.
    """
    coding, codes = _coded(luma, depth)
    peak = (1 << depth) - 1
    cb, cr = chroma_planes(codes, guide, ab, coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(np.float32) - coding.chroma_offset) / peak for p in (cb, cr))
    colored = np.dstack(rgb_from_ycc(luma / peak, cb, cr, coding))
    rgb: NDArray[np.uint8] | NDArray[np.uint16] = np.rint(colored.clip(0.0, 1.0) * peak).astype(
        codes.dtype
    )
    return rgb


def _coded(luma: FloatPlane, depth: int) -> tuple[Coding, Plane]:
    codes: Plane = np.rint(luma).astype(np.uint8 if depth == 8 else np.uint16)
    return Coding(_BT709, True, depth), codes


def _read_strokes(path: Path, size: tuple[int, int], guide: Gray) -> StrokeColors:
    from filmcolor.guidance.scribbles import propagate

    rgba = read_rgba(path)
    height, width = rgba.shape[:2]
    if not is_same_aspect(width / height, size[0] / size[1]):
        raise InputError(
            f"{path} is {width}×{height}, the picture is {size[0]}×{size[1]} when it is upright: "
            "another aspect; save the strokes on a layer of the whole picture"
        )
    ab, coverage = colors_at_size(rgba, guide.shape[::-1])
    check_paint(path, ab, coverage, is_hint=True)
    return StrokeColors(*propagate(ab, coverage, guide))
