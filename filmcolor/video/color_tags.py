"""Decides how the code values of a film are read: matrix, range, depth, and linear light."""

import re
from typing import Any

import av

from filmcolor.types.yuv import UNSPECIFIED, Coding, default_matrix, is_known_matrix
from filmcolor.video.demux import JPEG_RANGE, MPEG_RANGE
from filmcolor.video.pixel_layout import code_depth, is_float, is_rgb_like

_LINEAR, _SRGB = 8, 13  # transfer characteristics of ITU-T H.273
# codecs whose floating-point pictures are linear light, unless FFmpeg wrote them
_LINEAR_CODECS = frozenset({"exr", "hdr", "tiff"})
_FFMPEG = re.compile(r"lavc", re.IGNORECASE)


def read_color_tags(context: Any, frame: av.VideoFrame, is_sequence: bool) -> dict[str, Any]:
    """Return FilmInfo's fields about the coding of colour, from the decoder and the first frame.

    Luma of RGB films is computed in the range that players expect, limited. Image sequences keep
    their code values: full range, a grey value of 700 is luma 700.
    """
    pixels = frame.format
    is_tagged = is_known_matrix(context.colorspace)
    matrix = context.colorspace if is_tagged else default_matrix(frame.width, frame.height)
    is_full = _is_full_range(context, pixels, is_sequence)
    is_linear = is_float(pixels) and _is_linear(context, frame)
    transfer = context.color_trc or UNSPECIFIED
    if is_float(pixels) and (is_linear or transfer == _LINEAR):
        transfer = _SRGB if is_linear else UNSPECIFIED
    return {
        "coding": Coding(matrix, is_full, code_depth(pixels)),
        "is_matrix_tagged": is_tagged,
        "primaries": context.color_primaries or UNSPECIFIED,
        "transfer": transfer,
        "is_linear": is_linear,
    }


def describe_pixels(pix_fmt: str, is_linear: bool) -> tuple[str, ...]:
    """Return lines for people about pixel formats whose values cannot be kept as they are."""
    pixels = av.VideoFormat(pix_fmt)
    if is_linear:
        return (
            "linear light in floating point: values from 0 to 1 become 16 bits with the curve of "
            "sRGB, brighter ones white",
        )
    if is_float(pixels):
        return (
            "floating point, taken as video, not as linear light: values from 0 to 1 become "
            "16 bits, others black and white",
        )
    if pix_fmt.startswith("xyz"):
        return ("X'Y'Z' of digital cinema: luma is that of its colours in R'G'B'",)
    if pixels.components[0].bits > 16:
        return ("32-bit integers: their upper 16 bits are kept",)
    return ()


def _is_full_range(context: Any, pixels: av.VideoFormat, is_sequence: bool) -> bool:
    if is_rgb_like(pixels) and not pixels.name.startswith("mono"):
        return is_sequence
    if pixels.name.startswith("yuvj") or context.color_range == JPEG_RANGE:
        return True
    if context.color_range == MPEG_RANGE:
        return False
    # FFmpeg treats untagged gray as full range; so are images in Y'CbCr (TIFF 6.0, section 20;
    # JFIF), but for DPX, whose Y'CbCr is that of video
    is_gray = pixels.name.startswith(("gray", "ya", "mono"))
    return is_gray or (is_sequence and context.codec.canonical_name != "dpx")


def _is_linear(context: Any, frame: av.VideoFrame) -> bool:
    """Return whether floating-point samples are linear light.

    Those of OpenEXR and other images are. FFmpeg writes the values of video into them as they are,
    and its name as that of the writer.
    """
    if context.codec.canonical_name in _LINEAR_CODECS:
        return not any(_FFMPEG.match(text) for text in frame.metadata.values())
    return context.color_trc == _LINEAR
