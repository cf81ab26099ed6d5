"""Options that several commands share: parameter types, groups of options, and their values."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from filmcolor.cli.help import GENERAL, option
from filmcolor.errors import SettingsError
from filmcolor.timecodes import parse_timecode

if TYPE_CHECKING:
    from filmcolor.output.options import Encoding
    from filmcolor.pipeline.options import ColorOptions
    from filmcolor.types.film import TimeRange
    from filmcolor.video.source_options import SourceOptions

F = TypeVar("F", bound=Callable[..., Any])

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130  # click itself exits with 2 for wrong usage
EXIT_RETRY = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later or elsewhere

# sections of --help, see `cli.help`
OUTPUT, RANGE, COLORS = "Output", "Range", "Colours"
REFERENCES, FILM, LONG_RUNS = "References", "Film", "Long runs"


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
    """A:B, frame numbers from 0, half-open; either number may be missing."""

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


def combine(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in this order."""

    def add(command: F) -> F:
        """Add the options to a command."""
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


def path_option(*declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Return a decorator that adds an option with a path."""
    return option(*declarations, type=click.Path(path_type=Path), **attributes)


range_options = combine(
    option(
        "--from", "start", type=Timecode(), metavar="TIME", section=RANGE, help="Start at TIME."
    ),
    option("--to", "end", type=Timecode(), metavar="TIME", section=RANGE, help="Stop before TIME."),
    option(
        "--frames",
        type=FrameRange(),
        metavar="A:B",
        section=RANGE,
        help="Only frames A up to, not including, B; the first is 0.",
    ),
)
device_options = combine(
    option("--device", metavar="NAME", help="auto, cpu, cuda or mps.  [default: auto]"),
    option(
        "--batch-size", type=int, metavar="N", help="Frames that the network colours at a time."
    ),
)
color_options = combine(
    option(
        "--weights",
        metavar="NAME|PATH",
        section=COLORS,
        help="Shipped weights, a .safetensors file, or the tutorial's .pth file.",
    ),
    option(
        "--model",
        metavar="ONNX",
        section=COLORS,
        help="A colorizer of others, DDColor, DeOldify or Zhang's, as an ONNX file.",
    ),
    option(
        "--anchors",
        metavar="auto|shot|SECONDS",
        section=COLORS,
        help="How often the model runs: on frames of each shot, every SECONDS, or as its speed "
        "allows.  [default: auto]",
    ),
    option(
        "--size",
        type=int,
        metavar="PIXELS",
        section=COLORS,
        help="Short side of the picture that the network sees.  [default: 256]",
    ),
    option(
        "--saturation",
        type=float,
        metavar="X",
        section=COLORS,
        help="0 is grey, 1 is the network's own saturation.  [default: 1.15; with --model 1]",
    ),
    option(
        "--warmth",
        type=float,
        metavar="X",
        section=COLORS,
        help="From -1, a blue filter, to 1, an amber filter.  [default: 0.0]",
    ),
    option(
        "--skin-protect",
        type=float,
        metavar="X",
        section=COLORS,
        help="How much skin is exempt from these changes, 0 to 1.  [default: 0.0]",
    ),
    option(
        "--surfaces",
        type=float,
        metavar="X",
        section=COLORS,
        help="How far the pixels of one surface agree on a colour, 0 to 1.  [default: 1.0]",
    ),
    option(
        "--cast",
        type=click.Choice(["keep", "reduce"]),
        section=COLORS,
        help="Keep the warm tint that lies over whole pictures, or reduce it.  [default: keep]",
    ),
    option(
        "--smooth",
        type=click.Choice(["off", "light", "normal", "strong"]),
        section=COLORS,
        help="How strongly colours are smoothed over time.  [default: normal]",
    ),
    device_options,
)
shared_guidance_options = combine(  # those that make sense for many films
    option(
        "--match-shots",
        is_flag=True,
        section=REFERENCES,
        help="Give things one colour in all shots that show them; reads the film once more.",
    ),
    option(
        "--palette",
        metavar="TOML",
        section=REFERENCES,
        help="A file with saturation, warmth and skin protection for the film, or for single shots "
        "or times.",
    ),
)
guidance_options = combine(
    option(
        "--reference",
        "references",
        multiple=True,
        metavar="DIR|PICTURE[@TIME]|FILM",
        section=REFERENCES,
        help="Frames of the film in colour; their shots get these colours. Or the whole film, "
        "coloured by another program. Repeatable.",
    ),
    option(
        "--hints",
        multiple=True,
        metavar="DIR|PICTURE[@TIME]",
        section=REFERENCES,
        help="Colour strokes on a transparent picture, which fill the areas around them. "
        "Repeatable.",
    ),
    shared_guidance_options,
)
source_options = combine(
    option(
        "--keep-tint", is_flag=True, section=FILM, help="Leave tinted and toned shots as they are."
    ),
    option(
        "--recolor",
        is_flag=True,
        section=FILM,
        help="Also colour shots that are in colour already.",
    ),
    option(
        "--deinterlace",
        is_flag=True,
        section=FILM,
        help="Merge the two fields of each interlaced frame with bwdif.",
    ),
)


def _rate_options(section: str) -> Callable[[F], F]:
    """Return a decorator that adds the options about a film with wrong headers."""
    return combine(
        option(
            "--rate",
            metavar="R",
            section=section,
            help="Frames per second of the film, 16 or 24000/1001, where its header is wrong.",
        ),
        option(
            "--rate-audio",
            type=click.Choice(["keep", "drop"]),
            section=section,
            help="With --rate: keep sound and subtitles, no longer in step, or leave them out.",
        ),
        option(
            "--field-order",
            type=click.Choice(["tff", "bff", "progressive"]),
            section=section,
            help="The field that comes first, top or bottom, where the film is marked wrongly.",
        ),
    )


rate_options = _rate_options(FILM)
rate_options_unsectioned = _rate_options(GENERAL)  # for a command with few options
output_option = path_option("-o", "--output", metavar="OUT", section=OUTPUT, help="File to write.")
force_option = option(
    "--force", is_flag=True, section=OUTPUT, help="Overwrite files that exist already."
)
log_option = option(
    "--log",
    "log_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    section=LONG_RUNS,
    help="Append events to FILE, one line of JSON each.",
)
json_option = option("--json", "as_json", is_flag=True, section=OUTPUT, help="Print JSON.")
quiet_option = option("-q", "--quiet", is_flag=True, help="Print neither progress nor results.")
film_argument = click.argument("film", type=click.Path(path_type=Path), metavar="FILM")


def jobs_option(help_text: str) -> Callable[[F], F]:
    """Return a decorator that adds --jobs."""
    return option(
        "--jobs",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        metavar="N",
        section=LONG_RUNS,
        help=help_text,
    )


def skip_existing_option(help_text: str) -> Callable[[F], F]:
    """Return a decorator that adds --skip-existing."""
    return option("--skip-existing", is_flag=True, section=LONG_RUNS, help=help_text)


def make_color_options(params: dict[str, Any]) -> "ColorOptions":
    """Return the ColorOptions of a command's parameters; those that are None get their default."""
    from filmcolor.pipeline.options import ColorOptions

    if params.get("anchors") and not params.get("model"):
        raise click.UsageError("--anchors is of a model; name one with --model")
    source = pop_source_options(params) if "rate" in params else None
    if source is not None:
        params = {**params, "source": source}
    return ColorOptions(**{name: value for name, value in params.items() if value is not None})


def pop_source_options(params: dict[str, Any]) -> "SourceOptions":
    """Remove the rate options from a command's parameters, and return their values."""
    from filmcolor.video.source_options import SourceOptions

    rate, rate_audio, field_order = (
        params.pop(name) for name in ("rate", "rate_audio", "field_order")
    )
    return SourceOptions(rate, rate_audio or "", field_order or "")


def pop_time_range(params: dict[str, Any]) -> "TimeRange":
    """Remove the range options from a command's parameters, and return their range."""
    from filmcolor.types.film import TimeRange

    start, end, frames = (params.pop(name) for name in ("start", "end", "frames"))
    if frames and (start is not None or end is not None):
        raise click.UsageError("choose --frames or --from/--to, not both")
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--to must be later than --from")
    return TimeRange(start, end, *(frames or (None, None)))


def pop_encoding(params: dict[str, Any]) -> "Encoding":
    """Remove the options of the encoder and the container from a command's parameters."""
    from filmcolor.output.options import Encoding

    names = ("purpose", "codec", "crf", "preset", "pix_fmt")
    flags = ("drop_unsupported", "convert_audio", "captions")
    return Encoding(*(params.pop(name) for name in (*names, *flags)))
