"""The `evaluate` command: compares weights with true colours."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_json, summarize_names, table
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    OUTPUT,
    device_options,
    force_option,
    json_option,
    path_option,
    pop_time_range,
    quiet_option,
    range_options,
)
from filmcolor.cli.progress import progress_bar

_COMPARISON = "Comparison"
# (heading, field of train.evaluation.table.Row, format)
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


@command()
@click.argument("weights", nargs=-1, required=True, metavar="WEIGHTS...")
@path_option(
    "--data",
    required=True,
    metavar="DIR|FILM",
    section=_COMPARISON,
    help="Colour pictures or a colour film that the weights were not trained on.",
)
@option(
    "--size",
    "sizes",
    type=int,
    multiple=True,
    metavar="PIXELS",
    section=_COMPARISON,
    help="Short side of the picture that the network sees. Repeatable.  [default: 256]",
)
@option(
    "--saturation",
    "saturations",
    type=float,
    multiple=True,
    metavar="X",
    section=_COMPARISON,
    help="0 is grey, 1 is the network's own saturation. Repeatable.  [default: 1.15]",
)
@option(
    "--surfaces",
    type=float,
    metavar="X",
    section=_COMPARISON,
    help="How far the pixels of one surface agree on a colour, 0 to 1.  [default: 1.0]",
)
@option(
    "--cast",
    type=click.Choice(["keep", "reduce"]),
    section=_COMPARISON,
    help="Keep the warm tint that lies over whole pictures, or reduce it.  [default: keep]",
)
@option(
    "--anchors",
    metavar="auto|shot|SECONDS",
    section=_COMPARISON,
    help="How often an ONNX model runs in a film.  [default: auto]",
)
@option(
    "--old-stock",
    "is_old_stock",
    is_flag=True,
    section=_COMPARISON,
    help="Let the network see the pictures as old film stock would have recorded them.",
)
@option(
    "--flip",
    "is_flip_averaged",
    is_flag=True,
    section=_COMPARISON,
    help="Average the colours of each picture and of its mirror image.",
)
@path_option(
    "--sheet",
    metavar="PNG",
    section=OUTPUT,
    help="Also write one picture that shows some pictures in grey, in each colour, and as they "
    "are.",
)
@option(
    "--sheet-pictures",
    type=int,
    default=8,
    show_default=True,
    metavar="N",
    section=OUTPUT,
    help="Number of pictures or frames on the sheet.",
)
@force_option
@json_option
@range_options
@device_options
@quiet_option
def evaluate(
    weights: tuple[str, ...],
    data: Path,
    sheet: Path | None,
    sheet_pictures: int,
    force: bool,
    as_json: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Compare WEIGHTS with the true colours of pictures or of a film.

    WEIGHTS are shipped names or files, or colorizers of others as ONNX files. Each combination of
    weights, size and saturation is a row, beside rows for grey and for the true colours. For a
    film, the steadiness of the colours is measured too.
    """
    time_range = pop_time_range(params)
    with progress_bar(quiet, data, unit="picture") as progress:
        from filmcolor.train.evaluation.evaluate import evaluate as evaluate_weights
        from filmcolor.train.evaluation.options import EvaluationOptions
        from filmcolor.train.evaluation.sheet import SheetOptions

        given = {name: value for name, value in params.items() if value not in (None, ())}
        result = evaluate_weights(
            data,
            EvaluationOptions(weights, **given),
            time_range=time_range,
            sheet=None if sheet is None else SheetOptions(sheet, sheet_pictures, force),
            progress=progress,
        )
    for names, reason in (
        (result.unreadable, "cannot be read"),
        (result.colorless, "have no colour"),
    ):
        if names:
            click.echo(f"filmcolor: left out, as they {reason}: {summarize_names(names)}", err=True)
    if as_json:
        print_json(asdict(result))
        return
    noun = "frames" if result.is_film else "pictures"
    click.echo(f"{result.data}: {result.num_pictures} {noun}")
    click.echo("\n".join(table(_COLUMNS, [asdict(row) for row in result.rows])))
