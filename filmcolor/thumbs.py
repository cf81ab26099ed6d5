"""A frame as the shot detector sees it, and how unlike two frames are."""

from functools import cached_property

import cv2
import numpy as np

from filmcolor.frames import FloatPlane, Gray

_SIZE = (48, 36)  # (width, height): small enough that grain and gate weave average out
_BLUR = 4  # how much smaller the pictures are by which dissolves are judged: they may move
_SHIFT = (5, 4)  # (x, y) of _SIZE that the camera may have moved between two frames
_FLAT = 0.012  # contrast below which there is no picture, only noise; luma in 0..1
_MIN_SPREAD = 0.03  # a nearly black picture is mostly noise: keep it small
_DARK = 0.094  # luma in 0..1 that a line of a black bar stays below, noise included
_MAX_BAR = 0.35  # of the height or width, at each side
_SCALE = 2.2  # makes a hard cut's unlikeness under shifts as large as that in place


class Thumb:
    """A small picture (36, 48) in 0..1, with what is often asked of it."""

    def __init__(self, guide: Gray) -> None:
        tiny = cv2.resize(guide, _SIZE, interpolation=cv2.INTER_AREA)
        self.picture: FloatPlane = tiny * np.float32(1.0 / 255.0)

    @cached_property
    def contrast(self) -> float:
        """Standard deviation of coarse cells, without the noise, dust and scratches of leader."""
        clean = cv2.medianBlur(self.picture, 5)
        cells = cv2.resize(clean, (12, 9), interpolation=cv2.INTER_AREA)
        return float(cells.std())

    @cached_property
    def is_flat(self) -> bool:
        """True when there is no picture: black, white or grey all over."""
        return self.contrast < _FLAT

    @cached_property
    def is_clear(self) -> bool:
        """True when there is certainly a picture."""
        return self.contrast > 3.0 * _FLAT

    @cached_property
    def lit(self) -> tuple[FloatPlane, FloatPlane]:
        """How bright each row and each column gets, luma in 0..1."""
        rows, columns = (
            self.picture.mean(axis=axis) + 2.0 * self.picture.std(axis=axis) for axis in (1, 0)
        )
        return rows, columns

    @cached_property
    def blurred(self) -> FloatPlane:
        """The picture as (9, 12)."""
        return cv2.resize(
            self.picture, None, fx=1 / _BLUR, fy=1 / _BLUR, interpolation=cv2.INTER_AREA
        )


def picture_area(thumbs: list[Thumb]) -> tuple[slice, slice]:
    """Return (rows, columns) of the pictures without the black bars that all of them have."""
    return _lines([t.lit[0] for t in thumbs]), _lines([t.lit[1] for t in thumbs])


def blurred_area(area: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return the (rows, columns) of `Thumb.blurred` that show an area of the picture."""
    rows, columns = (slice(a.start // _BLUR, -(-a.stop // _BLUR)) for a in area)
    return rows, columns


def change(first: Thumb, second: Thumb) -> float:
    """Return how unlike two frames are: about 0 to 0.6 inside a shot, 0.7 to 1.3 across a cut.

    The geometric mean of two measures, each blind to brightness, contrast and bars: the
    mean |difference| in place, and 1 - correlation at the best shift. What moves in front
    of a still camera changes the first, a camera that turns changes the first, but few
    things both. 0 when either frame is flat.
    """
    if first.is_flat or second.is_flat:
        return 0.0
    area = picture_area([first, second])
    a, b = _normal(first.picture[area]), _normal(second.picture[area])
    in_place = float(np.abs(a - b).mean())
    return float(np.sqrt(in_place * _SCALE * min(_shifted(a, b), _shifted(b, a))))


def _normal(picture: FloatPlane) -> FloatPlane:
    normal: FloatPlane = (picture - picture.mean()) / max(float(picture.std()), _MIN_SPREAD)
    return normal


def _shifted(first: FloatPlane, second: FloatPlane) -> float:
    """Return 1 - correlation of the second's middle with the most like place of the first."""
    x, y = (min(most, side // 4) for most, side in zip(_SHIFT, (first.shape[1], first.shape[0])))
    height, width = second.shape
    middle = np.ascontiguousarray(second[y : height - y, x : width - x])
    matches = cv2.matchTemplate(np.ascontiguousarray(first), middle, cv2.TM_CCOEFF_NORMED)
    return float(np.clip(1.0 - matches.max(), 0.0, 2.0))


def _lines(levels: list[FloatPlane]) -> slice:
    is_lit = np.max(levels, axis=0) > _DARK
    length, most = len(is_lit), int(len(is_lit) * _MAX_BAR)
    lit = np.flatnonzero(is_lit)
    if len(lit) == 0:
        return slice(0, length)
    before, after = int(lit[0]), length - 1 - int(lit[-1])
    if max(before, after) > most:  # a dark picture, not bars
        return slice(0, length)
    # a bar's soft edge belongs to it
    return slice(before + (before > 0), length - after - (after > 0))
