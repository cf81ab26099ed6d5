"""The command line: options, progress bars and exit codes. Nothing else knows click or tqdm."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from filmcolor import __version__
from filmcolor.errors import FilmcolorError
from filmcolor.frames import FilmInfo, Span

F = TypeVar("F", bound=Callable[..., Any])

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130  # click itself exits 2 for wrong usage


class Timecode(click.ParamType):
    """HH:MM:SS.mmm, MM:SS or seconds, from the film's first frame."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> Fraction:
        """Return seconds."""
        if isinstance(value, Fraction):
            return value
        try:
            fields = [Fraction(field) for field in str(value).split(":")]
        except (ValueError, ZeroDivisionError):
            fields = []
        is_good = 1 <= len(fields) <= 3 and all(f >= 0 for f in fields)
        if not is_good or any(f >= 60 for f in fields[1:]):
            self.fail(f"{value!r} is no time; write HH:MM:SS.mmm or seconds", param, ctx)
        seconds = Fraction(0)
        for field in fields:
            seconds = seconds * 60 + field
        return seconds


class FrameRange(click.ParamType):
    """A:B, frame numbers from 0, half-open; either side may be left out."""

    name = "range"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int | None]:
        """Return (first, stop)."""
        if isinstance(value, tuple):
            return value
        first, colon, stop = str(value).partition(":")
        try:
            numbers = int(first or 0), int(stop) if stop else None
        except ValueError:
            numbers = -1, None
        if not colon or numbers[0] < 0 or (numbers[1] is not None and numbers[1] <= numbers[0]):
            self.fail(f"{value!r} is no range of frames; write A:B with A below B", param, ctx)
        return numbers


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_range_options = _options(
    click.option("--from", "start", type=Timecode(), metavar="TIME", help="Begin at TIME."),
    click.option("--to", "end", type=Timecode(), metavar="TIME", help="End before TIME."),
    click.option(
        "--frames", type=FrameRange(), metavar="A:B", help="Only frames A up to, not including, B."
    ),
)
_look_options = _options(
    click.option(
        "--weights",
        metavar="NAME|PATH",
        help="Shipped weights, a .safetensors file, or a tutorial .pth.",
    ),
    click.option("--device", metavar="NAME", help="auto, cpu, cuda or mps.  [default: auto]"),
    click.option("--batch-size", type=int, metavar="N", help="Frames to predict at a time."),
    click.option(
        "--size",
        type=int,
        metavar="PIXELS",
        help="Short side that the network sees.  [default: 256]",
    ),
    click.option(
        "--saturation",
        type=float,
        metavar="X",
        help="1 is the network's own colour.  [default: 1.4]",
    ),
)
force_option = click.option("--force", is_flag=True, help="Overwrite the output.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no facts.")
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="The file to write."
)
film_argument = click.argument("film", type=click.Path(path_type=Path), metavar="FILM")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="filmcolor")
def cli() -> None:
    """Colour old black-and-white films, and lose nothing of them."""


