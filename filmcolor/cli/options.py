"""What the command line's modules share: parameter types, options, the bar, output lines."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from filmcolor.errors import SettingsError
from filmcolor.timecodes import parse_timecode
from filmcolor.types.film import TimeRange

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
            return parse_timecode(str(value))
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
color_options = options(
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
guidance_options = options(
    click.option(
        "--reference",
        "references",
        multiple=True,
        metavar="DIR|PICTURE[@TIME]",
        help="FrameBuilder in colour of some frames, whose colours their shots get; repeatable.",
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


def color_options_of(choices: dict[str, Any]) -> Any:
    """Return the look that a command's look options ask for."""
    from filmcolor.pipeline.options import ColorOptions

    return ColorOptions(**{name: value for name, value in choices.items() if value is not None})


def time_range_of(choices: dict[str, Any]) -> TimeRange:
    """Take the range options out of a command's choices and return their span."""
    start, end, frames = (choices.pop(name) for name in ("start", "end", "frames"))
    if frames and (start is not None or end is not None):
        raise click.UsageError("choose --frames or --from/--to, not both")
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--to must be later than --from")
    return TimeRange(start, end, *(frames or (None, None)))
