"""One photograph, read once and shown at any size, in any grade, with any strokes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from filmcolor.errors import InputError
from filmcolor.guidance.grading import Grade
from filmcolor.images.heif import HEIF_SUFFIXES
from filmcolor.images.image_file import readable
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.photo import read_any_photo
from filmcolor.pipeline.photo_colors import PhotoColors, color_luma, exact_luma, predict_colors
from filmcolor.studio.pictures import COLOR, jpeg
from filmcolor.types.frames import Gray
from filmcolor.video.probe import probe
from filmcolor.video.still import STILL_SUFFIXES

MAX_PIXELS = 100_000_000  # they take 4 GB of memory to colour
LARGEST = 4096  # pixels, long side of what is shown: of a 4K screen


@dataclass(frozen=True, slots=True, eq=False)
class PhotoView:
    """A photograph that can be shown. `strokes`: a name for those in its colours, "" for none."""

    luma: Gray  # (H, W), 4096 pixels a side at most
    size: tuple[int, int]  # (width, height) of the upright picture
    colors: PhotoColors
    strokes: str = ""

    @classmethod
    def read(cls, path: Path, colorizer: Colorizer) -> "PhotoView":
        """Return the view of a picture file, without strokes; raises InputError."""
        _check_size(path)
        photo = read_any_photo(path)
        luma = exact_luma(photo.rgb)
        height, width = luma.shape
        _check_pixels(path, width * height)
        colors = predict_colors(luma, photo.bit_depth, colorizer)
        shown = _fit(luma, LARGEST) / (1.0 if photo.bit_depth == 8 else 257.0)
        return cls(np.rint(shown).astype(np.uint8), (width, height), colors)

    def with_strokes(self, path: Path | None, name: str) -> "PhotoView":
        """Return the view with the strokes of a picture file, or without any."""
        return replace(self, colors=self.colors.with_strokes(path, self.size), strokes=name)

    def render(self, side: str, size: int, grade: Grade) -> bytes:
        """Return a JPEG, at most `size` pixels a side."""
        guide = self.colors.guide
        # no smaller than the colours: those are not narrowed with luma's edges
        luma = _fit(self.luma, max(size, *guide.shape))
        if side == COLOR:
            picture = color_luma(luma.astype(np.float32), 8, guide, self.colors.graded(grade))
        else:
            picture = luma
        return jpeg(_fit(picture, size))


def _check_size(path: Path) -> None:
    """Raise InputError for a picture with too many pixels, as far as its header shows them."""
    if path.suffix.lower() in HEIF_SUFFIXES:
        return  # its reader has a limit
    if path.suffix.lower() in STILL_SUFFIXES:
        info = probe(path)
        _check_pixels(path, info.width * info.height)
        return
    with readable(path), path.open("rb") as file:
        try:
            with Image.open(file) as image:
                num_pixels = image.width * image.height
        except Image.DecompressionBombError:
            num_pixels = 2 * MAX_PIXELS
    _check_pixels(path, num_pixels)


def _check_pixels(path: Path, num_pixels: int) -> None:
    if num_pixels > MAX_PIXELS:
        raise InputError(
            f"{path.name} has more than {MAX_PIXELS // 1_000_000} megapixels, which the studio "
            "does not take; make a smaller copy"
        )


def _fit(picture: Any, size: int) -> Any:
    """Return a picture (H, W) or (H, W, 3) with a long side of at most `size` pixels."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1.0:
        return picture
    smaller = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
