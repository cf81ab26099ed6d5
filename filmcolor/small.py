"""The small pictures of a frame, which the shot detector, the flow and the network see."""

from collections.abc import Iterable, Iterator

import cv2

from filmcolor.color import Coding
from filmcolor.frames import FilmInfo, Gray, LumaFrame, Plane, SmallFrame

DEFAULT_SIZE = 256  # short side, pixels
STRIDE = 8  # the network halves the picture three times: sides must be multiples of this


def small_size(width: float, height: float, short_side: int) -> tuple[int, int]:
    """Return (width, height) for the network: in proportion, multiples of 8, never cropped."""
    scale = short_side / min(width, height)
    small = [max(STRIDE, STRIDE * round(side * scale / STRIDE)) for side in (width, height)]
    return small[0], small[1]


def shrink(luma: Plane, size: tuple[int, int], coding: Coding) -> Gray:
    """Return luma from black 0 to white 255 at `size` (width, height), of code values (H, W).

    Averages over the pixels it merges, so grain is thinned before the network sees it.
    """
    # halved as often as it goes, then interpolated: 10 to 50 times as fast as INTER_AREA
    while luma.shape[1] >= 2 * size[0] and luma.shape[0] >= 2 * size[1]:
        luma = halved(luma)
    small = cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR)
    scale = 255.0 / coding.luma_scale
    offset = -scale * coding.luma_offset
    gray: Gray = cv2.addWeighted(small, scale, small, 0.0, offset, dtype=cv2.CV_8U)
    return gray


def halved(luma: Plane) -> Plane:
    """Return luma (H, W) at half its size, rounded down; each pixel is the mean of four."""
    height, width = (max(1, side // 2) for side in luma.shape)
    even = luma[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def small_frame(frame: LumaFrame, small: Gray, is_cut: bool = False) -> SmallFrame:
    """Return a frame with its small picture (h, w), and half of that as its guide."""
    return SmallFrame(frame, small, halved(small), is_cut)


def add_small(frames: Iterable[LumaFrame], info: FilmInfo, short_side: int) -> Iterator[SmallFrame]:
    """Yield each frame with the small pictures that the next stages see."""
    size = small_size(*info.display_size, short_side)
    for frame in frames:
        yield small_frame(frame, shrink(frame.luma, size, info.coding))
