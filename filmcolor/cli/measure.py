"""The command line's figures of a finished film: measure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import table
from filmcolor.cli.options import film_argument, quiet_option, range_options, time_range_of
from filmcolor.cli.progress import progress_bar

# (heading, field of Figures, how its figures are written)
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


@click.command()
@film_argument
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILM",
    help="The same frames in their true colours.",
)
@range_options
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also draw the figures of each second.",
)
@click.option(
    "--strip",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also draw one row of pixels over time, which shows flicker.",
)
@click.option(
    "--row",
    type=float,
    default=0.5,
    show_default=True,
    metavar="X",
    help="Which row: from 0, the top, to 1, the bottom.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines; with the figures by second.")
@click.option("--force", is_flag=True, help="Overwrite the drawings.")
@quiet_option
def measure(film: Path, truth: Path | None, as_json: bool, quiet: bool, **choices: Any) -> None:
    """Measure how colourful FILM is, and how smooth_ab its colours are.

    Grey, which has the film's luma alone, stands beside it, for no figure means much alone;
    with --truth also the distance from the true colours, and their own figures.
    """
    time_range = time_range_of(choices)
    with progress_bar(quiet) as progress:
        from filmcolor.metrics.measure import PlotOptions
        from filmcolor.metrics.measure import measure as take

        result = take(
            film, truth, time_range=time_range, drawings=PlotOptions(**choices), progress=progress
        )
    for note in result.notes:
        click.echo(f"filmcolor: {note}", err=True)
    if as_json:
        click.echo(json.dumps(asdict(result), default=str, indent=2, ensure_ascii=False))
        return
    num_cuts = len(result.cuts)
    cuts = "no cut" if not num_cuts else "1 cut" if num_cuts == 1 else f"{num_cuts} cuts"
    click.echo(f"{result.film}: {result.num_frames} frames, {cuts}")
    rows = [{"name": name, **asdict(figures)} for name, figures in result.rows.items()]
    click.echo("\n".join(table(_COLUMNS, rows)))
