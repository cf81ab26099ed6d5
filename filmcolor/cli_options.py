"""What the command line's modules share: parameter types, options, the bar, output lines."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from filmcolor.errors import OutputError, SettingsError
from filmcolor.frames import Span
from filmcolor.timecodes import seconds_of

F = TypeVar("F", bound=Callable[..., Any])

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130  # click itself exits 2 for wrong usage
_NONE = "–"  # where a table has no figure


class Timecode(click.ParamType):
    """HH:MM:SS.mmm, MM:SS or seconds, from the film's first frame."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> Fraction:
        """Return seconds."""
        if isinstance(value, Fraction):
            return value
        try:
            return seconds_of(str(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)


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


def options(*choices: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator for several options, which --help lists in this order."""

    def add(command: F) -> F:
        """Add the options to a command."""
        for option in reversed(choices):
            command = option(command)
        return command

    return add


range_options = options(
    click.option("--from", "start", type=Timecode(), metavar="TIME", help="Begin at TIME."),
    click.option("--to", "end", type=Timecode(), metavar="TIME", help="End before TIME."),
    click.option(
        "--frames", type=FrameRange(), metavar="A:B", help="Only frames A up to, not including, B."
    ),
)
look_options = options(
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
        help="1 is the network's own colour.  [default: 1.1]",
    ),
    click.option(
        "--warmth",
        type=float,
        metavar="X",
        help="-1 is as through a blue filter, 1 an amber one.  [default: 0.0]",
    ),
    click.option(
        "--skin-protect",
        type=float,
        metavar="X",
        help="How far skin keeps its colour in all that, 0 to 1.  [default: 0.0]",
    ),
    click.option(
        "--smooth",
        type=click.Choice(["off", "light", "normal", "strong"]),
        help="How far colours are steadied in time.  [default: normal]",
    ),
)
direction_options = options(
    click.option(
        "--reference",
        "references",
        multiple=True,
        metavar="DIR|PICTURE[@TIME]",
        help="Pictures in colour of some frames, whose colours their shots get; repeatable.",
    ),
    click.option(
        "--hints",
        multiple=True,
        metavar="DIR|PICTURE[@TIME]",
        help="Strokes of colour on transparency, which spread to edges; repeatable.",
    ),
    click.option(
        "--palette",
        metavar="TOML",
        help="A file of the three settings above for some shots or times.",
    ),
)
source_options = options(
    click.option("--keep-tint", is_flag=True, help="Leave tinted and toned shots as they are."),
    click.option("--recolor", is_flag=True, help="Colour shots too that are in colour already."),
    click.option(
        "--deinterlace",
        is_flag=True,
        help="Make one picture of each interlaced frame's two fields, with bwdif.",
    ),
)
force_option = click.option("--force", is_flag=True, help="Overwrite the output.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no facts.")
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="The file to write."
)
film_argument = click.argument("film", type=click.Path(path_type=Path), metavar="FILM")


def look_of(choices: dict[str, Any]) -> Any:
    """Return the look that a command's look options ask for."""
    from filmcolor.pipeline import Look

    return Look(**{name: value for name, value in choices.items() if value is not None})


def span_of(choices: dict[str, Any]) -> Span:
    """Take the range options out of a command's choices and return their span."""
    start, end, frames = (choices.pop(name) for name in ("start", "end", "frames"))
    if frames and (start is not None or end is not None):
        raise click.UsageError("choose --frames or --from/--to, not both")
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--to must be later than --from")
    return Span(start, end, *(frames or (None, None)))


@contextmanager
def progress_bar(quiet: bool, unit: str = "frame") -> Iterator[Callable[..., None] | None]:
    """Give a callback (done, total, ...) that draws a bar on stderr, None when quiet."""
    if quiet:
        yield None
        return
    with ExitStack() as stack:
        bars: list[Any] = []

        def advance(done: int, total: int | None, *_: Any) -> None:
            if not bars:  # not before there is progress: an error before it stays one line
                bars.append(stack.enter_context(_bar(unit, done)))
            _draw(bars[0], done, total)

        yield advance


def _bar(unit: str, done: int, **choices: Any) -> Any:
    from tqdm import tqdm

    return tqdm(unit=unit, initial=done - 1, dynamic_ncols=True, leave=False, **choices)


def _draw(bar: Any, done: int, total: int | None) -> None:
    bar.total = max(total, done) if total else None
    bar.update(done - bar.n)


def _shortened(name: str) -> str:
    """Return a name of at most 24 characters, its beginning and its end."""
    return name if len(name) <= 24 else f"{name[:13]}…{name[-10:]}"


class FilmBars:
    """A bar for each of the films that are coloured side by side, and lines above the bars."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: dict[Path, Any] = {}
        self._rows: dict[Path, int] = {}

    def __enter__(self) -> "FilmBars":
        return self

    def __exit__(self, *_: object) -> None:
        for film in list(self._bars):
            self.close(film)

    def advance(self, film: Path, done: int, total: int | None) -> None:
        """Draw a film's progress, on the first row that is free when it begins."""
        if self._quiet:
            return
        if film not in self._bars:
            self._rows[film] = next(n for n in count() if n not in self._rows.values())
            self._bars[film] = _bar(
                "frame", done, desc=_shortened(film.name), position=self._rows[film]
            )
        _draw(self._bars[film], done, total)

    def close(self, film: Path) -> None:
        """Take a film's bar away."""
        if film in self._bars:
            self._bars.pop(film).close()
            del self._rows[film]
            self._write("", sys.stderr, end="\r")  # a lower bar leaves the cursor at its end

    def say(self, line: str) -> None:
        """Print a line of results on stdout, unless quiet."""
        if not self._quiet:
            self._write(line, sys.stdout)

    def warn(self, line: str) -> None:
        """Print a line on stderr."""
        self._write(line, sys.stderr)

    def complain(self, film: Path, reason: str) -> None:
        """Print on stderr why a film failed, in a line that names it."""
        name = "" if str(film) in reason else f"{film}: "
        self.warn(f"filmcolor: {name}{reason}")

    def _write(self, line: str, file: TextIO, end: str = "\n") -> None:
        from tqdm import tqdm

        with _printed():
            tqdm.write(in_one_line(line), file=file, end=end)
            file.flush()


def say(line: str, quiet: bool) -> None:
    """Print a line of results on stdout, unless quiet."""
    if not quiet:
        with _printed():
            click.echo(in_one_line(line))


@contextmanager
def _printed() -> Iterator[None]:
    """Say in one line when what is printed goes to a disk that is full."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the results cannot be printed ({error.strerror}); the film is done, see its folder"
        ) from error


def in_one_line(message: str) -> str:
    """Return a message that names of films can neither break nor give orders to a terminal."""
    return "".join(
        c if c.isprintable() or "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in message
    )


def table(
    columns: Sequence[tuple[str, str, str]], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the lines of a table, its figures aligned to the right.

    `columns`: (heading, field of a row, how its figures are written). Those without a
    figure are left out.
    """
    cells: list[list[str]] = []
    for heading, field, form in columns:
        values = [row[field] for row in rows]
        if any(value is not None for value in values):
            column = [heading, *(_NONE if v is None else form.format(v) for v in values)]
            width = max(map(len, column))
            cells.append([c.rjust(width) if cells else c.ljust(width) for c in column])
    for line in zip(*cells, strict=True):
        yield "  ".join(line)
