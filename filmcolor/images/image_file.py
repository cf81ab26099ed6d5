"""Reads and writes image files: JPEG, PNG, TIFF, with orientation, metadata and 16 bits.

Stills have EXIF, ICC profiles and 16 bits, films do not. Pillow reads pictures of 8 bits and
metadata; it reduces 16-bit colour to 8 bits, so OpenCV reads and writes those.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from filmcolor.errors import InputError, OutputError
from filmcolor.files import atomic_write
from filmcolor.images.heif import HEIF_SUFFIXES, read_heif

# suffixes of image files, in lower case
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
PHOTO_SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff"}  # `write_photo` writes them
REFERENCE_SUFFIXES = PHOTO_SUFFIXES | {".webp"}  # painting programs save references in them
STILL_SUFFIXES = REFERENCE_SUFFIXES | {".bmp"}  # collections of training stills have them

# what Pillow raises for broken files
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


def find_images(folder: Path) -> list[Path]:
    """Return every image file (STILL_SUFFIXES) below a folder, sorted."""
    images = (p for p in folder.rglob("*") if p.suffix.lower() in STILL_SUFFIXES)
    return sorted(p for p in images if p.is_file())


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise InputError with a clear message for any error while a picture file is read."""
    if not path.exists():
        raise InputError(f"{path}: no such file; check the spelling and the folder")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name pictures inside it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unused tags and large scans
            yield
    except UnidentifiedImageError as error:
        if path.suffix.lower() == ".avif":
            raise InputError(f"{path}: AVIF needs Pillow 11.3 or newer; upgrade it") from error
        raise InputError(f"{path} is not a picture; give a JPEG, PNG or TIFF") from error
    except InputError:
        raise
    except _PILLOW_ERRORS as error:
        raise InputError(
            f"{path} is not a picture that can be read ({error}); is the file complete?"
        ) from error


def as_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an opaque 8-bit picture as sRGB, converted from its ICC profile.

    Without a profile, or with one that is broken or for other pixels, values are taken as sRGB.
    """
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """Return an upright picture as R'G'B' and opacity (H, W, 4), 8-bit sRGB.

    Opacity is 255 for pictures without transparency; 16-bit values are rounded. Raises InputError
    when the file is missing or not a picture.
    """
    with readable(path), path.open("rb") as file, Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
        opacity = None
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            opacity = upright.getchannel("A")
            upright = upright.convert("RGB")
        elif upright.mode not in ("RGB", "L", "CMYK"):
            upright = upright.convert("RGB")
        rgb = as_srgb(upright, image.info.get("icc_profile"))
        rgb.putalpha(255 if opacity is None else opacity)
        return np.asarray(rgb)


_JPEG_QUALITY = 95
_ICC_DATE = 24, 36  # bytes of the header, ICC.1:2010, 7.2.8
_SRGB_DATE = 1999, 10, 18, 0, 0, 0  # of IEC 61966-2-1

# tags by their numbers in Exif 2.32 and TIFF 6.0
_ORIENTATION = 0x0112
# tags that describe the picture; a TIFF's other tags describe the layout of the file
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
_INTEROP = 0xA005  # within Exif: an offset in the old file


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


def read_photo(path: Path) -> Photo:
    """Return a picture file as an upright sRGB picture in its own bit depth.

    Reads JPEG, PNG, TIFF, WebP and what else Pillow reads, AVIF since its version 11.3, and HEIC
    with the plugin pillow-heif. Raises InputError when the file is missing or not such a picture.
    """
    with readable(path):
        return _read(path)


def _read(path: Path) -> Photo:
    if path.suffix.lower() in HEIF_SUFFIXES:
        upright, deep = read_heif(path)
        rgb = _read_srgb(upright, path) if deep is None else deep
        return Photo(rgb, _kept(upright.getexif()), None)
    # pass a file, not its path: Pillow memory-maps paths, and then rotates TIFFs wrongly
    with path.open("rb") as file, Image.open(file) as image:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)  # before loading, which may drop it
        is_deep = image.mode.startswith(("I", "F")) or _has_deep_channels(image, path)
        upright = ImageOps.exif_transpose(image)
        pixels = _read_deep(path, orientation) if is_deep else _read_srgb(upright, path)
        return Photo(pixels, _kept(exif), image.info.get("dpi"))


def _kept(exif: Image.Exif) -> bytes:
    """Return the EXIF tags that describe the picture, without the orientation, now applied."""
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        if tag in exif:
            kept[tag] = exif[tag]
    for folder in _KEPT_FOLDERS:
        if tags := exif.get_ifd(folder):
            kept[folder] = {tag: v for tag, v in tags.items() if tag != _INTEROP}
    return kept.tobytes()


def _has_deep_channels(image: Image.Image, path: Path) -> bool:
    """Return whether Pillow reduced 16-bit colour channels to 8 bits."""
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
        if upright.has_transparency_data:  # over white paper
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
    """Return upright 16-bit R'G'B'; values are taken as sRGB, whatever the profile."""
    data = np.frombuffer(_reset_orientation(path.read_bytes()), np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: its kind of pixels is not known; save it as 16-bit PNG or TIFF")
    values = values.astype(np.uint16) * (257 if values.dtype == np.uint8 else 1)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.shape[2] == 4:  # over white paper
        opacity = values[..., 3:] / np.float32(65535)
        values = np.rint(values * opacity + 65535 * (1 - opacity)).astype(np.uint16)
    rgb = values[..., 2::-1]
    if orientation in (2, 4, 5, 7):
        rgb = rgb[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(rgb, turns))


def _reset_orientation(data: bytes) -> bytes:
    """Return the data of a picture file with a TIFF's orientation set to 1.

    OpenCV fails on orientations 5 to 8.
    """
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
                start = entry + value
                return data[:start] + struct.pack(f"{order}H", 1) + data[start + 2 :]
    except struct.error:
        pass  # truncated: the decoder reports it
    return data


def _srgb_profile() -> bytes:
    """Return sRGB's ICC profile, of a fixed date, so that a picture always has the same bytes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    start, end = _ICC_DATE
    return profile[:start] + struct.pack(">6H", *_SRGB_DATE) + profile[end:]


def write_photo(photo: Photo, target: Path) -> None:
    """Write a photo in the format that its suffix names, whole or not at all.

    The same photo gives the same bytes.
    Raises OutputError when it cannot be written.
    """
    with atomic_write(target) as partial:
        if photo.bit_depth == 16:
            is_encoded, data = cv2.imencode(target.suffix, photo.rgb[..., ::-1])
            if not is_encoded:
                raise OutputError(f"{target} cannot be encoded; name it .png or .tif")
            partial.write_bytes(data.tobytes())
            return
        options: dict[str, Any] = {}
        if target.suffix.lower() in JPEG_SUFFIXES:
            options["quality"] = _JPEG_QUALITY
        if photo.dpi:
            options["dpi"] = photo.dpi
        Image.fromarray(photo.rgb).save(
            partial,
            format=Image.registered_extensions()[target.suffix.lower()],
            exif=photo.exif,
            icc_profile=_srgb_profile(),
            **options,
        )
