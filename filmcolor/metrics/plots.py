"""Curves over a film's time, one panel a figure, drawn without a plotting library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import floor, log10
from typing import Any

from PIL import Image, ImageDraw, ImageFont

INK, PALE = (40, 40, 40), (225, 225, 225)
CUT = (214, 64, 160)  # the colour that marks cuts
COLORS = {"grey": (150, 150, 150), "film": (200, 80, 0), "truth": (20, 90, 200)}  # of rows

_FINE = 2  # drawn this much larger, then averaged: lines come out smooth
_WIDTH, _HEIGHT = 1000, 132  # of a panel's field, pixels
_LEFT, _RIGHT, _TOP, _BETWEEN, _BOTTOM = 64, 20, 54, 36, 46  # around the fields, pixels
_TEXT = 13  # pixels
_MOST_DOTS = 90  # seconds up to which each is a dot on its curve
_MOST_CUTS = 300  # as lines; more would hide the curves
_NICE_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel shows: the attribute of the rows' figures, its name and its unit."""

    field: str
    title: str
    unit: str


def plot(
    title: str,
    panels: Sequence[Panel],
    seconds: Mapping[int, Mapping[str, Any]],
    cuts: Sequence[float] = (),
) -> Image.Image:
    """Return a picture of curves, one panel below the other over the same time.

    `seconds`: figures by the second they begin at, then by row (a key of COLORS). Panels
    without a figure are left out. `cuts`, in seconds, are thin vertical lines.
    """
    drawn = [p for p in panels if any(_values(p, seconds, row) for row in COLORS)]
    height = _TOP + len(drawn) * (_HEIGHT + _BETWEEN) - _BETWEEN + _BOTTOM
    size = _LEFT + _WIDTH + _RIGHT, height
    picture = Image.new("RGB", (size[0] * _FINE, size[1] * _FINE), "white")
    pen = _Pen(ImageDraw.Draw(picture), min(seconds), max(seconds) + 1)
    pen.text((_LEFT, 6), title, limit=_WIDTH - 330)
    rows = [row for row in COLORS if any(row in figures for figures in seconds.values())]
    _draw_legend(pen, rows, 0 < len(cuts) <= _MOST_CUTS)
    for number, panel in enumerate(drawn):
        top = _TOP + number * (_HEIGHT + _BETWEEN)
        curves = {row: _values(panel, seconds, row) for row in rows}
        _draw_panel(pen, panel, top, curves, cuts if len(cuts) <= _MOST_CUTS else ())
    bottom = height - _BOTTOM
    for tick in nice_seconds(pen.first, pen.last, 10):
        pen.text((pen.x(tick), bottom + 6), clock(tick), anchor="ma")
    pen.text((_LEFT + _WIDTH / 2, bottom + 24), "time from the film's first frame", anchor="ma")
    return picture.resize(size, Image.Resampling.BOX)


def clock(seconds: float) -> str:
    """Return M:SS or H:MM:SS of seconds, rounded down."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def nice_seconds(first: float, last: float, num: int) -> list[int]:
    """Return round times from first to last, at most about `num`, for the ticks of an axis."""
    step = next((s for s in _NICE_SECONDS if (last - first) / s <= num), _NICE_SECONDS[-1])
    start = -(-int(first) // step) * step
    return list(range(start, int(last) + 1, step))


@lru_cache(maxsize=4)
def font(size: int) -> Any:
    """Return the font of all captions."""
    return ImageFont.load_default(size=size)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws in pixels of the finished picture."""

    draw: ImageDraw.ImageDraw
    first: float  # seconds, at the left of the fields
    last: float  # at their right

    def x(self, seconds: float) -> float:
        return _LEFT + _WIDTH * (seconds - self.first) / (self.last - self.first)

    def line(self, points: Sequence[tuple[float, float]], color: Any, width: float) -> None:
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        self.draw.line(fine, fill=color, width=max(1, round(width * _FINE)), joint="curve")

    def dot(self, x: float, y: float, color: Any, radius: float = 2.5) -> None:
        box = [(v + r) * _FINE for r in (-radius, radius) for v in (x, y)]
        self.draw.ellipse(box, fill=color)

    def text(
        self, place: tuple[float, float], text: str, *, anchor: str = "la", limit: float = 1e9
    ) -> None:
        while len(text) > 2 and font(_TEXT).getlength(text) > limit:
            text = text[:-2].rstrip("…") + "…"
        fine = place[0] * _FINE, place[1] * _FINE
        self.draw.text(fine, text, fill=INK, font=font(_TEXT * _FINE), anchor=anchor)


