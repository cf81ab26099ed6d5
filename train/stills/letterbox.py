"""Letterbox and pillarbox: finds the black bars around a picture, over many frames.

A row or column of a bar stays dark in nearly all frames. What is dark on one side only, as a night
sky is, counts as a bar only where its edge is sharp.
"""

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from filmcolor.types.frames import Plane
from filmcolor.types.yuv import Coding

_DARK = 24 / 255  # luma in 0..1 that a bar's rows and columns stay below, noise included
_BAR_EDGE = 0.06  # least step of luma in 0..1 from a bar to the picture beside it
_MIN_PICTURE = 4  # a picture fills one part in so many of the frame, or there are no bars
_NUM_SAMPLES = 480  # about so many pixels of each row and column are measured


@dataclass(frozen=True, slots=True)
class Bars:
    """The widths of the black bars around a picture, in pixels of the frame as coded."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def crop(self, picture: Plane) -> Plane:
        """Return a plane or picture (H, W, ...) without its bars and their soft edges."""
        height, width = picture.shape[:2]
        top, bottom, left, right = (bar and bar + 1 for bar in astuple(self))
        return picture[top : height - bottom, left : width - right]

    def scaled(self, shape: tuple[int, ...], proxy_shape: tuple[int, ...]) -> "Bars":
        """Return the bars of a frame (H, W) on its proxy (h, w), rounded into the picture."""
        down, across = proxy_shape[0] / shape[0], proxy_shape[1] / shape[1]
        factors = (down, down, across, across)
        return Bars(*(math.ceil(bar * f) for bar, f in zip(astuple(self), factors)))


class BarDetector:
    """Counts over any number of frames how often each row and column is lit."""

    def __init__(self, height: int, width: int) -> None:
        self.num_frames = 0
        # by row, by column
        self._num_lit = np.zeros(height), np.zeros(width)
        self._level_sum = np.zeros(height), np.zeros(width)
        self._steps = max(1, height // _NUM_SAMPLES), max(1, width // _NUM_SAMPLES)

    def add(self, luma: Plane, coding: Coding) -> None:
        """Add a frame's luma code values (H, W)."""
        down, across = self._steps
        for axis, lines in enumerate((luma[:, ::across], luma[::down].T)):
            level = (lines.astype(np.float32) - coding.luma_offset) / coding.luma_scale
            mean = level.mean(axis=1)
            # a single lamp in a night sky lights its row; the noise of a bar does not
            self._num_lit[axis][:] += mean + 2.0 * level.std(axis=1) > _DARK
            self._level_sum[axis][:] += mean
        self.num_frames += 1

    def dark_edges(self, share: float) -> Bars:
        """Return the widths that are dark on each side, in all but a share of the frames."""
        return Bars(*(n for axis in (0, 1) for n in self._dark_widths(axis, share)))

    def bars(self, share: float) -> Bars:
        """Return the dark edges that are bars: as wide as on the opposite side, or with a step."""
        widths = []
        for axis in (0, 1):
            before, after = self._dark_widths(axis, share)
            level = self._level_sum[axis] / max(self.num_frames, 1)
            is_symmetric = abs(before - after) <= max(2, len(level) // 64)
            for width, inward in ((before, level), (after, level[::-1])):
                widths.append(width if is_symmetric or _has_step(inward, width) else 0)
        return Bars(*widths)

    def _dark_widths(self, axis: int, share: float) -> tuple[int, int]:
        lit = np.flatnonzero(self._num_lit[axis] >= max(1.0, share * self.num_frames))
        length = len(self._num_lit[axis])
        if len(lit) == 0 or (lit[-1] + 1 - lit[0]) * _MIN_PICTURE < length:
            return 0, 0
        return int(lit[0]), int(length - 1 - lit[-1])


def _has_step(level: NDArray[np.float64], width: int) -> bool:
    return 0 < width < len(level) - 2 and bool(level[width + 2] - level[width - 1] >= _BAR_EDGE)


def combine_bars(dark_edges: Bars, bars: Bars, film_bars: Bars) -> Bars:
    """Return the bars of a shot: its own, or the film's where darkness hides them.

    `dark_edges`, `bars`: of the shot. Rows and columns that are lit in the shot are never cropped.
    """
    sides = zip(astuple(dark_edges), astuple(bars), astuple(film_bars))
    return Bars(*(shot_bar or min(dark, film_bar) for dark, shot_bar, film_bar in sides))
