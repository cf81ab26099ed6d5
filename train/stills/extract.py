"""Extracts stills: reads the chosen frames and photographs, crops, rotates and shrinks them."""

from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from filmcolor.errors import InputError
from filmcolor.images.image_file import read_photo
from filmcolor.train.stills.letterbox import BarDetector, Bars
from filmcolor.train.stills.quality import luma_of_rgb
from filmcolor.train.stills.scan import Pick
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Picture
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_rgb
from filmcolor.video.frame_index import FrameIndex

_FULL_RANGE = Coding(1, True, 8)  # of photographs


def read_picks(
    info: FilmInfo, picks: list[Pick], index: FrameIndex, limit: int
) -> Generator[tuple[Pick, Picture | None], None, None]:
    """Yield picks with their frames as coded; None for a frame that cannot be read.

    `limit`: the number of stills to keep. With a lower limit than picks, the first few are always
    spread over the film. Without seeking, the film is read once, with `limit` picks at most.
    """
    if not picks:
        return
    is_limited = limit < len(picks)
    if index.is_exact:
        if is_limited:
            picks = [picks[i] for i in spread_order(len(picks))]
        for pick in picks:
            try:
                frame = next(iter(read_rgb(info, pick.number, pick.number + 1, index)), None)
            except InputError:
                frame = None
            yield pick, None if frame is None else frame.rgb
        return
    if is_limited:
        picks = [picks[len(picks) * (2 * i + 1) // (2 * limit)] for i in range(limit)]
    remaining = {pick.number: pick for pick in picks}
    try:
        for frame in read_rgb(info, min(remaining), max(remaining) + 1, index):
            if frame.number in remaining:
                yield remaining.pop(frame.number), frame.rgb
    except InputError:
        yield from ((pick, None) for pick in remaining.values())


def spread_order(num: int) -> list[int]:
    """Return 0 to num - 1 in an order whose every beginning is spread over the range.

    Van der Corput's sequence in base 2: the numbers with their bits reversed.
    """
    num_bits = max(1, (num - 1).bit_length())
    order = (int(f"{i:0{num_bits}b}"[::-1], 2) for i in range(1 << num_bits))
    return [i for i in order if i < num]


def to_still(rgb: Picture, info: FilmInfo, bars: Bars, short_side: int) -> Picture:
    """Return a frame as it is shown: without bars, with square pixels, upright, never enlarged.

    Only one field of an interlaced frame is used, so that nothing is combed.
    """
    picture = bars.crop(rgb)
    pixel_aspect = float(info.sar)
    if info.is_interlaced:
        picture, pixel_aspect = picture[::2], pixel_aspect / 2
    height, width = picture.shape[:2]
    size = width * min(1.0, pixel_aspect), height / max(1.0, pixel_aspect)
    turned = info.orientation.upright(_resize(picture, size, short_side))
    return np.ascontiguousarray(turned)


def read_photo_without_bars(path: Path) -> Picture:
    """Return a photograph as it is shown, without bars, in 8 bits.

    Raises InputError when it cannot be read.
    """
    deep = read_photo(path).rgb
    rgb = np.rint(deep / (1.0 if deep.dtype == np.uint8 else 257.0)).astype(np.uint8)
    detector = BarDetector(*rgb.shape[:2])
    detector.add(luma_of_rgb(rgb) * 255.0, _FULL_RANGE)
    return detector.bars(1.0).crop(rgb)


def shrink(picture: Picture, short_side: int) -> Picture:
    """Return a picture with a short side of at most so many pixels; 0 keeps its size."""
    height, width = picture.shape[:2]
    return _resize(picture, (width, height), short_side)


def _resize(picture: Picture, size: tuple[float, float], short_side: int) -> Picture:
    """Return a picture at a size (width, height), shrunk further to `short_side` unless it is 0."""
    scale = min(1.0, short_side / min(size)) if short_side else 1.0
    width, height = (max(1, round(side * scale)) for side in size)
    if (height, width) == picture.shape[:2]:
        return picture
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
