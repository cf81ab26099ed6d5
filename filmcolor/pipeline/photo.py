"""Colours stills; size, bit depth, orientation and format are kept.

Stills have a path of their own: unlike films they have EXIF, ICC profiles and 16 bits.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.color.chroma import chroma_planes
from filmcolor.color.spaces import luma_from_rgb, rgb_from_ycc
from filmcolor.color.upsampling import resize_ab
from filmcolor.errors import OutputError
from filmcolor.files import check_target
from filmcolor.guidance.cast import REDUCE, reduce_cast
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
from filmcolor.types.frames import FloatPlane, Gray, Plane
from filmcolor.types.yuv import SUBSAMPLING_444, Coding
from filmcolor.video.proxy import downscale, halve, proxy_size
from filmcolor.video.still import STILL_SUFFIXES, read_still

# of pictures that are looked for in folders, in lower case; a file that is named may have any
PICTURE_SUFFIXES = (
    REFERENCE_SUFFIXES
    | HEIF_SUFFIXES
    | STILL_SUFFIXES
    | {".avif", ".bmp", ".j2k", ".jfif", ".jp2", ".jpe", ".pbm", ".pgm", ".pnm", ".ppm", ".tga"}
)
_BT709 = 1  # ITU-T H.273: sRGB pictures share BT.709's primaries


def colorize_photo(
    picture: str | Path,
    output: str | Path | None = None,
    *,
    options: ColorOptions | None = None,
    colorizer: Colorizer | None = None,
    force: bool = False,
) -> Path:
    """Colour one still and return the path of the result, NAME.color.ext by default.

    EXIF orientation is applied and an ICC profile converted, so the result is upright sRGB. 16-bit
    PNG and TIFF stay 16-bit: their values are taken as sRGB, and the result holds only the pixels.
    Of AVIF, HEIC, DPX, OpenEXR and other pictures the result is a PNG by default, with 16 bits if
    they have more than 8.
    `options`: weights, device, size and the grade; those of films alone have no effect.
    `colorizer`: loaded weights with their own options, to share over many stills.
    Raises InputError when the picture cannot be read, OutputError when the result cannot be
    written, or exists and `force` is False.
    """
    source = Path(picture)
    photo = _read_photo(source)
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
    colored = colorize_rgb(photo.rgb, colorizer or Colorizer(options))
    write_photo(Photo(colored, photo.exif, photo.dpi), target)
    return target


def photo_path(picture: Path, folder: Path | None = None) -> Path:
    """Return the path of a picture's result, in a folder, or beside it when None."""
    suffix = picture.suffix if picture.suffix.lower() in PHOTO_SUFFIXES else ".png"
    path = picture.with_suffix(f".color{suffix}")
    return path if folder is None else folder / path.name


def _read_photo(path: Path) -> Photo:
    if path.suffix.lower() in STILL_SUFFIXES and path.is_file():
        return Photo(read_still(path), b"", None)
    return read_photo(path)


def _predict(luma: Plane, coding: Coding, colorizer: Colorizer) -> tuple[Gray, FloatPlane]:
    """Return low-res luma (h, w) and the ab (h, w, 2) that the network or the model gives it."""
    height, width = luma.shape
    if colorizer.model is not None:
        gray = downscale(luma, colorizer.model.input_size(width, height), coding)
        ab = colorizer.model.predict(gray)
        guide = downscale(luma, proxy_size(width, height, min(ab.shape[:2])), coding)
        return guide, resize_ab(ab, guide.shape[::-1])
    proxy = downscale(luma, proxy_size(width, height, colorizer.options.size), coding)
    ab = colorizer.predictor.predict(proxy[None])[0]
    if colorizer.options.cast == REDUCE:
        ab = reduce_cast(ab, proxy)
    return halve(proxy), ab


def colorize_rgb(
    rgb: NDArray[np.uint8] | NDArray[np.uint16], colorizer: Colorizer
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return R'G'B' (H, W, 3) in colour, of the same dtype.

    Only the luma of `rgb` is used; it is kept to within one code value.
    """
    depth = 8 * rgb.dtype.itemsize
    coding = Coding(_BT709, True, depth)
    peak = (1 << depth) - 1
    exact_luma = luma_from_rgb(*(rgb[..., c].astype(np.float32) for c in range(3)))
    luma = np.rint(exact_luma).astype(rgb.dtype)
    guide, ab = _predict(luma, coding, colorizer)
    ab = colorizer.options.grade.apply(ab)
    cb, cr = chroma_planes(luma, guide, ab, coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(np.float32) - coding.chroma_offset) / peak for p in (cb, cr))
    colored = np.dstack(rgb_from_ycc(exact_luma / peak, cb, cr, coding))
    return np.rint(colored.clip(0.0, 1.0) * peak).astype(rgb.dtype)
