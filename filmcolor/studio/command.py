"""The command that colours a film in a terminal as it is coloured here."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from filmcolor.output.options import Encoding
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import WHOLE, TimeRange

_DEFAULTS = ColorOptions()
_DEFAULT_ENCODING = Encoding()
_MOST_DECIMALS = 12  # of seconds
# options of `filmcolor run` that are not called as their fields are
_NAMES = {"references": "reference", "purpose": "for", "start_seconds": "from", "end_seconds": "to"}
_COLOR_FIELDS = (
    *("hints", "references", "match_shots", "palette", "weights", "model", "anchors", "size"),
    *("saturation", "warmth", "skin_protect", "surfaces", "cast", "smooth"),
    *("device", "batch_size", "keep_tint", "recolor", "deinterlace"),
)
_SOURCE_FIELDS = "rate", "rate_audio", "field_order"
_ENCODING_FIELDS = (
    *("purpose", "codec", "crf", "preset", "pix_fmt"),
    *("drop_unsupported", "convert_audio", "captions"),
)


def run_arguments(
    film: Path,
    options: ColorOptions,
    *,
    output: Path | None = None,
    encoding: Encoding = _DEFAULT_ENCODING,
    time_range: TimeRange = WHOLE,
    force: bool = False,
) -> list[str]:
    """Return what follows `filmcolor run` in the command that colours a film with some options.

    Only what differs from the defaults is there. Seconds of the range must have a finite number of
    decimals.
    """
    return [
        str(film),
        *_options(options, _DEFAULTS, _COLOR_FIELDS),
        *_options(options.source, _DEFAULTS.source, _SOURCE_FIELDS),
        *_options(encoding, _DEFAULT_ENCODING, _ENCODING_FIELDS),
        *_range(time_range),
        *(() if output is None else ("-o", str(output))),
        *(("--force",) if force else ()),
    ]


def run_command(arguments: Sequence[str]) -> str:
    """Return the command with these arguments, as this system's shell takes it apart."""
    words = ["filmcolor", "run", *arguments]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _options(values: Any, defaults: Any, fields: Sequence[str]) -> Iterator[str]:
    for field in fields:
        value = getattr(values, field)
        if value == getattr(defaults, field):
            continue
        name = "--" + _NAMES.get(field, field).replace("_", "-")
        if value is True:
            yield name
        elif isinstance(value, tuple):
            for item in value:
                yield from (name, str(item))
        else:
            yield from (name, _text(value))


def _range(time_range: TimeRange) -> Iterator[str]:
    if time_range.first is not None or time_range.stop is not None:
        stop = "" if time_range.stop is None else time_range.stop
        yield from ("--frames", f"{time_range.first or 0}:{stop}")
        return
    for field in ("start_seconds", "end_seconds"):
        seconds = getattr(time_range, field)
        if seconds is not None:
            yield from (f"--{_NAMES[field]}", timecode(seconds))


def timecode(seconds: Fraction, least_decimals: int = 3) -> str:
    """Return seconds as HH:MM:SS with all their decimals.

    Raises ValueError for a fraction whose decimals have no end.
    """
    decimals, scaled = 0, seconds
    while scaled.denominator > 1 or decimals < least_decimals:
        decimals, scaled = decimals + 1, scaled * 10
        if decimals > _MOST_DECIMALS:
            raise ValueError(f"{seconds} s has no end")
    total = int(scaled)
    whole, part = divmod(total, 10**decimals)
    text = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{text}.{part:0{decimals}}" if decimals else text


def _text(value: Any) -> str:
    """Return a value as the command line reads it back, exactly."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
