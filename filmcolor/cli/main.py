"""The command line: its commands, its exit codes, and the one line that each error becomes.

Only `filmcolor.cli` imports click and tqdm. Its modules import the rest of filmcolor inside their
functions, so that --help waits for neither NumPy nor PyTorch.
"""

import atexit
import gc
import io
import os
import sys

import click

from filmcolor.cli.archive import archive
from filmcolor.cli.console import escape_controls
from filmcolor.cli.evaluate import evaluate
from filmcolor.cli.export_encoder import export_encoder
from filmcolor.cli.export_model import export_model
from filmcolor.cli.export_page import export_page
from filmcolor.cli.help import MissingCommandError, SectionGroup
from filmcolor.cli.join import join
from filmcolor.cli.measure import measure
from filmcolor.cli.options import EXIT_ERROR, EXIT_INTERRUPTED
from filmcolor.cli.photo import photo
from filmcolor.cli.piece import piece
from filmcolor.cli.plan import plan
from filmcolor.cli.preview import preview_command
from filmcolor.cli.probe import probe_command
from filmcolor.cli.probe_encoder import probe_encoder
from filmcolor.cli.run import run
from filmcolor.cli.shots import shots
from filmcolor.cli.stills import stills
from filmcolor.cli.studio import studio
from filmcolor.cli.train import train
from filmcolor.cli.verify import verify
from filmcolor.errors import FilmcolorError
from filmcolor.version import __version__

_SECTIONS = {
    "Colour a film": (run, archive, studio, photo, export_page),
    "On many machines": (plan, piece, join),
    "Look first": (preview_command, probe_command, shots),
    "Measure": (verify, measure),
    "Train": (stills, train, evaluate, export_model, export_encoder, probe_encoder),
}


def _print_version(ctx: click.Context, _: click.Parameter, is_given: bool) -> None:
    if not is_given:
        return
    from filmcolor.kernels.ops import is_compiled

    loops = "with" if is_compiled() else "without"
    click.echo(f"filmcolor, version {__version__}, {loops} compiled loops")
    ctx.exit()


@click.group(
    cls=SectionGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and whether the C kernels are in use.",
)
def cli() -> None:
    """Colour old black-and-white films without losing anything of them.

    Start with: filmcolor run film.mp4
    """


def main() -> None:
    """Run the command line and exit. A FilmcolorError becomes one line and exit code 1."""
    _open_standard_files()
    _collect_less_garbage()
    try:
        code = cli.main(prog_name="filmcolor", standalone_mode=False)
    except FilmcolorError as error:
        click.echo(escape_controls(f"filmcolor: {error}"), err=True)
        code = EXIT_ERROR
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(_format_usage_error(error), err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort) as interrupt:
        message = str(interrupt.__cause__ or interrupt) or "nothing was left behind"
        click.echo(f"filmcolor: interrupted; {message}", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_ERROR
    sys.exit(code if isinstance(code, int) else 0)


def _collect_less_garbage() -> None:
    """Garbage collection runs less often and is skipped at exit.

    PyTorch's import makes so many objects that it took 0.3 s of a short run's 2.1 s.
    """
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def _open_standard_files() -> None:
    """Open standard files that are closed, and make output accept names that are no text.

    If stderr is closed, the next file that is opened, a film for example, gets its number 2, and
    the encoder's messages with it. `surrogateescape` prints the bytes of any name; other encodings
    than UTF-8 lack some characters.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(errors="surrogateescape" if file.encoding == "utf-8" else "replace")


def _format_usage_error(error: click.ClickException) -> str:
    """Return wrong usage in one line with its remedy; without any command, the whole help."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        return message
    command = context.command_path if context else "filmcolor"
    line = f"{command}: {message.rstrip('.')}"
    if isinstance(error, click.NoSuchOption):
        for word in sys.argv[1:]:
            if word.startswith("-") and os.path.lexists(word):
                return f"{line}; for the file {word!r} write {f'./{word}'!r}"
    return line if isinstance(error, MissingCommandError) else f"{line}; see {command} --help"
