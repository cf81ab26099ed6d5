"""From picks and photographs to pictures: read, without bars, upright, no larger than asked."""

from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from filmcolor.errors import InputError
from filmcolor.images.image_file import read_photo
from filmcolor.train.stills.letterbox import Bars, Profile
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
    """Yield picks with their frames as coded, None for one that cannot be read.

    With a limit below their number, any beginning is spread over the film. A film that
    cannot be sought in is read once, and only as many picks of it as may be kept.
    """
    if not picks:
        return
    is_limited = limit < len(picks)
    if index.is_exact:
        if is_limited:
            picks = [picks[i] for i in taking_order(len(picks))]
        for pick in picks:
            try:
                frame = next(iter(read_rgb(info, pick.number, pick.number + 1, index)), None)
            except InputError:
                frame = None
            yield pick, None if frame is None else frame.rgb
        return
    if is_limited:
        picks = [picks[len(picks) * (2 * i + 1) // (2 * limit)] for i in range(limit)]
    waiting = {pick.number: pick for pick in picks}
    try:
        for frame in read_rgb(info, min(waiting), max(waiting) + 1, index):
            if frame.number in waiting:
                yield waiting.pop(frame.number), frame.rgb
    except InputError:
        yield from ((pick, None) for pick in waiting.values())


def taking_order(num: int) -> list[int]:
    """Return 0 to num - 1 so that any beginning of the list is spread over the whole.

    Van der Corput's sequence in base 2: the numbers by their bits read backwards.
    """
    num_bits = max(1, (num - 1).bit_length())
    order = (int(f"{i:0{num_bits}b}"[::-1], 2) for i in range(1 << num_bits))
    return [i for i in order if i < num]


def upright(rgb: Picture, info: FilmInfo, bars: Bars, short_side: int) -> Picture:
    """Return a frame as it is shown: without bars, pixels square, turned, never enlarged.

    Of an interlaced film one field is taken, so that nothing is combed.
    """
    picture = bars.trim(rgb)
    pixel_shape = float(info.sar)
    if info.is_interlaced:
        picture, pixel_shape = picture[::2], pixel_shape / 2
    height, width = picture.shape[:2]
    square = width * min(1.0, pixel_shape), height / max(1.0, pixel_shape)
    turned = np.rot90(_resized(picture, square, short_side), info.quarter_turns)
    return np.ascontiguousarray(turned)


def read_whole(path: Path) -> Picture:
    """Return a photograph as it is shown, without bars, in 8 bits.

    Raises InputError when it cannot be read.
    """
    deep = read_photo(path).rgb
    rgb = np.rint(deep / (1.0 if deep.dtype == np.uint8 else 257.0)).astype(np.uint8)
    profile = Profile(*rgb.shape[:2])
    profile.add(luma_of_rgb(rgb) * 255.0, _FULL_RANGE)
    return profile.bars(1.0).trim(rgb)


def shrunk(picture: Picture, short_side: int) -> Picture:
    """Return a picture with a short side of so many pixels, never enlarged; 0 keeps its size."""
    height, width = picture.shape[:2]
    return _resized(picture, (width, height), short_side)


def _resized(picture: Picture, size: tuple[float, float], short_side: int) -> Picture:
    """Return a picture at a size (width, height), or smaller, its short side as asked."""
    scale = min(1.0, short_side / min(size)) if short_side else 1.0
    width, height = (max(1, round(side * scale)) for side in size)
    if (height, width) == picture.shape[:2]:
        return picture
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
