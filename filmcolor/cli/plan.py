"""The `plan` command: divides a film into pieces that any machines can colour."""

import json
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import escape_controls, print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.interrupts import signals_as_interrupt
from filmcolor.cli.options import (
    EXIT_RETRY,
    LONG_RUNS,
    OUTPUT,
    color_options,
    force_option,
    guidance_options,
    json_option,
    make_color_options,
    pop_encoding,
    pop_time_range,
    quiet_option,
    range_options,
    rate_options,
    source_options,
)
from filmcolor.cli.run import encoding_options, restart_option, strict_equal_option
from filmcolor.errors import StorageError


@command()
@click.argument("film", metavar="FILM")
@option("-o", "--output", metavar="OUT", section=OUTPUT, help="File that `join` will write.")
@option(
    "--work",
    required=True,
    metavar="DIR",
    section=LONG_RUNS,
    help="Folder for the plan and the pieces, which all machines can reach, or s3://BUCKET/NAME.",
)
@encoding_options
@force_option
@json_option
@range_options
@color_options
@guidance_options
@source_options
@rate_options
@restart_option
@strict_equal_option
@quiet_option
def plan(
    film: str,
    output: str | None,
    work: str,
    no_tag: bool,
    force: bool,
    restart: bool,
    strict_equal: bool,
    as_json: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Divide FILM into pieces that any machines can colour.

    The pieces are about a minute long. DIR/commands.txt has a `filmcolor piece` command for each,
    one a line, in any order, for a scheduler or for several terminals. `filmcolor join` makes
    the film of them. Planning again with the same settings keeps the pieces that are finished.

    Exit code 0: done. 75: the storage is out of reach; try again. 1: the film cannot be coloured
    with these settings.
    """
    time_range = pop_time_range(params)
    encoding = pop_encoding(params)
    with signals_as_interrupt():
        from filmcolor.farm.work import format_numbers, plan_film
        from filmcolor.farm.work_files import COMMANDS

        try:
            planned = plan_film(
                film,
                output,
                work=work,
                time_range=time_range,
                options=make_color_options(params),
                encoding=encoding,
                force=force,
                restart=restart,
                strict_equal=strict_equal,
                tag=not no_tag,
            )
        except StorageError as error:
            click.echo(escape_controls(f"filmcolor: {error}"), err=True)
            click.get_current_context().exit(EXIT_RETRY)
    if as_json:
        fields = ("output", "work", "num_pieces", "num_frames", "missing")
        click.echo(json.dumps({name: getattr(planned, name) for name in fields}))
        return
    num_done = planned.num_pieces - len(planned.missing)
    done = f" ({num_done} are done, left: {format_numbers(planned.missing)})" if num_done else ""
    commands = str(Path(work, COMMANDS)) if "://" not in work else f"{work}/{COMMANDS}"
    print_line(
        f"{planned.num_pieces} pieces, 0 to {planned.num_pieces - 1}{done}: their commands are in "
        f"{commands}; then: filmcolor join {work}",
        quiet,
    )
