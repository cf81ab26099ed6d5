"""The kinds of image files that a film can be written to, and their pixel formats.

All are R'G'B' in full range. OpenEXR holds linear light, as its readers expect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av

from filmcolor.errors import SettingsError
from filmcolor.types.film import FilmInfo
from filmcolor.video.image_sequence import FORMAT
from filmcolor.video.pixel_layout import is_float

IMAGE_SEQUENCE = FORMAT  # the format of an output plan, and the container of what it writes
_FLOAT_DEPTH = 16  # bits of the code values that floating-point samples are computed from


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """An image format: FFmpeg's encoder, and a pixel format for each bit depth.

    `alpha`: those with alpha, where they are written. `keeps_times`: its header has fields for the
    frame rate and the timecode.
    """

    codec: str
    pix_fmts: Mapping[int, str]
    alpha: Mapping[int, str] = field(default_factory=dict)
    keeps_times: bool = False

    def choose_pix_fmt(self, depth: int, needs_alpha: bool) -> str:
        """Return the pixel format of at least a bit depth, or the deepest."""
        formats = self.alpha if needs_alpha and self.alpha else self.pix_fmts
        sufficient = [bits for bits in formats if bits >= depth]
        return formats[min(sufficient) if sufficient else max(formats)]

    def check_pix_fmt(self, pix_fmt: str) -> None:
        """Raise SettingsError for a pixel format that is not written into such images."""
        names = [f.name for f in av.Codec(self.codec, "w").video_formats or ()]
        written = {*self.pix_fmts.values(), *self.alpha.values()}
        # of DPX also those that are not chosen: 8 bits, and little-endian ones
        prefixes = ("rgb24", "rgb48", "gbrp1") if self.codec == "dpx" else ()
        known = [n for n in names if n in written or n.startswith(prefixes)]
        if pix_fmt not in known:
            raise SettingsError(f"{self.codec} images are written as {', '.join(known)}")


# DPX and OpenEXR are written without alpha: DPX of 10 bits has none, and that of OpenEXR belongs to
# premultiplied colours, whose luma is not the film's
IMAGE_FORMATS = {
    ".png": ImageFormat("png", {8: "rgb24", 16: "rgb48be"}, alpha={8: "rgba", 16: "rgba64be"}),
    ".tif": ImageFormat("tiff", {8: "rgb24", 16: "rgb48le"}, alpha={8: "rgba", 16: "rgba64le"}),
    ".exr": ImageFormat("exr", {_FLOAT_DEPTH: "gbrpf32le"}, keeps_times=True),
    ".dpx": ImageFormat("dpx", {10: "gbrp10be", 12: "gbrp12be", 16: "rgb48be"}, keeps_times=True),
}
IMAGE_FORMATS[".tiff"] = IMAGE_FORMATS[".tif"]


def is_image_output(path: Path) -> bool:
    """Return whether an output is to be images, by its suffix."""
    return path.suffix.lower() in IMAGE_FORMATS


def pix_fmt_depth(pix_fmt: str) -> int:
    """Return the bit depth of the code values for a pixel format."""
    pixels = av.VideoFormat(pix_fmt)
    return _FLOAT_DEPTH if is_float(pixels) else pixels.components[0].bits


def has_linear_light(info: FilmInfo) -> bool:
    """Return whether floating-point images of a film hold linear light.

    Those of floating-point pictures that do not hold it, as FFmpeg writes them, are alike.
    """
    return info.is_linear or not is_float(av.VideoFormat(info.pix_fmt))
