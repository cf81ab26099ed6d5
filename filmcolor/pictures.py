"""Picture files as upright sRGB, whatever program wrote them."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from filmcolor.errors import InputError

# what Pillow raises over broken files
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise InputError, in words, for whatever a picture file cannot be read for."""
    if not path.exists():
        raise InputError(f"{path}: no such file; check the spelling and the folder")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name pictures inside it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are not used here, of large scans
            yield
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture; give a JPEG, PNG or TIFF") from error
    except InputError:
        raise
    except _PILLOW_ERRORS as error:
        raise InputError(
            f"{path} is not a picture that can be read ({error}); is the file complete?"
        ) from error


def as_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of 8 bits, without transparency, as sRGB: converted from its ICC profile.

    Where the profile is broken or of another kind of picture, values are taken as sRGB.
    """
    if profile:
        try:
            given = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, given, srgb, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """Return an upright picture as R'G'B' and opacity (H, W, 4), sRGB of 8 bits.

    Opacity is 255 where the picture has no transparency; deeper ones are rounded. Raises
    InputError when the file is missing or no picture.
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
