"""Plots the metrics of each second as curves, one panel per metric over the same time."""

from itertools import zip_longest
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING

from filmcolor.metrics.figure import (
    COLORS,
    CUT_COLOR,
    TEXT_SIZE,
    check_figure,
    clock_ticks,
    format_clock,
    new_figure,
    save_figure,
)
from filmcolor.metrics.measure import Measures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# field of ColorMetrics: title of its panel
_PANELS = {
    "colorfulness": "colourfulness",
    "mean_chroma": "mean chroma C* (Lab units)",
    "cdc": "CDC (nats, lower is steadier)",
    "warp_error": "warp error (Lab units, lower is steadier)",
    "long_warp_error": "warp error over 24 frames (Lab units, lower is steadier)",
    "ab_rmse": "ab RMSE (Lab units)",
    "psnr": "PSNR (dB)",
}
_WIDTH, _PANEL_HEIGHT, _MARGIN = 1100, 165, 90  # pixels
_MAX_TITLE = 85  # characters
_MAX_MARKERS = 90  # seconds of a curve that is bold, with a marker for each
_MAX_CUTS = 300  # as lines; more would hide the curves
_FAR_FROM_ZERO = 0.7  # lowest over highest value of a panel from which it does not start at zero
_NUM_TICKS = 10  # of the time axis


def plot_measures(measures: Measures, path: str | Path, *, force: bool = False) -> Path:
    """Plot the metrics of each second into a PNG; return its path.

    One panel per metric that has values, with a curve for grey, the film and the truth. Cuts are
    thin vertical lines. Needs matplotlib. Raises SettingsError without it, OutputError when the
    PNG cannot be written; an older file is replaced with `force` only.
    """
    target = Path(path)
    sources = [source for source in (measures.film, measures.truth) if source is not None]
    check_figure(target, sources, force)
    save_figure(draw_measures(measures), target)
    return target


def draw_measures(measures: Measures) -> "Figure":
    """Return the figure of `plot_measures`."""
    names = [name for name in COLORS if name in measures.rows]
    curves = {field: {name: _curve(measures, name, field) for name in names} for field in _PANELS}
    panels = {
        field: {name: curve for name, curve in of_field.items() if not all(map(isnan, curve))}
        for field, of_field in curves.items()
    }
    panels = {field: of_field for field, of_field in panels.items() if of_field}
    figure = new_figure(_WIDTH, _MARGIN + len(panels) * _PANEL_HEIGHT)
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.1)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    times = [second.start + 0.5 for second in measures.seconds]  # a second's middle
    cuts = measures.cuts if len(measures.cuts) <= _MAX_CUTS else ()
    for axes, (field, of_field) in zip(all_axes, panels.items(), strict=True):
        axes.set_title(_PANELS[field], loc="left", fontsize=TEXT_SIZE)
        _draw_panel(axes, times, of_field)
        axes.vlines(cuts, 0, 1, CUT_COLOR, linewidth=0.5, transform=axes.get_xaxis_transform())
    first, last = measures.seconds[0].start, measures.seconds[-1].start + 1
    ticks = clock_ticks(first, last, _NUM_TICKS)
    all_axes[-1].set_xlim(first, last)
    all_axes[-1].set_xticks(ticks, [format_clock(tick) for tick in ticks])
    all_axes[-1].set_xlabel("time from the film's first frame", fontsize=TEXT_SIZE)
    _add_heading(figure, measures, names, bool(cuts))
    return figure


def _curve(measures: Measures, name: str, field: str) -> list[float]:
    """Return a metric of each second; NaN where it has no value."""
    values = [getattr(second.rows[name], field) for second in measures.seconds]
    return [nan if value is None else value for value in values]


def _draw_panel(axes: "Axes", times: list[float], curves: dict[str, list[float]]) -> None:
    for name, curve in curves.items():
        axes.plot(
            times,
            curve,
            color=COLORS[name],
            linewidth=1.8 if len(curve) <= _MAX_MARKERS else 1.0,
            marker="o",
            markersize=4,
            markevery=_markers(curve),
            clip_on=False,
            zorder=3,
        )
    values = [v for curve in curves.values() for v in curve if not isnan(v)]
    ticks = _value_ticks(min(values), max(values))
    axes.set_yticks(ticks)
    axes.set_ylim(ticks[0], ticks[-1])
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.tick_params(labelsize=TEXT_SIZE, length=3)
    axes.grid(axis="y", color="#e1e1e1", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _value_ticks(low: float, high: float) -> list[float]:
    """Return round values that enclose a range; they start at zero unless the range is far away."""
    from matplotlib.ticker import MaxNLocator

    if 0.0 <= low <= _FAR_FROM_ZERO * high:
        low = 0.0
    locator = MaxNLocator(nbins=4, steps=[1, 2, 5, 10])
    return list(map(float, locator.tick_values(low, high if high > low else low + 1.0)))


def _markers(curve: list[float]) -> list[int]:
    """Return which points have markers: all of a short curve, of a long one the lone points."""
    if len(curve) <= _MAX_MARKERS:
        return list(range(len(curve)))
    neighbors = zip_longest([nan, *curve[:-1]], curve, curve[1:], fillvalue=nan)
    return [n for n, (a, b, c) in enumerate(neighbors) if isnan(a) and not isnan(b) and isnan(c)]


def _add_heading(figure: "Figure", measures: Measures, names: list[str], has_cuts: bool) -> None:
    """Add a title on the left and a legend on the right."""
    from matplotlib.lines import Line2D

    films = [path.name for path in (measures.film, measures.truth) if path is not None]
    title = " beside ".join(films)
    if len(title) > _MAX_TITLE:
        title = title[: _MAX_TITLE - 1] + "…"
    # "$" in a file name is no formula
    figure.suptitle(title, x=0.012, ha="left", fontsize=TEXT_SIZE + 1.5, parse_math=False)
    lines = {name: Line2D([], [], color=COLORS[name], linewidth=2.5) for name in names}
    if has_cuts:
        lines["cut"] = Line2D([], [], color=CUT_COLOR, linewidth=1.0)
    figure.legend(
        list(lines.values()),
        list(lines),
        loc="upper right",
        ncols=len(lines),
        frameon=False,
        fontsize=TEXT_SIZE,
        handlelength=1.6,
        borderaxespad=0.2,
    )
