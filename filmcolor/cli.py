"""The command line: the film commands, exit codes. Only the cli modules know click and tqdm."""

import atexit
import gc
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from filmcolor import __version__
from filmcolor.cli_evaluate import evaluate
from filmcolor.cli_measure import measure
from filmcolor.cli_options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    Timecode,
    direction_options,
    film_argument,
    force_option,
    in_one_line,
    look_of,
    look_options,
    output_option,
    progress_bar,
    quiet_option,
    range_options,
    say,
    source_options,
    span_of,
)
from filmcolor.cli_run import run
from filmcolor.cli_shots import shots
from filmcolor.cli_stills import stills
from filmcolor.cli_training import train
from filmcolor.cli_verify import verify
from filmcolor.errors import FilmcolorError
from filmcolor.frames import FilmInfo, Span
from filmcolor.native import is_built

_VERSION = f"%(prog)s, version %(version)s, {'with' if is_built() else 'without'} compiled loops"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="filmcolor", message=_VERSION)
def cli() -> None:
    """Colour old black-and-white films, and lose nothing of them."""


@cli.command("preview")
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
@look_options
@direction_options
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
    span = span_of(choices)
    if moments and not span.is_whole:
        raise click.UsageError("choose --at or a range, not both")
    with progress_bar(quiet) as progress:
        import filmcolor.previews as previews

        look = look_of(choices)
        common: dict[str, Any] = {"look": look, "force": force, "progress": progress}
        if sheet is not None:
            path = previews.contact_sheet(
                film, output, num_frames=sheet, span=span, at_seconds=moments, **common
            )
            say(str(path), quiet)
            return
        asked: list[Span | None] = [None if span.is_whole else span]
        spans = [previews.moment(m) for m in moments] or asked
        for number, wanted in enumerate(spans, 1):
            label = "preview" if len(spans) == 1 else f"preview-{number}"
            report = previews.preview(film, output, span=wanted, label=label, **common)
            say(str(report), quiet)


@cli.command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE|DIR", help="A folder for many."
)
@look_options
@force_option
@quiet_option
def photo(
    pictures: tuple[Path, ...], output: Path | None, force: bool, quiet: bool, **choices: Any
) -> None:
    """Colour stills: JPEG, PNG, TIFF; 16-bit stays 16-bit. NAME.color.ext by default."""
    into_folder = output is not None and output.is_dir()
    if len(pictures) > 1 and output is not None and not into_folder:
        raise click.UsageError(f"{output} is no folder, and there are {len(pictures)} pictures")
    from filmcolor.photo import colorize_photo
    from filmcolor.pipeline import Colorizer, Look

    colorizer = Colorizer(look_of(choices) or Look())
    for picture in pictures:
        target = output
        if output is not None and into_folder:
            target = output / f"{picture.stem}.color{picture.suffix}"
        path = colorize_photo(picture, target, colorizer=colorizer, force=force)
        say(str(path), quiet)


@cli.command("probe")
@film_argument
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def probe_command(film: Path, as_json: bool) -> None:
    """Print what is known of FILM, and what run would do with each stream."""
    from filmcolor.decode import FrameIndex
    from filmcolor.probing import probe

    info = probe(film)
    index = FrameIndex(info)
    target, notes, fates = _foretold(info)
    facts = {
        "num_frames": len(index.pts),
        "is_vfr": index.is_vfr,
        "output": target,
        "notes": notes,
        "fates": fates,
    }
    if as_json:
        click.echo(json.dumps({**asdict(info), **facts}, default=str, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_described(info, facts)))


def _foretold(info: FilmInfo) -> tuple[str, list[str], dict[int, str]]:
    """Return what a run would write, "" for nothing, with its notes and each stream's fate."""
    from filmcolor.plan import Encoding, plan_output

    lost, problem = "cannot be kept", ""
    fates = {stream.index: lost for stream in info.streams}
    try:
        plan = plan_output(info, None, Encoding())
        lost = "left out"
    except FilmcolorError as error:
        problem = str(error)
        try:
            plan = plan_output(info, None, Encoding(drop_unsupported=True))
        except FilmcolorError:
            return "", [problem], fates
    kept = {s.index: "copied" for s in plan.fates.copied}
    kept |= {index: f"converted to {codec}" for index, codec in plan.fates.conversions.items()}
    kept |= {s.index: "kept as a tag" for s in info.streams if s.is_timecode}
    kept[info.video_index] = "coloured"
    fates = {s.index: kept.get(s.index, lost) for s in info.streams}
    return ("", [problem], fates) if problem else (str(plan.path), list(plan.notes), fates)


cli.add_command(run)
cli.add_command(verify)
cli.add_command(shots)
cli.add_command(stills)
cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(measure)


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
    """Look for rubbish less often, and not at the end: PyTorch makes a quarter second of it."""
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def _open_standard_files() -> None:
    """Open those that were closed, or the next file gets their number, and what is printed."""
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


def _described(info: FilmInfo, facts: dict[str, Any]) -> Iterator[str]:
    from filmcolor.fields import is_bottom_first

    coding = info.coding
    rate = "variable frame rate, mean" if facts["is_vfr"] else "constant frame rate"
    seconds = float(info.duration_seconds or 0)
    tagged = "" if info.is_matrix_tagged else ", not tagged"
    yield f"{info.path}: {info.container}, {seconds:.3f} s"
    yield (
        f"  picture   {info.codec}, {info.width}×{info.height}, pixels {info.sar}, "
        f"{info.pix_fmt}, {coding.bit_depth} bits"
    )
    yield (
        f"  colour    {'full' if coding.is_full_range else 'limited'} range, "
        f"matrix {coding.matrix}{tagged} (H.273)"
    )
    yield f"  time      {facts['num_frames']} frames, {rate} {float(info.frame_rate):.3f}/s"
    first = "bottom" if is_bottom_first(info.field_order) else "top"
    scan = f"interlaced, {first} field first" if info.is_interlaced else "progressive"
    yield f"  scan      {scan}"
    if info.rotation:
        yield f"  rotation  {info.rotation}°"
    for chapter in info.chapters:
        yield f"  chapter   {float(chapter.start):.3f} s  {chapter.metadata.get('title', '')}"
    for stream in info.streams:
        yield f"  {stream.name} {stream.detail}: {facts['fates'][stream.index]}"
    if facts["output"]:
        yield f"  run writes {facts['output']}"
    for note in facts["notes"]:
        yield f"  note: {note}"
