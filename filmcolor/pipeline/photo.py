"""Colours stills; size, bit depth, orientation and format are kept.

Stills have a path of their own: unlike films they have EXIF, ICC profiles and 16 bits.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import OutputError
from filmcolor.files import check_target
from filmcolor.guidance.grading import Grade
from filmcolor.images.heif import HEIF_SUFFIXES
from filmcolor.images.image_file import (
    JPEG_SUFFIXES,
    PHOTO_SUFFIXES,
    REFERENCE_SUFFIXES,
    Photo,
    read_photo,
    write_photo,
)
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo_colors import color_luma, exact_luma, predict_colors
from filmcolor.video.still import STILL_SUFFIXES, read_still

# of pictures that are looked for in folders, in lower case; a file that is named may have any
PICTURE_SUFFIXES = (
    REFERENCE_SUFFIXES
    | HEIF_SUFFIXES
    | STILL_SUFFIXES
    | {".avif", ".bmp", ".j2k", ".jfif", ".jp2", ".jpe", ".pbm", ".pgm", ".pnm", ".ppm", ".tga"}
)


def colorize_photo(
    picture: str | Path,
    output: str | Path | None = None,
    *,
    options: ColorOptions | None = None,
    colorizer: Colorizer | None = None,
    hints: str | Path | None = None,
    force: bool = False,
) -> Path:
    """Colour one still and return the path of the result, NAME.color.ext by default.

    EXIF orientation is applied and an ICC profile converted, so the result is upright sRGB. 16-bit
    PNG and TIFF stay 16-bit: their values are taken as sRGB, and the result holds only the pixels.
    Of AVIF, HEIC, DPX, OpenEXR and other pictures the result is a PNG by default, with 16 bits if
    they have more than 8.
    `options`: weights, device, size and the grade; those of films alone have no effect.
    `colorizer`: loaded weights with their own options, to share over many stills; where `options`
    are given too, only their grade has an effect. `hints`: a picture of colour strokes on
    transparency, of any size and the aspect of the upright picture; the strokes fill the objects
    that they are on, with colours that are not graded.
    Raises InputError when the picture or its hints cannot be read, OutputError when the result
    cannot be written, or exists and `force` is False.
    """
    source = Path(picture)
    photo = read_any_photo(source)
    target = photo_path(source) if output is None else Path(output)
    if target.suffix.lower() not in PHOTO_SUFFIXES:
        raise OutputError(f"{target}: name the result {', '.join(sorted(PHOTO_SUFFIXES))}")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it first")
    check_target(target, source, force)
    if photo.bit_depth == 16 and target.suffix.lower() in JPEG_SUFFIXES:
        raise OutputError(
            f"{target}: JPEG would lose the 16 bits of {source}; name it .png or .tif"
        )
    grade = options.grade if options else None
    strokes = None if hints is None else Path(hints)
    colored = colorize_rgb(photo.rgb, colorizer or Colorizer(options), strokes, grade)
    write_photo(Photo(colored, photo.exif, photo.dpi), target)
    return target


def photo_path(picture: Path, folder: Path | None = None) -> Path:
    """Return the path of a picture's result, in a folder, or beside it when None."""
    suffix = picture.suffix if picture.suffix.lower() in PHOTO_SUFFIXES else ".png"
    path = picture.with_suffix(f".color{suffix}")
    return path if folder is None else folder / path.name


def read_any_photo(path: Path) -> Photo:
    """Return a still of any kind that `colorize_photo` colours; raises InputError."""
    if path.suffix.lower() in STILL_SUFFIXES and path.is_file():
        return Photo(read_still(path), b"", None)
    return read_photo(path)


def colorize_rgb(
    rgb: NDArray[np.uint8] | NDArray[np.uint16],
    colorizer: Colorizer,
    hints: Path | None = None,
    grade: Grade | None = None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return R'G'B' (H, W, 3) in colour, of the same dtype.

    Only the luma of `rgb` is used; it is kept to within one code value. `hints`: a picture of
    strokes, see `colorize_photo`. `grade`: the colorizer's own by default.
    """
    depth = 8 * rgb.dtype.itemsize
    luma = exact_luma(rgb)
    colors = predict_colors(luma, depth, colorizer).with_strokes(hints, luma.shape[::-1])
    ab = colors.graded(grade or colorizer.options.grade)
    return color_luma(luma, depth, colors.guide, ab)
