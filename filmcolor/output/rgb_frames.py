"""Builds R'G'B' frames of finished frames, whose luma they have exactly.

Red and blue are rounded; green then takes what luma lacks, which leaves less than half a code.
Half floats are coarser than 16 bits: there the channels are rounded one after the other, each to
what luma lacks. For the few pixels whose luma is still another code, neighbours and paler colours
are tried.
"""

from itertools import product
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from filmcolor.color.gamut import shrink_into_gamut
from filmcolor.color.spaces import (
    Channels,
    linear_from_srgb,
    luma_from_rgb,
    rgb_from_ycc,
    srgb_from_linear,
)
from filmcolor.output.image_formats import has_linear_light
from filmcolor.output.options import OutputPlan
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ColorFrame, FloatPlane, Plane
from filmcolor.types.yuv import Coding
from filmcolor.video.pixel_layout import is_float

_ENOUGH = 0.45  # of the film's luma code: what is nearer rounds to it
_SATURATIONS = (1.0, 0.95, 0.9, 0.8, 0.5, 0.0)  # tried in turn; a grey of half floats has its luma
# steps of green and red from the nearest half float, in the order in which they are tried
_STEPS = sorted(product(range(-6, 7), range(-2, 3)), key=lambda steps: sum(map(abs, steps)))


class RgbFrameBuilder:
    """Builds the `av.VideoFrame`s of image files: full range, integers or linear light."""

    def __init__(self, info: FilmInfo, plan: OutputPlan) -> None:
        self._plan, self._pixels = plan, av.VideoFormat(plan.pix_fmt)
        self._time_base = info.time_base
        self._source_coding = info.coding
        self._is_linear = has_linear_light(info)
        self._is_half = plan.options.get("format") == "half"

    def __call__(self, frame: ColorFrame, pts: int) -> av.VideoFrame:
        """Return `frame` for the encoder, shown at `pts`, FilmInfo.time_base units."""
        plan, pixels = self._plan, self._pixels
        channels = list(self._channels(frame))
        if len(pixels.components) > len(channels):
            channels.append(self._opacity(frame))
        built = av.VideoFrame(plan.width, plan.height, plan.pix_fmt)
        for number, values in enumerate(channels):
            _samples(built, number)[:] = values
        built.pts, built.time_base, built.duration = pts, self._time_base, frame.duration
        return built

    def _channels(self, frame: ColorFrame) -> Channels:
        coding = self._plan.coding
        if not is_float(self._pixels):
            return rgb_codes(frame, coding)
        luma, rgb = _wanted_rgb(frame, coding)
        if not self._is_half:
            return tuple(linear_from_srgb(c) for c in rgb) if self._is_linear else rgb
        enough = _ENOUGH / self._source_coding.luma_scale
        return HalfFloats(coding, self._is_linear, enough).nearest(luma, rgb)

    def _opacity(self, frame: ColorFrame) -> Any:
        """Return a frame's alpha in the planned depth; opaque if it has none."""
        depth = self._plan.coding.bit_depth
        peak = (1 << depth) - 1
        if frame.alpha is None:
            return peak
        return np.rint(frame.alpha * (peak / ((1 << self._source_coding.bit_depth) - 1)))


def rgb_codes(frame: ColorFrame, coding: Coding) -> Channels:
    """Return the R'G'B' codes (H, W) each of a frame in full range and 4:4:4.

    Their luma rounds to the frame's; chroma that leaves the gamut is shrunk toward neutral.
    """
    luma, (red, _, blue) = _wanted_rgb(frame, coding)
    peak = coding.luma_scale
    luma *= peak
    red, blue = (np.rint(channel * peak) for channel in (red, blue))
    kr, kg, kb = _luma_weights(coding)
    green = np.rint((luma - kr * red - kb * blue) / kg).clip(0, peak)
    return red, green, blue