def _values(
    panel: Panel, seconds: Mapping[int, Mapping[str, Any]], row: str
) -> dict[int, float | None]:
    """Return a row's figure in each second; nothing at all where it has none."""
    found = {
        second: getattr(rows[row], panel.field) for second, rows in seconds.items() if row in rows
    }
    return found if any(v is not None for v in found.values()) else {}


def _draw_legend(pen: _Pen, rows: Sequence[str], has_cuts: bool) -> None:
    entries = [(row, COLORS[row]) for row in rows] + ([("cut", CUT)] if has_cuts else [])
    right = _LEFT + _WIDTH
    for name, color in reversed(entries):
        right -= round(font(_TEXT).getlength(name))
        pen.text((right, 6), name)
        pen.line([(right - 26, 14), (right - 6, 14)], color, 1 if name == "cut" else 2.5)
        right -= 44


def _draw_panel(
    pen: _Pen,
    panel: Panel,
    top: float,
    curves: Mapping[str, Mapping[int, float | None]],
    cuts: Sequence[float],
) -> None:
    unit = f"  ({panel.unit})" if panel.unit else ""
    pen.text((_LEFT, top - 19), panel.title + unit)
    values = [v for curve in curves.values() for v in curve.values() if v is not None]
    ticks, form = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def y(value: float) -> float:
        return top + _HEIGHT * (1.0 - (value - low) / (high - low))

    for tick in ticks:
        pen.line([(_LEFT, y(tick)), (_LEFT + _WIDTH, y(tick))], PALE, 1)
        pen.text((_LEFT - 6, y(tick)), form.format(tick), anchor="rm")
    for tick in nice_seconds(pen.first, pen.last, 10):
        pen.line([(pen.x(tick), top + _HEIGHT), (pen.x(tick), top + _HEIGHT + 4)], INK, 1)
    for cut in cuts:
        pen.line([(pen.x(cut), top), (pen.x(cut), top + _HEIGHT)], CUT, 0.5)
    pen.line([(_LEFT, top + _HEIGHT), (_LEFT + _WIDTH, top + _HEIGHT)], INK, 1)
    for row, curve in curves.items():
        # a second's figure stands in its middle
        places = [(pen.x(s + 0.5), None if v is None else y(v)) for s, v in sorted(curve.items())]
        for is_there, run in groupby(places, key=lambda place: place[1] is not None):
            points = [(x, h) for x, h in run if h is not None]
            if is_there and len(points) > 1:
                pen.line(points, COLORS[row], 1.8)
            if len(places) <= _MOST_DOTS or len(points) == 1:
                for point in points:
                    pen.dot(*point, COLORS[row])


def _ticks(least: float, most: float) -> tuple[list[float], str]:
    """Return three to six round values that hold a range, and how they are written.

    They begin at zero, but for ranges far from it.
    """
    if least < 0.7 * most:
        least = min(0.0, least)
    span = max(most - least, abs(most) * 0.05, 1e-6)
    rough = span / 4
    power = 10.0 ** floor(log10(rough))
    step = power * next(n for n in (1, 2, 5, 10) if n * power >= rough * 0.999)
    low, high = floor(least / step + 1e-9), -floor(-most / step + 1e-9)
    high = max(high, low + 1)
    decimals = max(0, -floor(log10(step) + 1e-9))
    return [n * step for n in range(low, high + 1)], f"{{:.{decimals}f}}"
