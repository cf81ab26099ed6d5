"""The `stills` command: selects training pictures from films."""

from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    OUTPUT,
    force_option,
    path_option,
    pop_time_range,
    quiet_option,
    range_options,
)
from filmcolor.cli.progress import progress_bar

_SELECTION = "Selection"


@command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILM|FOLDER..."
)
@path_option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    section=OUTPUT,
    help="Folder for the stills and their manifest.csv.",
)
@force_option
@option(
    "--per-shot",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    section=_SELECTION,
    help="At most N stills of a shot, and at most one per four seconds.",
)
@option(
    "--short-side",
    type=int,
    default=256,
    show_default=True,
    metavar="PIXELS",
    section=_SELECTION,
    help="Shrink larger pictures to this short side; 0 keeps their size.",
)
@option(
    "--limit",
    type=int,
    metavar="N",
    section=_SELECTION,
    help="At most N stills of a film, spread over its length.  [default: all]",
)
@range_options
@quiet_option
def stills(
    sources: tuple[Path, ...],
    output: Path,
    per_shot: int,
    short_side: int,
    limit: int | None,
    force: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Select training stills from films or photographs.

    Sources are colour films and folders of photographs. Of a film it keeps the sharpest frame of
    each shot, without black bars. Pictures that are blank, grey, tinted or similar to another one
    are skipped and counted. A range needs a single film.
    """
    time_range = pop_time_range(params)
    if not time_range.is_whole and len(sources) > 1:
        raise click.UsageError("a range is of one film, and several are named")
    with progress_bar(quiet, output) as progress:
        from filmcolor.train.stills.pick import PickOptions, pick_stills

        report = pick_stills(
            sources,
            output,
            options=PickOptions(per_shot, short_side, limit),
            time_range=time_range,
            force=force,
            progress=progress,
        )
    print_line(str(report), quiet)
