"""The command line's judging half: evaluate."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import table
from filmcolor.cli.options import quiet_option, range_options, time_range_of
from filmcolor.cli.progress import progress_bar

# (heading, field of Row, how its figures are written)
_COLUMNS = (
    ("weights", "name", "{}"),
    ("size", "size", "{}"),
    ("saturation", "saturation", "{:g}"),
    ("ab RMSE", "ab_rmse", "{:.2f}"),
    ("under grey", "percent_under_grey", "{:.1f} %"),
    ("chroma", "chroma_percent", "{:.0f} %"),
    ("colourfulness", "colorfulness", "{:.1f}"),
    ("PSNR dB", "psnr", "{:.2f}"),
    ("CDC", "cdc", "{:.5f}"),
    ("warp error", "warp_error", "{:.2f}"),
    ("over 24 frames", "long_warp_error", "{:.2f}"),
)
_NUM_NAMED = 5  # pictures that are named where some were left out


@click.command()
@click.argument("weights", nargs=-1, required=True, metavar="WEIGHTS...")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR|FILM",
    help="Colour pictures, or a film in colour, that the weights have not learned from.",
)
@click.option(
    "--size",
    "sizes",
    type=int,
    multiple=True,
    metavar="PIXELS",
    help="Short side that the network sees; repeatable.  [default: 256]",
)
@click.option(
    "--saturation",
    "saturations",
    type=float,
    multiple=True,
    metavar="X",
    help="1 is the network's own colour; repeatable.  [default: 1.1]",
)
@click.option(
    "--old-stock",
    "is_old_stock",
    is_flag=True,
    help="Show the network pictures as old film stock would have recorded them.",
)
@click.option(
    "--flip",
    "is_flip_averaged",
    is_flag=True,
    help="Average the colours of each picture with those of its mirror image.",
)
@range_options
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also write one picture of some, in grey, in each colour, and as they are.",
)
@click.option(
    "--sheet-pictures",
    type=int,
    default=8,
    show_default=True,
    metavar="N",
    help="How many pictures or frames it shows.",
)
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or mps.  [default: auto]")
@click.option("--batch-size", type=int, metavar="N", help="Frames to predict at a time.")
@click.option("--force", is_flag=True, help="Overwrite the sheet.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@quiet_option
def evaluate(
    weights: tuple[str, ...],
    data: Path,
    sheet: Path | None,
    sheet_pictures: int,
    force: bool,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Compare WEIGHTS with the true colours of pictures or of a film.

    Every combination of weights, size and saturation is one row, beside grey's and the
    truth's. Of a film, also how smooth_ab the colours are. WEIGHTS are shipped names or files.
    """
    time_range = time_range_of(choices)
    with progress_bar(quiet, unit="picture") as progress:
        from filmcolor.train.evaluation.evaluate import Trial
        from filmcolor.train.evaluation.evaluate import evaluate as compare
        from filmcolor.train.evaluation.sheet import SheetWish

        given = {name: choice for name, choice in choices.items() if choice not in (None, ())}
        trial = Trial(weights, **given)
        wish = None if sheet is None else SheetWish(sheet, sheet_pictures, force)
        result = compare(data, trial, time_range=time_range, sheet=wish, progress=progress)
    for names, reason in (
        (result.unreadable, "cannot be read"),
        (result.colorless, "have no colour"),
    ):
        if names:
            click.echo(f"filmcolor: left out, as they {reason}: {_listed(names)}", err=True)
    if as_json:
        click.echo(json.dumps(asdict(result), default=str, indent=2, ensure_ascii=False))
        return
    things = "frames" if result.is_film else "pictures"
    click.echo(f"{result.data}: {result.num_pictures} {things}")
    click.echo("\n".join(table(_COLUMNS, [asdict(row) for row in result.rows])))


def _listed(names: tuple[str, ...]) -> str:
    """Return how many there are, and the first of them by name."""
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return f"{len(names)} of the pictures ({', '.join(names[:_NUM_NAMED])}{more})"
