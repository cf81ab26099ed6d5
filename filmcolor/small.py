"""The small picture of a frame, which the shot detector, the flow and the network see."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from filmcolor.color import Coding
from filmcolor.frames import FilmInfo, FloatPlane, LumaFrame, Plane, SmallFrame

DEFAULT_SIZE = 256  # short side, pixels
STRIDE = 8  # the network halves the picture three times: sides must be multiples of this


def small_size(width: float, height: float, short_side: int) -> tuple[int, int]:
    """Return (width, height) for the network: in proportion, multiples of 8, never cropped."""
    scale = short_side / min(width, height)
    small = [max(STRIDE, STRIDE * round(side * scale / STRIDE)) for side in (width, height)]
    return small[0], small[1]


def shrink(luma: Plane, size: tuple[int, int], coding: Coding) -> FloatPlane:
    """Return luma in 0..1 at `size` (width, height), of code values (H, W).

    Averages over the pixels it merges, so grain is thinned before the network sees it.
    """
    # halved as often as it goes, then interpolated: 10 to 50 times as fast as INTER_AREA
    while luma.shape[1] >= 2 * size[0] and luma.shape[0] >= 2 * size[1]:
        height, width = (side // 2 for side in luma.shape)
        even = luma[: 2 * height, : 2 * width]
        luma = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR)
    if small.dtype == np.uint8:
        looked_up: FloatPlane = cv2.LUT(small, _relative(np.arange(256), coding))
        return looked_up
    return _relative(small, coding)


def _relative(codes: Plane, coding: Coding) -> FloatPlane:
    """Return luma in 0..1 of code values."""
    values = codes.astype(np.float32)
    values -= coding.luma_offset
    values *= 1.0 / coding.luma_scale
    return np.clip(values, 0.0, 1.0, out=values)


def add_small(frames: Iterable[LumaFrame], info: FilmInfo, short_side: int) -> Iterator[SmallFrame]:
    """Yield each frame with the small picture that the network and shot detector see."""
    size = small_size(*info.display_size, short_side)
    for frame in frames:
        yield SmallFrame(frame, shrink(frame.luma, size, info.coding))
