"""One row of a film's pixels over time: colours that flicker are stripes across it."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filmcolor.color.spaces import rgb_from_lab
from filmcolor.metrics.comparison import Shown, eight_bits
from filmcolor.metrics.plots import CUT, INK, clock, font, nice_seconds
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Picture

AnyValues = NDArray[Any]

MOST_LINES = 1200  # of a strip: frames of longer films are left out evenly
_LEAST_HEIGHT = 480  # pixels: the lines of shorter films are repeated
_COLORLESS = "grey"  # the row that has no chroma to show
_LIGHTNESS = 65.0  # L of the strip that shows chroma alone
_GAP, _GUTTER, _HEAD, _FOOT, _TEXT = 10, 62, 28, 44, 13  # pixels


class Strip:
    """Gathers one row of pixels of each frame, or of as many frames as fit.

    `row` is a share of the upright picture's height. Memory is bounded by MOST_LINES.
    """

    def __init__(self, num_frames: int, row: float, info: FilmInfo) -> None:
        self._num_frames, self._row = num_frames, row
        self._num_lines = min(num_frames, MOST_LINES)
        self._turns = info.quarter_turns
        self._num_seen = 0
        self._has_cut = False  # since the last line
        self._lines: dict[str, list[Picture]] = {}
        self._seconds: list[float] = []
        self._cuts: list[int] = []  # lines that a shot begins at

    def add(self, seconds: float, views: Mapping[str, Shown], is_cut: bool) -> None:
        """Take in the next frame as all rows show it, if it is due."""
        due = self._num_seen * self._num_lines // self._num_frames
        self._num_seen += 1
        self._has_cut |= is_cut
        if due < len(self._seconds):
            return
        if self._has_cut:
            self._cuts.append(len(self._seconds))
        self._has_cut = False
        self._seconds.append(seconds)
        for name, view in views.items():
            self._lines.setdefault(name, []).append(self._line(view.rgb))
            if name != _COLORLESS:
                a, b = self._line(view.ab).T
                alone = rgb_from_lab(np.full_like(a, _LIGHTNESS), a, b)
                lines = self._lines.setdefault(f"{name}, chroma", [])
                lines.append(eight_bits(np.stack(alone, axis=1)))

    def drawn(self, title: str) -> Image.Image:
        """Return the picture: the strips side by side, time downwards, cuts marked between."""
        strips = {name: np.stack(lines) for name, lines in self._lines.items()}
        num, width = next(iter(strips.values())).shape[:2]
        times = max(1, ceil(_LEAST_HEIGHT / num))  # how often each line is repeated
        size = _GUTTER + len(strips) * (width + _GAP), _HEAD + num * times + _FOOT
        picture = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(picture)
        bottom = _HEAD + num * times
        for number, (name, strip) in enumerate(strips.items()):
            left = _GUTTER + number * (width + _GAP)
            _write(draw, (left, 7), name)
            picture.paste(Image.fromarray(strip.repeat(times, axis=0)), (left, _HEAD))
            for line in self._cuts:
                y = _HEAD + line * times
                draw.line([(left - _GAP + 2, y), (left - 3, y)], fill=CUT, width=2)
        last_y = -_TEXT
        for tick in nice_seconds(self._seconds[0], self._seconds[-1], max(2, num * times // 60)):
            y = _HEAD + times * int(np.searchsorted(self._seconds, tick))
            if y - last_y >= _TEXT:
                draw.line([(_GUTTER - 16, y), (_GUTTER - _GAP, y)], fill=INK)
                _write(draw, (_GUTTER - 20, y), clock(tick), "rm")
                last_y = y
        for number, caption in enumerate(self._captions(title)):
            _write(draw, (_GUTTER, bottom + 4 + 18 * number), caption)
        return picture

    def _captions(self, title: str) -> tuple[str, str]:
        num = len(self._seconds)
        taken = "each frame is a line"
        if num < self._num_seen:
            taken = f"{num} of {self._num_seen} frames, evenly chosen, are a line each"
        where = f"the row at {100 * self._row:.0f} % of the height"
        return f"{title}: {where}", f"time downwards, {taken}; cuts are marked at the edges"

    def _line(self, values: AnyValues) -> AnyValues:
        upright = np.rot90(values, self._turns)
        return upright[round(self._row * (upright.shape[0] - 1))].copy()


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str = "la"
) -> None:
    draw.text(place, text, fill=INK, font=font(_TEXT), anchor=anchor)
