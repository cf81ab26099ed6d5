"""Letterbox and pillarbox: the black bars around a picture, found by how often they are lit."""

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from filmcolor.types.frames import Plane
from filmcolor.types.yuv import Coding

_DARK = 24 / 255  # luma in 0..1 that a line of a bar stays below, noise included
_BAR_EDGE = 0.06  # how much brighter the picture is than the bar beside it, luma in 0..1
_MIN_PICTURE = 4  # a picture fills one part in so many of the frame, or there are no bars
_LINES_MEASURED = 480  # across a bar's line, about so many pixels are looked at


@dataclass(frozen=True, slots=True)
class Bars:
    """The black lines around a picture, in pixels of the frame as coded."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def trim(self, picture: Plane) -> Plane:
        """Return a plane or picture (H, W, ...) without its bars, and without their soft edge."""
        height, width = picture.shape[:2]
        top, bottom, left, right = (bar and bar + 1 for bar in astuple(self))
        return picture[top : height - bottom, left : width - right]

    def scaled(self, shape: tuple[int, ...], small: tuple[int, ...]) -> "Bars":
        """Return the bars of a frame (H, W) on its small copy (h, w), rounded to the inside."""
        down, across = small[0] / shape[0], small[1] / shape[1]
        factors = (down, down, across, across)
        return Bars(*(math.ceil(bar * f) for bar, f in zip(astuple(self), factors)))


class Profile:
    """How often each row and column of a frame was lit, over any number of frames."""

    def __init__(self, height: int, width: int) -> None:
        self.num = 0
        self._lit = np.zeros(height), np.zeros(width)
        self._level = np.zeros(height), np.zeros(width)
        self._step = max(1, height // _LINES_MEASURED), max(1, width // _LINES_MEASURED)

    def add(self, luma: Plane, coding: Coding) -> None:
        """Look at one more frame's luma code values (H, W)."""
        down, across = self._step
        for axis, lines in enumerate((luma[:, ::across], luma[::down].T)):
            level = (lines.astype(np.float32) - coding.luma_offset) / coding.luma_scale
            mean = level.mean(axis=1)
            # one lamp in a night sky lights its line; the noise of a bar does not
            self._lit[axis][:] += mean + 2.0 * level.std(axis=1) > _DARK
            self._level[axis][:] += mean
        self.num += 1

    def dark(self, share: float) -> Bars:
        """Return what was dark at each side in all but a share of the frames."""
        return Bars(*(n for axis in (0, 1) for n in self._dark_lines(axis, share)))

    def bars(self, share: float) -> Bars:
        """Return what was dark and is a bar: as broad as its opposite, or sharply cut."""
        widths = []
        for axis in (0, 1):
            before, after = self._dark_lines(axis, share)
            level = self._level[axis] / max(self.num, 1)
            is_even = abs(before - after) <= max(2, len(level) // 64)
            is_bar = [
                is_even or _is_cut_sharply(side, bar)
                for side, bar in ((level, before), (level[::-1], after))
            ]
            widths += [bar if is_it else 0 for bar, is_it in zip((before, after), is_bar)]
        return Bars(*widths)

    def _dark_lines(self, axis: int, share: float) -> tuple[int, int]:
        lit = np.flatnonzero(self._lit[axis] >= max(1.0, share * self.num))
        length = len(self._lit[axis])
        if len(lit) == 0 or (lit[-1] + 1 - lit[0]) * _MIN_PICTURE < length:
            return 0, 0
        return int(lit[0]), int(length - 1 - lit[-1])


def _is_cut_sharply(level: NDArray[np.float64], bar: int) -> bool:
    return 0 < bar < len(level) - 2 and bool(level[bar + 2] - level[bar - 1] >= _BAR_EDGE)


def settle_bars(dark: Bars, bars: Bars, film: Bars) -> Bars:
    """Return the bars of a shot: its own, or the film's where darkness hides them.

    `dark`, `bars`: the shot's; `film`: the whole film's. What is lit in the shot stays.
    """
    sides = zip(astuple(dark), astuple(bars), astuple(film))
    return Bars(*(own or min(lines, usual) for lines, own, usual in sides))
