"""Tries out the encoder of an image format with one frame, before a run colours its first."""

import io
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np

from filmcolor.errors import SettingsError
from filmcolor.output.image_headers import ImageHeaders
from filmcolor.output.options import OutputPlan
from filmcolor.output.rgb_frames import RgbFrameBuilder
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ColorFrame


def try_image(info: FilmInfo, plan: OutputPlan) -> Fraction:
    """Encode one grey frame to an image, read it back, and return its pixel aspect ratio.

    Raises SettingsError when the encoder refuses the film's size, or its image cannot be read.
    """
    try:
        image = _encode(info, plan)
        container: Any
        with av.open(io.BytesIO(image)) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            is_same = (frame.width, frame.height) == (plan.width, plan.height)
            sar = Fraction(stream.sample_aspect_ratio or 1)
    except (av.error.FFmpegError, OSError, ValueError, StopIteration) as error:
        raise _error(plan, str(getattr(error, "strerror", None) or error)) from error
    if not is_same:
        raise _error(plan, f"it becomes {frame.width}×{frame.height}")
    return sar


def _encode(info: FilmInfo, plan: OutputPlan) -> bytes:
    context: Any = av.CodecContext.create(plan.codec, "w")
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pix_fmt
    context.time_base, context.framerate = 1 / info.frame_rate, info.frame_rate
    context.sample_aspect_ratio, context.options = info.sar, dict(plan.options)
    shape = info.height, info.width
    dtype = np.uint8 if plan.coding.bit_depth == 8 else np.uint16
    gray = np.full(shape, plan.coding.chroma_offset, dtype)
    frame = RgbFrameBuilder(info, plan)(ColorFrame(0, gray, gray, gray, 0, 1), 0)
    data = b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])
    return ImageHeaders.of(info, "colour added").complete(plan.codec, data, 0)


def _error(plan: OutputPlan, reason: str) -> SettingsError:
    return SettingsError(
        f"{plan.codec} cannot write images of {plan.width}×{plan.height} in {plan.pix_fmt} "
        f"({reason}); choose another image format"
    )
