"""The `join` command: makes the film of its pieces."""

import json

import click

from filmcolor.cli.console import escape_controls, print_line
from filmcolor.cli.help import command
from filmcolor.cli.interrupts import signals_as_interrupt
from filmcolor.cli.options import EXIT_RETRY, json_option, quiet_option
from filmcolor.cli.piece import elsewhere_option
from filmcolor.errors import FilmcolorError


@command()
@click.argument("work", metavar="DIR")
@elsewhere_option
@json_option
@quiet_option
def join(work: str, film: str | None, as_json: bool, quiet: bool) -> None:
    """Join the pieces of the film that was planned in DIR.

    The film is compared with its source before it gets its name, and the pieces are removed then.
    Joining again leaves it as it is.

    Exit code 0: done. 75: pieces are missing, which are listed, or the disk or the storage failed:
    try again. 1: never; the film, the weights or a version are not those of the plan.
    """
    with signals_as_interrupt():
        from filmcolor.farm.work import is_temporary, join_film

        try:
            joined = join_film(work, film=film)
        except (FilmcolorError, MemoryError, RuntimeError) as error:
            if not is_temporary(error):
                raise
            message = str(error) if isinstance(error, FilmcolorError) else "out of memory"
            click.echo(escape_controls(f"filmcolor: {message}"), err=True)
            click.get_current_context().exit(EXIT_RETRY)
    if as_json:
        click.echo(json.dumps(joined))
        return
    report = joined["report"]
    for line in report["damage"]:
        click.echo(escape_controls(f"filmcolor: warning: {joined['output']}: {line}"), err=True)
    notes = "".join(f"; {note}" for note in report["notes"])
    print_line(f"{report['num_frames']} frames → {joined['output']}{notes}", quiet)
