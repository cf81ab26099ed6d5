"""Reads HEIC pictures with the plugin pillow-heif, if it is installed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmcolor.errors import InputError

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})


def read_heif(path: Path) -> tuple[Image.Image, NDArray[np.uint16] | None]:
    """Return a HEIC picture, upright, and its R'G'B' (H, W, 3) if it has more than 8 bits.

    Raises InputError without the plugin.
    """
    heif = _plugin(path).open_heif(path, convert_hdr_to_8bit=False)
    values = np.asarray(heif)
    if values.dtype != np.uint16:
        return heif.to_pillow(), None
    rgb = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values[..., :3]
    # the plugin keeps code values in the upper bits of 16
    bits = int(heif.info["bit_depth"])
    codes = (rgb >> (16 - bits)).astype(np.float32)
    image = Image.fromarray((rgb >> 8).astype(np.uint8))
    image.info |= heif.info
    return image, np.rint(codes * (65535.0 / ((1 << bits) - 1))).astype(np.uint16)


def _plugin(path: Path) -> Any:
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError(
            f"{path} is a HEIC picture, and its reader is missing; "
            "install it with: pip install 'filmcolor[heic]'"
        ) from error
    return pillow_heif