class HalfFloats:
    """Chooses half floats for R'G'B' whose luma is right.

    `coding`: of luma. `is_linear`: the halves are linear light with the curve of sRGB. `enough`:
    an error of luma, relative to white, that does not matter.
    """

    def __init__(self, coding: Coding, is_linear: bool, enough: float) -> None:
        self._weights, self._peak = _luma_weights(coding), coding.luma_scale
        self._is_linear, self._enough = is_linear, enough

    def nearest(self, luma: FloatPlane, rgb: Channels) -> Channels:
        """Return halves, as float32, whose luma is `luma`; those nearest to `rgb` if these are.

        All are (H, W), nonlinear and in 0..1.
        """
        halves = [self._half(channel) for channel in rgb]
        wrong = np.nonzero(~self._is_right(halves, luma))
        for number, (saturation, steps) in enumerate(product(_SATURATIONS, _STEPS)):
            if not len(wrong[0]):
                break
            gray = luma[wrong]
            green, blue = (gray + saturation * (rgb[n][wrong] - gray) for n in (1, 2))
            tried = self._complete(gray, green, blue, steps)
            is_right = self._is_right(tried, gray)
            is_taken = is_right if number else np.ones_like(is_right)  # the first is near anyway
            places = tuple(axis[is_taken] for axis in wrong)
            for plane, values in zip(halves, tried):
                plane[places] = values[is_taken]
            wrong = tuple(axis[~is_right] for axis in wrong)
        red, green, blue = (plane.astype(np.float32) for plane in halves)
        return red, green, blue

    def _complete(
        self, luma: Any, green: Any, blue: Any, steps: tuple[int, int]
    ) -> list[NDArray[np.float16]]:
        """Return halves of a green, of the red that luma then needs, and of blue for the rest.

        `steps`: by which green and red are moved.
        """
        kr, kg, kb = self._weights
        halves = _neighbour(self._half(green), steps[0])
        rest = luma - kg * self._value(halves)
        red = _neighbour(self._half((rest - kb * blue) / kr), steps[1])
        return [red, halves, self._half((rest - kr * self._value(red)) / kb)]

    def _is_right(self, halves: list[NDArray[np.float16]], luma: Any) -> NDArray[np.bool_]:
        red, green, blue = (self._value(plane) for plane in halves)
        result = luma_from_rgb(red, green, blue, self._weights)
        is_same_code = np.rint(result * self._peak) == np.rint(luma * self._peak)
        return np.asarray(is_same_code | (np.abs(result - luma) < self._enough))

    def _half(self, values: Any) -> NDArray[np.float16]:
        inside = values.clip(0.0, 1.0)
        linear = linear_from_srgb(inside) if self._is_linear else inside
        return np.asarray(linear).astype(np.float16)

    def _value(self, halves: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the nonlinear values of halves, as `video.pixel_formats` reads them."""
        values = halves.astype(np.float32)
        return srgb_from_linear(values).astype(np.float32) if self._is_linear else values


def _neighbour(halves: NDArray[np.float16], step: int) -> NDArray[np.float16]:
    """Return the halves some steps above or below, in 0..1: their bits count up like numbers."""
    white = int(np.float16(1.0).view(np.uint16))
    bits = halves.view(np.uint16).astype(np.int32) + step
    return bits.clip(0, white).astype(np.uint16).view(np.float16)


def _wanted_rgb(frame: ColorFrame, coding: Coding) -> tuple[FloatPlane, Channels]:
    """Return luma and R'G'B' of a frame in 0..1, inside the gamut, float32."""
    luma = (frame.luma.astype(np.float32) / coding.luma_scale).clip(0.0, 1.0)
    cb, cr = (
        (plane.astype(np.float32) - coding.chroma_offset) / coding.chroma_scale
        for plane in (frame.cb, frame.cr)
    )
    cb, cr = shrink_into_gamut(luma, cb, cr, coding)
    rgb = rgb_from_ycc(luma, cb, cr, coding)
    return luma, tuple(channel.clip(0.0, 1.0) for channel in rgb)


def _luma_weights(coding: Coding) -> tuple[float, float, float]:
    kr, kb = coding.kr_kb
    return kr, 1.0 - kr - kb, kb


def _samples(frame: av.VideoFrame, number: int) -> Plane:
    """Return a view (H, W) of a component of an RGB frame, to be filled."""
    pixels = frame.format
    plane: Any = frame.planes[pixels.components[number].plane]
    kind = "f" if is_float(pixels) else "u"
    num_bytes = -(-pixels.components[number].bits // 8)
    dtype = np.dtype(f"{'>' if pixels.is_big_endian else '<'}{kind}{num_bytes}")
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    step = 1 if pixels.is_planar else len(pixels.components)
    items = rows[:, : frame.width * step * num_bytes].view(dtype)
    return items[:, 0 if pixels.is_planar else number :: step]
