"""The `preview` command: before and after of a film."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    OUTPUT,
    RANGE,
    Timecode,
    color_options,
    film_argument,
    force_option,
    guidance_options,
    make_color_options,
    output_option,
    pop_time_range,
    quiet_option,
    range_options,
    rate_options,
    source_options,
)
from filmcolor.cli.progress import progress_bar

if TYPE_CHECKING:
    from filmcolor.types.film import TimeRange


@command("preview")
@film_argument
@output_option
@option(
    "--sheet",
    type=int,
    metavar="N",
    section=OUTPUT,
    help="Write one PNG with N frames instead of a clip; with --at, the frames at these times.",
)
@force_option
@range_options
@option(
    "--at",
    "times",
    type=Timecode(),
    multiple=True,
    metavar="TIME",
    section=RANGE,
    help="The frames around this time. Repeatable.",
)
@color_options
@guidance_options
@source_options
@rate_options
@quiet_option
def preview_command(
    film: Path,
    output: Path | None,
    times: tuple[Fraction, ...],
    sheet: int | None,
    force: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Write a side-by-side clip of FILM, or a sheet of frames.

    Without a range the clip shows the first five seconds, and the sheet frames of the whole film.
    The frames are exactly those that run writes with the same options.
    """
    if len(times) > 1 and output is not None and sheet is None:
        raise click.UsageError("several --at make several clips: leave -o out")
    time_range = pop_time_range(params)
    if times and not time_range.is_whole:
        raise click.UsageError("choose --at or a range, not both")
    with progress_bar(quiet, film) as progress:
        from filmcolor.previews.clip import clip_around, preview
        from filmcolor.previews.contact_sheet import contact_sheet

        options = make_color_options(params)
        common: dict[str, Any] = {"options": options, "force": force, "progress": progress}
        if sheet is not None:
            path = contact_sheet(
                film, output, num_frames=sheet, time_range=time_range, at_seconds=times, **common
            )
            print_line(str(path), quiet)
            return
        ranges: list[TimeRange | None] = [clip_around(time) for time in times]
        if not times:
            ranges = [None if time_range.is_whole else time_range]
        for number, clip_range in enumerate(ranges, 1):
            label = "preview" if len(ranges) == 1 else f"preview-{number}"
            report = preview(film, output, time_range=clip_range, label=label, **common)
            print_line(str(report), quiet)
