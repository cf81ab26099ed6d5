"""Stills in, the same stills in colour out: size, bit depth, orientation and format kept."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from filmcolor.chroma import SUBSAMPLING_444, chroma_planes
from filmcolor.color import Coding, luma_from_rgb, rgb_from_ycc
from filmcolor.errors import InputError, OutputError
from filmcolor.pictures import as_srgb, readable
from filmcolor.pipeline import Colorizer
from filmcolor.small import halved, shrink, small_size
from filmcolor.targets import check_target

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
_BT709 = 1  # ITU-T H.273: sRGB pictures share BT.709's primaries
_JPEG_QUALITY = 95

_ORIENTATION = 0x0112  # tags by their numbers in Exif 2.32 and TIFF 6.0
# of a TIFF's tags only those that tell of the picture; the others tell of the file's layout
_KEPT_TAGS = (
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x8298,  # Copyright
)
_KEPT_FOLDERS = (0x8769, 0x8825)  # Exif, GPS
_INTEROP = 0xA005  # within Exif: a place in the old file


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A still as upright sRGB: R'G'B' uint8 or uint16 (H, W, 3)."""

    rgb: NDArray[np.uint8] | NDArray[np.uint16]
    exif: bytes
    dpi: tuple[float, float] | None

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return 8 * self.rgb.dtype.itemsize


def colorize_photo(
    picture: str | Path,
    output: str | Path | None = None,
    *,
    colorizer: Colorizer | None = None,
    force: bool = False,
) -> Path:
    """Colour one still and return where it was written, NAME.color.ext by default.

    EXIF orientation is applied and an ICC profile converted, so the result is upright
    sRGB. 16-bit PNG and TIFF stay 16-bit: their values are taken as sRGB, and the result
    holds the pixels alone. `colorizer`: share one over many stills.
    """
    source = Path(picture)
    photo = read_photo(source)
    target = source.with_suffix(f".color{source.suffix}") if output is None else Path(output)
    if target.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{target}: name the result {', '.join(sorted(SUFFIXES))}")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it first")
    check_target(target, source, force)
    if photo.bit_depth == 16 and target.suffix.lower() in (".jpg", ".jpeg"):
        raise OutputError(
            f"{target}: JPEG would lose the 16 bits of {source}; name it .png or .tif"
        )
    colored = colorize_rgb(photo.rgb, colorizer or Colorizer())
    _write(Photo(colored, photo.exif, photo.dpi), target)
    return target


def colorize_rgb(
    rgb: NDArray[np.uint8] | NDArray[np.uint16], colorizer: Colorizer
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return R'G'B' (H, W, 3) in colour; only its luma is used, and kept to a code value."""
    depth = 8 * rgb.dtype.itemsize
    coding = Coding(_BT709, True, depth)
    peak = (1 << depth) - 1
    exact = luma_from_rgb(*(rgb[..., c].astype(np.float32) for c in range(3)))
    luma = np.rint(exact).astype(rgb.dtype)
    height, width = luma.shape
    small = shrink(luma, small_size(width, height, colorizer.look.size), coding)
    ab = colorizer.look.grade.apply(colorizer.predictor.predict(small[None])[0])
    cb, cr = chroma_planes(luma, halved(small), ab, coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(np.float32) - coding.chroma_offset) / peak for p in (cb, cr))
    colored = np.dstack(rgb_from_ycc(exact / peak, cb, cr, coding))
    return np.rint(colored.clip(0.0, 1.0) * peak).astype(rgb.dtype)


def read_photo(path: Path) -> Photo:
    """Return an upright sRGB picture of a JPEG, PNG or TIFF file, its bit depth kept.

    Raises InputError when it is missing or no such picture.
    """
    with readable(path):
        return _read(path)


def _read(path: Path) -> Photo:
    # a file, not its path: Pillow maps the latter, and then turns TIFFs wrongly
    with path.open("rb") as file, Image.open(file) as image:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)  # asked first: loading may forget it
        is_deep = image.mode.startswith(("I", "F")) or _has_deep_channels(image, path)
        upright = ImageOps.exif_transpose(image)
        rgb = _read_deep(path, orientation) if is_deep else _read_srgb(upright, path)
        return Photo(rgb, _kept(exif), image.info.get("dpi"))


