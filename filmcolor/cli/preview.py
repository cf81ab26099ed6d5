"""The `preview` command."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import (
    Timecode,
    color_options,
    color_options_of,
    film_argument,
    force_option,
    guidance_options,
    output_option,
    quiet_option,
    range_options,
    source_options,
    time_range_of,
)
from filmcolor.cli.progress import progress_bar
from filmcolor.types.film import TimeRange


@click.command("preview")
@film_argument
@output_option
@range_options
@click.option(
    "--at",
    "moments",
    type=Timecode(),
    multiple=True,
    metavar="TIME",
    help="Around TIME; repeatable.",
)
@click.option(
    "--sheet",
    type=int,
    metavar="N",
    help="One PNG of N frames instead of a clip; with --at, of the frames at those times.",
)
@color_options
@guidance_options
@source_options
@force_option
@quiet_option
def preview_command(
    film: Path,
    output: Path | None,
    moments: tuple[Fraction, ...],
    sheet: int | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Show before and after of FILM: a side-by-side clip, or with --sheet one picture.

    Without a range: the first five seconds, or frames from the whole film. It shows the
    frames that run would give.
    """
    if len(moments) > 1 and output is not None and sheet is None:
        raise click.UsageError("several --at make several clips: leave -o out")
    time_range = time_range_of(choices)
    if moments and not time_range.is_whole:
        raise click.UsageError("choose --at or a range, not both")
    with progress_bar(quiet) as progress:
        from filmcolor.previews.clip import moment, preview
        from filmcolor.previews.contact_sheet import contact_sheet

        options = color_options_of(choices)
        common: dict[str, Any] = {"options": options, "force": force, "progress": progress}
        if sheet is not None:
            path = contact_sheet(
                film, output, num_frames=sheet, time_range=time_range, at_seconds=moments, **common
            )
            say(str(path), quiet)
            return
        asked: list[TimeRange | None] = [None if time_range.is_whole else time_range]
        spans = [moment(m) for m in moments] or asked
        for number, wanted in enumerate(spans, 1):
            label = "preview" if len(spans) == 1 else f"preview-{number}"
            report = preview(film, output, time_range=wanted, label=label, **common)
            say(str(report), quiet)
