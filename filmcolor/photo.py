"""Stills in, the same stills in colour out: size, bit depth, orientation and format kept."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from filmcolor.chroma import SUBSAMPLING_444, chroma_planes
from filmcolor.color import Coding, luma_from_rgb, rgb_from_ycc
from filmcolor.errors import InputError, OutputError
from filmcolor.pipeline import Colorizer, check_target
from filmcolor.predict import shrink, small_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
_BT709 = 1  # ITU-T H.273: sRGB pictures share BT.709's primaries
_JPEG_QUALITY = 95


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
    sRGB; 16-bit PNG and TIFF stay 16-bit. `colorizer`: share one over many stills.
    """
    source = Path(picture)
    target = source.with_suffix(f".color{source.suffix}") if output is None else Path(output)
    if target.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{target}: name the result {', '.join(sorted(SUFFIXES))}")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it first")
    check_target(target, source, force)
    photo = read_photo(source)
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
    ab = colorizer.predictor.predict(small[None])[0] * np.float32(colorizer.look.saturation)
    cb, cr = chroma_planes(luma, small, ab, coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(np.float32) - coding.chroma_offset) / peak for p in (cb, cr))
    colored = np.dstack(rgb_from_ycc(exact / peak, cb, cr, coding))
    return np.rint(colored.clip(0.0, 1.0) * peak).astype(rgb.dtype)


def read_photo(path: Path) -> Photo:
    """Return an upright sRGB picture of a JPEG, PNG or TIFF file, its bit depth kept.

    Raises InputError when it is missing or no such picture.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; check the spelling and the folder")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name pictures inside it")
    try:
        with Image.open(path) as image:
            image.load()
            is_deep = image.mode.startswith(("I", "F")) or _has_deep_channels(image)
            exif = image.getexif()
            orientation = exif.get(0x0112, 1)
            exif[0x0112] = 1
            rgb = _read_deep(path, orientation) if is_deep else _read_srgb(image)
            return Photo(rgb, exif.tobytes(), image.info.get("dpi"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} is not a picture that can be read ({error}); give a JPEG, PNG or TIFF"
        ) from error


def _has_deep_channels(image: Image.Image) -> bool:
    """Tell whether Pillow has cut 16-bit colour channels down to 8 bits."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]  # BitsPerSample
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if image.format == "PNG":
        with Path(image.filename).open("rb") as file:  # type: ignore[attr-defined]
            return file.read(25)[24] == 16  # the bit depth in the IHDR chunk
    return False


def _read_srgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return 8-bit R'G'B', upright, converted from the picture's ICC profile."""
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if upright.mode in ("P", "PA", "LA", "RGBA", "1", "La", "RGBa"):
        upright = upright.convert("RGBA" if "A" in upright.mode or "P" in upright.mode else "RGB")
        if upright.mode == "RGBA":  # what is transparent becomes white paper
            paper = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(paper, upright).convert("RGB")
    if profile and upright.mode in ("RGB", "L", "CMYK"):
        try:
            given = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(upright, given, srgb, outputMode="RGB")
            upright = converted or upright
        except ImageCms.PyCMSError:
            pass  # a profile of another kind of picture: the values are taken as sRGB
    return np.asarray(upright.convert("RGB"))


def _read_deep(path: Path, orientation: int) -> NDArray[np.uint16]:
    """Return 16-bit R'G'B', upright; values are taken as sRGB, whatever the profile."""
    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: its kind of pixels is not known; save it as 16-bit PNG or TIFF")
    values = values.astype(np.uint16) * (257 if values.dtype == np.uint8 else 1)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    rgb = values[..., 2::-1]
    if orientation in (2, 4, 5, 7):
        rgb = rgb[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(rgb, turns))


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
