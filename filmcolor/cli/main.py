"""The command line: the film commands, exit codes. Only the cli modules know click and tqdm."""

import atexit
import gc
import io
import os
import sys

import click

from filmcolor.cli.console import in_one_line
from filmcolor.cli.evaluate import evaluate
from filmcolor.cli.measure import measure
from filmcolor.cli.options import EXIT_ERROR, EXIT_INTERRUPTED
from filmcolor.cli.photo import photo
from filmcolor.cli.preview import preview_command
from filmcolor.cli.probe import probe_command
from filmcolor.cli.run import run
from filmcolor.cli.shots import shots
from filmcolor.cli.stills import stills
from filmcolor.cli.train import train
from filmcolor.cli.verify import verify
from filmcolor.errors import FilmcolorError
from filmcolor.kernels.ops import is_compiled
from filmcolor.version import __version__

_VERSION = f"%(prog)s, version %(version)s, {'with' if is_compiled() else 'without'} compiled loops"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="filmcolor", message=_VERSION)
def cli() -> None:
    """Colour old black-and-white films, and lose nothing of them."""


for command in (
    *(run, preview_command, photo, probe_command, shots, verify),
    *(stills, train, evaluate, measure),
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every FilmcolorError becomes one line and exit code 1."""
    _open_standard_files()
    _collect_less()
    try:
        code = cli.main(prog_name="filmcolor", standalone_mode=False)
    except FilmcolorError as error:
        click.echo(in_one_line(f"filmcolor: {error}"), err=True)
        code = EXIT_ERROR
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(_usage_line(error), err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        told = str(stop.__cause__ or stop) or "nothing was left behind"
        click.echo(f"filmcolor: interrupted; {told}", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_ERROR
    sys.exit(code if isinstance(code, int) else 0)


def _collect_less() -> None:
    """ColorOptions for rubbish less often, and not at the end: PyTorch makes a quarter second of it."""
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def _open_standard_files() -> None:
    """Open those that were close_quietly, or the next file gets their number, and what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123
    for file in (sys.stdout, sys.stderr):  # names need not be text, terminals know few signs
        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(errors="surrogateescape" if file.encoding == "utf-8" else "replace")


def _usage_line(error: click.ClickException) -> str:
    """Return wrong usage in one line with its remedy; no command at all gets the whole help."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        return message
    command = context.command_path if context else "filmcolor"
    return f"{command}: {message.rstrip('.')}; see {command} --help"
