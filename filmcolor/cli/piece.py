"""The `piece` command: colours one piece of a planned film."""

from pathlib import Path

import click

from filmcolor.cli.console import escape_controls, print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.interrupts import signals_as_interrupt
from filmcolor.cli.options import EXIT_RETRY, quiet_option
from filmcolor.cli.progress import progress_bar
from filmcolor.errors import FilmcolorError

elsewhere_option = option(
    "--film", metavar="FILM", help="Where the film is on this machine, if not where it was planned."
)


@command()
@click.argument("work", metavar="DIR")
@click.argument("number", type=click.IntRange(min=0), metavar="N")
@elsewhere_option
@quiet_option
def piece(work: str, number: int, film: str | None, quiet: bool) -> None:
    """Colour piece N of the film that was planned in DIR.

    The command may be repeated, killed, and run on two machines at once: a piece appears whole or
    not at all, and one that is done is left as it is.

    Exit code 0: done. 75: try again, here later or on another machine; the disk was full, say, or
    the storage out of reach. 1: never; the film, the weights or a version are not those of the
    plan. 130: interrupted; try again.
    """
    with signals_as_interrupt():
        from filmcolor.farm.work import color_piece, is_temporary

        try:
            with progress_bar(quiet, Path(f"piece {number}")) as progress:
                is_new = color_piece(work, number, film=film, progress=progress)
        except (FilmcolorError, MemoryError, RuntimeError) as error:
            if not is_temporary(error):
                raise
            message = str(error) if isinstance(error, FilmcolorError) else "out of memory"
            remedy = "" if "again" in message else "; try again"
            click.echo(escape_controls(f"filmcolor: {message}{remedy}"), err=True)
            click.get_current_context().exit(EXIT_RETRY)
    print_line(f"piece {number} of {work} is done{'' if is_new else ' already'}", quiet)
