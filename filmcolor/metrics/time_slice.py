"""Time slices: one row of a film's pixels over time, in which flicker shows as stripes."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filmcolor.color.spaces import rgb_from_lab
from filmcolor.errors import SettingsError
from filmcolor.metrics.comparison import GREY, Rendition, to_8_bits
from filmcolor.metrics.figure import (
    CUT_COLOR,
    TEXT_SIZE,
    check_figure,
    clock_ticks,
    format_clock,
    new_figure,
    save_figure,
)
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Picture
from filmcolor.types.orientation import AS_CODED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LINES = 1200  # of a slice: longer films are sampled evenly
_MIN_HEIGHT = 480  # pixels: the lines of shorter films are repeated
_MIN_WIDTH = 620  # pixels: the captions fit
_LIGHTNESS = 65.0  # L of the panels that show chroma alone
_GAP, _LEFT, _TOP, _BOTTOM = 14, 62, 34, 48  # pixels between and around the panels
_SECONDS_HEIGHT = 60  # pixels between two ticks of the time axis, at least


class TimeSlice:
    """Collects one row of pixels of each frame, and draws them over time.

        time_slice = TimeSlice(row=0.25)
        measure("film.mp4", time_slice=time_slice)
        time_slice.save("slice.png")

    `row` is a share of the upright picture's height: 0 is the top row, 1 the bottom row. Raises
    SettingsError for others. Memory is bounded: at most MAX_LINES frames are collected.
    """

    def __init__(self, row: float = 0.5) -> None:
        if not 0.0 <= row <= 1.0:
            raise SettingsError(f"row {row:g}: choose from 0, the top, to 1, the bottom")
        self.row = row
        self.start((), 0)

    def __len__(self) -> int:
        """The number of lines: of frames that were collected."""
        return len(self._seconds)

    def start(self, sources: Sequence[FilmInfo], num_frames: int) -> None:
        """Forget all frames, and prepare for `num_frames` frames of a film and its truth."""
        self._sources = [info.path for info in sources]
        self._orientation = sources[0].orientation if sources else AS_CODED
        self._num_frames = num_frames
        self._num_lines = min(num_frames, MAX_LINES)
        self._num_added = 0
        self._has_cut = False  # since the last line
        self._lines: dict[str, list[Picture]] = {}
        self._seconds: list[float] = []  # of each line
        self._cuts: list[int] = []  # first lines of shots

    def add(self, seconds: float, renditions: Mapping[str, Rendition], is_cut: bool) -> None:
        """Add the next frame in all its renditions; it becomes a line if one is due."""
        due = self._num_added * self._num_lines // self._num_frames
        self._num_added += 1
        self._has_cut |= is_cut
        if due < len(self._seconds):
            return
        if self._has_cut:
            self._cuts.append(len(self._seconds))
        self._has_cut = False
        self._seconds.append(seconds)
        for name, rendition in renditions.items():
            self._lines.setdefault(name, []).append(self._line(rendition.rgb))
            if name != GREY:
                a, b = self._line(rendition.ab).T
                chroma = np.stack(rgb_from_lab(np.full_like(a, _LIGHTNESS), a, b), axis=1)
                self._lines.setdefault(f"{name}, chroma", []).append(to_8_bits(chroma))

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Draw the slice into a PNG; return its path.

        Panels stand side by side: grey, the film, its chroma alone, and the truth's two. Time runs
        downwards; cuts are marked at the left edges. Needs matplotlib. Raises SettingsError without
        it or without frames, OutputError when the PNG cannot be written; an older file is replaced
        with `force` only.
        """
        target = Path(path)
        check_figure(target, self._sources, force)
        save_figure(self.draw(), target)
        return target

    def draw(self) -> "Figure":
        """Return the figure of `save`."""
        if not self._seconds:
            raise SettingsError("the time slice has no frames; pass it to measure() first")
        panels = {name: np.stack(lines) for name, lines in self._lines.items()}
        num, width = next(iter(panels.values())).shape[:2]
        repeats = max(1, ceil(_MIN_HEIGHT / num))  # of each line
        height = num * repeats
        total_width = max(_MIN_WIDTH, _LEFT + len(panels) * (width + _GAP))
        total_height = _TOP + height + _BOTTOM
        figure = new_figure(total_width, total_height)
        ticks = clock_ticks(self._seconds[0], self._seconds[-1], max(2, height // _SECONDS_HEIGHT))
        tick_lines = np.searchsorted(self._seconds, ticks)
        for number, (name, lines) in enumerate(panels.items()):
            left = _LEFT + number * (width + _GAP)
            # images of a figure are not resampled, those of axes may be shifted by a pixel
            figure.figimage(lines.repeat(repeats, axis=0), left, _BOTTOM, origin="upper")
            axes = figure.add_axes(
                (
                    left / total_width,
                    _BOTTOM / total_height,
                    width / total_width,
                    height / total_height,
                ),
                frameon=False,
            )
            axes.set_ylim(num, 0)
            axes.set_title(name, loc="left", fontsize=TEXT_SIZE)
            axes.set_xticks([])
            axes.set_yticks([] if number else tick_lines)
            if not number:
                axes.set_yticklabels([format_clock(tick) for tick in ticks], fontsize=TEXT_SIZE)
                axes.tick_params(axis="y", pad=_GAP - 2, length=3)
            for cut in self._cuts:
                axes.plot(
                    [-(_GAP - 3) / width, -3 / width],
                    [cut, cut],
                    color=CUT_COLOR,
                    linewidth=2.0,
                    transform=axes.get_yaxis_transform(),
                    clip_on=False,
                )
        for number, caption in enumerate(self._captions()):
            y = (_BOTTOM - 16 - 18 * number) / total_height
            figure.text(
                _LEFT / total_width, y, caption, fontsize=TEXT_SIZE, va="center", parse_math=False
            )
        return figure

    def _captions(self) -> tuple[str, str]:
        num = len(self._seconds)
        sampling = "each frame is a line"
        if num < self._num_added:
            sampling = f"{num} of {self._num_added} frames, evenly chosen, are a line each"
        name = self._sources[0].name if self._sources else "film"
        return (
            f"{name}: the row at {100 * self.row:.0f} % of the height",
            f"time downwards, {sampling}; cuts are marked at the left edges",
        )

    def _line(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the row of an upright picture (H, W, C), (W, C)."""
        upright = self._orientation.upright(values)
        return upright[round(self.row * (upright.shape[0] - 1))].copy()
