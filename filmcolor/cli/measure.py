"""The `measure` command: colour metrics of a finished film."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_json, table
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    OUTPUT,
    film_argument,
    force_option,
    path_option,
    pop_time_range,
    quiet_option,
    range_options,
)
from filmcolor.cli.progress import progress_bar

# (heading, field of metrics.measure.ColorMetrics, format)
_COLUMNS = (
    ("", "name", "{}"),
    ("ab RMSE", "ab_rmse", "{:.2f}"),
    ("PSNR dB", "psnr", "{:.2f}"),
    ("chroma", "mean_chroma", "{:.1f}"),
    ("colourfulness", "colorfulness", "{:.1f}"),
    ("CDC", "cdc", "{:.5f}"),
    ("warp error", "warp_error", "{:.2f}"),
    ("over 24 frames", "long_warp_error", "{:.2f}"),
)


@command()
@film_argument
@path_option("--truth", metavar="FILM", help="The same frames in their true colours, to compare.")
@path_option("--plot", metavar="PNG", section=OUTPUT, help="Also plot the metrics of each second.")
@path_option(
    "--strip",
    metavar="PNG",
    section=OUTPUT,
    help="Also draw one row of pixels over time, which shows flicker.",
)
@option(
    "--row",
    type=float,
    default=0.5,
    show_default=True,
    metavar="X",
    section=OUTPUT,
    help="The row of --strip: from 0, the top, to 1, the bottom.",
)
@option(
    "--json",
    "as_json",
    is_flag=True,
    section=OUTPUT,
    help="Print JSON, with the metrics of each second.",
)
@force_option
@range_options
@quiet_option
def measure(
    film: Path,
    truth: Path | None,
    plot: Path | None,
    strip: Path | None,
    row: float,
    as_json: bool,
    force: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Measure how colourful and how steady the colours of FILM are.

    Each metric is also given for the grey film, as a baseline; with --truth, for the true colours
    too, along with the distance from them.
    """
    time_range = pop_time_range(params)
    with progress_bar(quiet, film) as progress:
        from filmcolor.errors import SettingsError
        from filmcolor.metrics.figure import check_figure
        from filmcolor.metrics.measure import measure as measure_film
        from filmcolor.metrics.plots import plot_measures
        from filmcolor.metrics.time_slice import TimeSlice

        time_slice = TimeSlice(row)
        if plot and strip and plot.resolve() == strip.resolve():
            raise SettingsError(f"{plot} cannot be plot and strip; name two files")
        for target in filter(None, (plot, strip)):
            check_figure(target, filter(None, (film, truth)), force)
        result = measure_film(
            film,
            truth,
            time_range=time_range,
            time_slice=time_slice if strip else None,
            progress=progress,
        )
        # both were checked before the film was read
        if plot:
            plot_measures(result, plot, force=True)
        if strip:
            time_slice.save(strip, force=True)
    for note in result.notes:
        click.echo(f"filmcolor: {note}", err=True)
    if as_json:
        print_json(asdict(result))
        return
    num_cuts = len(result.cuts)
    cuts = "no cut" if not num_cuts else "1 cut" if num_cuts == 1 else f"{num_cuts} cuts"
    click.echo(f"{result.film}: {result.num_frames} frames, {cuts}")
    rows = [{"name": name, **asdict(metrics)} for name, metrics in result.rows.items()]
    click.echo("\n".join(table(_COLUMNS, rows)))