def _kept(exif: Image.Exif) -> bytes:
    """Return what EXIF tells of the picture; its orientation is applied and gone."""
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        if tag in exif:
            kept[tag] = exif[tag]
    for folder in _KEPT_FOLDERS:
        if tags := exif.get_ifd(folder):
            kept[folder] = {tag: v for tag, v in tags.items() if tag != _INTEROP}
    return kept.tobytes()


def _has_deep_channels(image: Image.Image, path: Path) -> bool:
    """Tell whether Pillow has cut 16-bit colour channels down to 8 bits."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]  # BitsPerSample
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24] == 16  # the bit depth in the IHDR chunk
    return False


def _read_srgb(upright: Image.Image, path: Path) -> NDArray[np.uint8]:
    """Return 8-bit R'G'B', converted from the picture's ICC profile."""
    profile = upright.info.get("icc_profile")
    try:
        if upright.has_transparency_data:  # what is transparent becomes white paper
            clear = upright.convert("RGBA")
            paper = Image.new("RGBA", clear.size, "white")
            upright = Image.alpha_composite(paper, clear).convert("RGB")
        if upright.mode not in ("RGB", "L", "CMYK"):
            upright = upright.convert("RGB")
    except ValueError as error:
        raise InputError(
            f"{path}: its kind of pixels, {upright.mode}, is not known; save it as RGB or grey"
        ) from error
    return np.asarray(as_srgb(upright, profile))


def _read_deep(path: Path, orientation: int) -> NDArray[np.uint16]:
    """Return 16-bit R'G'B', upright; values are taken as sRGB, whatever the profile."""
    data = np.frombuffer(_unturned(path.read_bytes()), np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: its kind of pixels is not known; save it as 16-bit PNG or TIFF")
    values = values.astype(np.uint16) * (257 if values.dtype == np.uint8 else 1)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.shape[2] == 4:  # what is transparent becomes white paper
        opacity = values[..., 3:] / np.float32(65535)
        values = np.rint(values * opacity + 65535 * (1 - opacity)).astype(np.uint16)
    rgb = values[..., 2::-1]
    if orientation in (2, 4, 5, 7):
        rgb = rgb[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(rgb, turns))


def _unturned(data: bytes) -> bytes:
    """Return a picture file whose orientation, if a TIFF, is 1: OpenCV fails on 5 to 8."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return data
    try:
        is_big = struct.unpack_from(f"{order}H", data, 2) == (43,)  # BigTIFF: 64-bit offsets
        offset, count, size, value = ("Q", "Q", 20, 12) if is_big else ("I", "H", 12, 8)
        (first,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
        (num_tags,) = struct.unpack_from(order + count, data, first)
        first += struct.calcsize(order + count)
        for entry in range(first, first + size * num_tags, size):
            if struct.unpack_from(f"{order}H", data, entry) == (_ORIENTATION,):
                place = entry + value
                return data[:place] + struct.pack(f"{order}H", 1) + data[place + 2 :]
    except struct.error:
        pass  # cut short: the decoder says so
    return data


def _write(photo: Photo, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    try:
        if photo.bit_depth == 16:
            is_written, encoded = cv2.imencode(target.suffix, photo.rgb[..., ::-1])
            if not is_written:
                raise OutputError(f"{target} cannot be encoded")
            partial.write_bytes(encoded.tobytes())
        else:
            options: dict[str, Any] = {}
            if target.suffix.lower() in (".jpg", ".jpeg"):
                options["quality"] = _JPEG_QUALITY
            if photo.dpi:
                options["dpi"] = photo.dpi
            Image.fromarray(photo.rgb).save(
                partial,
                format=Image.registered_extensions()[target.suffix.lower()],
                exif=photo.exif,
                icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                **options,
            )
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