@cli.command()
@film_argument
@output_option
@_range_options
@_look_options
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["share", "archive", "edit", "master"]),
    default="share",
    show_default=True,
    help="H.264 to share, 10-bit H.265 to archive, ProRes to edit, FFV1 as a master.",
)
@click.option("--codec", metavar="NAME", help="Encoder: libx264, libx265, libsvtav1, ffv1…")
@click.option("--crf", type=int, metavar="N", help="Constant quality, lower is better.")
@click.option("--preset", metavar="NAME", help="The encoder's speed preset.")
@click.option("--pix-fmt", metavar="NAME", help="yuv420p, yuv422p10le…")
@force_option
@quiet_option
def run(
    film: Path,
    output: Path | None,
    purpose: str,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    pix_fmt: str | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Colour FILM, with its sound and everything else it holds.

    The result stands beside the film as NAME.color.mp4 (or the film's own container),
    unless -o says otherwise. It is compared with the film before it gets its name.
    """
    span = _span(choices)
    with _progress(quiet) as progress:
        from filmcolor.pipeline import colorize
        from filmcolor.plan import Encoding

        report = colorize(
            film,
            output,
            span=span,
            look=_look(choices),
            encoding=Encoding(purpose, codec, crf, preset, pix_fmt),
            force=force,
            progress=progress,
        )
    _say(str(report), quiet)


@cli.command("preview")
@film_argument
@output_option
@_range_options
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
@_look_options
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
    span = _span(choices)
    if moments and not span.is_whole:
        raise click.UsageError("choose --at or a range, not both")
    with _progress(quiet) as progress:
        import filmcolor.previews as previews

        look = _look(choices)
        common: dict[str, Any] = {"look": look, "force": force, "progress": progress}
        if sheet is not None:
            path = previews.contact_sheet(
                film, output, num_frames=sheet, span=span, at_seconds=moments, **common
            )
            _say(str(path), quiet)
            return
        asked: list[Span | None] = [None if span.is_whole else span]
        spans = [previews.moment(m) for m in moments] or asked
        for number, wanted in enumerate(spans, 1):
            label = "preview" if len(spans) == 1 else f"preview-{number}"
            report = previews.preview(film, output, span=wanted, label=label, **common)
            _say(str(report), quiet)


@cli.command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE|DIR", help="A folder for many."
)
@_look_options
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

    colorizer = Colorizer(_look(choices) or Look())
    for picture in pictures:
        target = output
        if output is not None and into_folder:
            target = output / f"{picture.stem}.color{picture.suffix}"
        path = colorize_photo(picture, target, colorizer=colorizer, force=force)
        _say(str(path), quiet)


@cli.command("probe")
@film_argument
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def probe_command(film: Path, as_json: bool) -> None:
    """Print what is known of FILM, and what run would do with each stream."""
    from filmcolor.decode import FrameIndex
    from filmcolor.plan import Encoding, plan_output
    from filmcolor.probing import probe

    info = probe(film)
    index = FrameIndex(info)
    try:
        plan = plan_output(info, None, Encoding())
        fates = {s.index: "copied" for s in plan.copied}
        fates |= {s.index: "left out" for s in plan.left_out}
        target, notes = str(plan.path), list(plan.notes)
    except FilmcolorError as error:
        fates, target, notes = {}, "", [str(error)]
    fates[info.video_index] = "coloured"
    facts = {
        "num_frames": len(index.pts),
        "is_vfr": index.is_vfr,
        "output": target,
        "notes": notes,
        "fates": {s.index: fates.get(s.index, "cannot be kept") for s in info.streams},
    }
    if as_json:
        click.echo(json.dumps({**asdict(info), **facts}, default=str, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_described(info, facts)))


@cli.command()
@click.argument("stills", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Colour pictures that are held back to choose the best weights.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Weights, checkpoint and log go here.",
)
@click.option(
    "--init", type=click.Path(path_type=Path), metavar="WEIGHTS", help="Begin from these."
)
@click.option(
    "--num-pictures",
    type=int,
    default=100_000,
    show_default=True,
    metavar="N",
    help="How many to learn from, repeats counted.",
)
@click.option(
    "--batch-size",
    type=int,
    default=32,
    show_default=True,
    metavar="N",
    help="Pictures to learn from at a time.",
)
@click.option(
    "--size",
    type=int,
    default=160,
    show_default=True,
    metavar="PIXELS",
    help="Side of the squares that are cut out.",
)
@click.option(
    "--learning-rate",
    type=float,
    default=2e-3,
    show_default=True,
    metavar="X",
    help="The highest, at the end of warming up.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed, the same training.",
)
@quiet_option
def train(
    stills: Path, validation: Path, output: Path, init: Path | None, quiet: bool, **recipe: Any
) -> None:
    """Train the network on the colour pictures in DIR; stopped, the same command goes on.

    The best weights are kept as best.safetensors in the output folder.
    """
    with _progress(quiet, unit="step") as progress:
        from filmcolor.train.fit import Recipe, fit

        path = fit(stills, validation, output, Recipe(**recipe), init, progress)
    _say(str(path), quiet)


def main() -> None:
    """Run the command line; every FilmcolorError becomes one line and exit code 1."""
    try:
        code = cli.main(prog_name="filmcolor", standalone_mode=False)
    except FilmcolorError as error:
        click.echo(f"filmcolor: {error}", err=True)
        code = EXIT_ERROR
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(_usage_line(error), err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("filmcolor: interrupted; nothing was left behind", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_ERROR
    sys.exit(code if isinstance(code, int) else 0)


def _usage_line(error: click.ClickException) -> str:
    """Return wrong usage in one line with its remedy; no command at all gets the whole help."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        return message
    command = context.command_path if context else "filmcolor"
    return f"{command}: {message.rstrip('.')}; see {command} --help"


def _span(choices: dict[str, Any]) -> Span:
    start, end, frames = (choices.pop(name) for name in ("start", "end", "frames"))
    if frames and (start is not None or end is not None):
        raise click.UsageError("choose --frames or --from/--to, not both")
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--to must be later than --from")
    return Span(start, end, *(frames or (None, None)))


def _look(choices: dict[str, Any]) -> Any:
    from filmcolor.pipeline import Look

    return Look(**{name: value for name, value in choices.items() if value is not None})


@contextmanager
def _progress(quiet: bool, unit: str = "frame") -> Iterator[Callable[..., None] | None]:
    """Give a callback (done, total, ...) that draws a bar on stderr, None when quiet."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    with ExitStack() as stack:
        bars: list[tqdm[Any]] = []

        def advance(done: int, total: int | None, *_: Any) -> None:
            if not bars:  # not before there is progress: an error before it stays one line
                bars.append(stack.enter_context(tqdm(unit=unit, dynamic_ncols=True, leave=False)))
            bar = bars[0]
            bar.total = max(total, done) if total else None
            bar.update(done - bar.n)

        yield advance


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        click.echo(line)


def _described(info: FilmInfo, facts: dict[str, Any]) -> Iterator[str]:
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
    yield f"  scan      {'interlaced' if info.is_interlaced else 'progressive'}"
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
