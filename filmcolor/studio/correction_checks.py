"""Refuses corrections that a run would refuse, before they are written."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image

from filmcolor.errors import FilmcolorError, InputError, SettingsError
from filmcolor.guidance.picture_reader import GuideOf, PictureReader
from filmcolor.guidance.references import MIN_OPACITY, MIN_OPAQUE
from filmcolor.studio.strokes import Canvas
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import proxy_size

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "WEBP": ".webp"}
_MARGIN = 2.0  # strokes must be that much more opaque than a run asks for: it averages otherwise


_MAX_PIXELS = 100_000_000  # of a reference picture: more needs gigabytes to read


def suffix_of(data: bytes) -> str:
    """Return the suffix of a picture file by its content. Raises InputError for other formats."""
    try:
        with Image.open(BytesIO(data)) as image:
            name, num_pixels = image.format or "unknown", image.width * image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("this is not a picture; give a JPEG, PNG, TIFF or WebP") from error
    if name not in _SUFFIXES:
        raise InputError(f"pictures of the format {name} are not taken; save it as PNG or JPEG")
    if num_pixels > _MAX_PIXELS:
        raise InputError(
            f"the picture has {num_pixels // 1_000_000} megapixels, and at most "
            f"{_MAX_PIXELS // 1_000_000} are taken; make a smaller copy"
        )
    return _SUFFIXES[name]


class PictureChecks:
    """Checks of strokes and references of one film, as a run would see them."""

    def __init__(
        self, info: FilmInfo, index: FrameIndex, size: int, guide_of: GuideOf | None
    ) -> None:
        """`size`: short side that the network sees. `guide_of`: see `PictureReader`."""
        self._info, self._index, self._size, self._guide_of = info, index, size, guide_of

    def has_strokes(self, canvas: Canvas, strokes: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether anything is left of strokes that a run would see.

        Raises SettingsError where they would have no effect, or hide the whole frame.
        """
        width, height = proxy_size(*self._info.display_size, self._size)
        if self._info.quarter_turns % 2:
            width, height = height, width
        opacity = np.ascontiguousarray(canvas[..., 3])
        share = cv2.resize(opacity, (width // 2, height // 2), interpolation=cv2.INTER_AREA) / 255.0
        if share.mean() >= MIN_OPAQUE:
            raise SettingsError(
                "strokes would cover the whole frame; leave more of it free, or use a reference "
                "picture"
            )
        if share.max() >= _MARGIN * MIN_OPACITY:
            return True
        if not strokes or strokes[-1]["color"] is None:
            return False  # crumbs
        raise SettingsError(
            "this stroke colours nothing: it is too thin, or outside of the frame; choose a wider "
            "brush"
        )

    def check_reference(self, frame: int, data: bytes, suffix: str) -> None:
        """Raise InputError where a run would not take a picture for a frame."""
        with TemporaryDirectory(prefix="filmcolor-") as folder:
            path = Path(folder) / f"frame-{frame:06}{suffix}"
            path.write_bytes(data)
            reader = PictureReader(self._info, self._index, self._size, self._guide_of)
            try:
                reader.check(reader.read_one(path))
            except FilmcolorError as error:
                message = str(error).replace(str(path), "the picture")
                raise type(error)(message) from error
