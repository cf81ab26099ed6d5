"""Figures drawn with matplotlib, which is imported when the first figure is drawn.

Figures are matplotlib's objects on an Agg canvas, never pyplot's: the backend, the open figures and
the settings of the host program stay as they are.
"""

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from filmcolor.errors import SettingsError
from filmcolor.images.sheet import check_sheet, save_sheet
from filmcolor.metrics.comparison import FILM, GREY, TRUTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {GREY: "#8f8f8f", FILM: "#d1500b", TRUTH: "#1f5fc4"}  # of curves
CUT_COLOR = "#d640a0"
TEXT_SIZE = 9.5  # points
_DPI = 100
_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def check_figure(target: Path, sources: Iterable[Path], force: bool) -> None:
    """Raise SettingsError without matplotlib, OutputError where a figure cannot be written.

    `sources`: the films that it is drawn from, and must not replace.
    """
    if find_spec("matplotlib") is None:
        raise SettingsError(f"{target} needs matplotlib: pip install 'filmcolor[plots]'")
    for source in sources:
        check_sheet(target, source, force)


def new_figure(width: int, height: int) -> "Figure":
    """Return an empty figure of a size in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def render(figure: "Figure") -> Image.Image:
    """Return a figure as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of characters of file names that the font lacks
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save_figure(figure: "Figure", target: Path) -> None:
    """Write a figure as PNG; raises OutputError when that is impossible."""
    save_sheet(render(figure), target)


def format_clock(seconds: float) -> str:
    """Return seconds as M:SS or H:MM:SS, rounded down."""
    total = int(seconds)
    hours, minutes = total // 3600, total // 60 % 60
    return f"{hours}:{minutes:02}:{total % 60:02}" if hours else f"{minutes}:{total % 60:02}"


def clock_ticks(first: float, last: float, num: int) -> list[int]:
    """Return round times from first to last, at most about `num`, for the ticks of an axis."""
    step = next((s for s in _TICK_SECONDS if (last - first) / s <= num), _TICK_SECONDS[-1])
    start = -(-int(first) // step) * step
    return list(range(start, int(last) + 1, step))
