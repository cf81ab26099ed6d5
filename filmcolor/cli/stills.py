"""The command line's way from films to stills: stills."""

from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import force_option, quiet_option, range_options, time_range_of
from filmcolor.cli.progress import progress_bar


@click.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILM|FOLDER..."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The stills and their manifest.csv go here.",
)
@click.option(
    "--per-shot",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="At most N of a shot, one for every four seconds.",
)
@click.option(
    "--short-side",
    type=int,
    default=256,
    show_default=True,
    metavar="PIXELS",
    help="Larger pictures are made so small; 0 keeps their size.",
)
@click.option(
    "--limit", type=int, metavar="N", help="At most N of a film, spread over it.  [default: all]"
)
@range_options
@force_option
@quiet_option
def stills(
    sources: tuple[Path, ...],
    output: Path,
    per_shot: int,
    short_side: int,
    limit: int | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Pick stills for training out of colour films, or out of folders of photographs.

    The sharpest frame of each shot is kept, without black bars; what is blank, grey, tinted
    or like another still is left out, and counted. A range is of one film.
    """
    time_range = time_range_of(choices)
    if not time_range.is_whole and len(sources) > 1:
        raise click.UsageError("a range is of one film, and several are named")
    with progress_bar(quiet) as progress:
        from filmcolor.train.stills.pick import Picking, pick_stills

        report = pick_stills(
            sources,
            output,
            picking=Picking(per_shot, short_side, limit),
            time_range=time_range,
            force=force,
            progress=progress,
        )
    say(str(report), quiet)
