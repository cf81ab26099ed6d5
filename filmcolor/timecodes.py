"""Parses and formats times of a film, counted from its first frame."""

from fractions import Fraction
from numbers import Integral, Real

from filmcolor.errors import SettingsError

Seconds = int | float | str | Fraction  # a str is a timecode: "00:01:10.5", "1:10.5" or "70.5"

ROUNDING = Fraction(1, 2000)  # seconds: the rounding error of a time written in milliseconds
_MAX_DENOMINATOR = 1_000_000  # of seconds given as a float


def format_timecode(seconds: float) -> str:
    """Return seconds as HH:MM:SS.mmm."""
    total = round(seconds * 1000)
    return (
        f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:"
        f"{total // 1000 % 60:02}.{total % 1000:03}"
    )


def parse_timecode(text: str) -> Fraction:
    """Return the seconds of HH:MM:SS.mmm, MM:SS or seconds; raises SettingsError for others."""
    try:
        fields = [Fraction(field) for field in text.split(":")]
    except (ValueError, ZeroDivisionError):
        fields = []
    is_valid = 1 <= len(fields) <= 3 and all(f >= 0 for f in fields)
    if not is_valid or any(f >= 60 for f in fields[1:]):
        raise SettingsError(f"{text!r} is no time; write HH:MM:SS.mmm or seconds")
    seconds = Fraction(0)
    for field in fields:
        seconds = seconds * 60 + field
    return seconds


def exact_seconds(value: Seconds) -> Fraction:
    """Return seconds as a Fraction; a str is parsed as a timecode.

    A float becomes the closest fraction with a denominator up to a million: 0.1 is 1/10 and 7 / 24
    is 7/24, so the frame shown at exactly that time is meant. Raises SettingsError for other types,
    infinity and NaN.
    """
    if isinstance(value, str):
        return parse_timecode(value)
    if isinstance(value, Fraction):
        return value
    try:
        if isinstance(value, Integral):
            return Fraction(int(value))
        if isinstance(value, Real):
            return Fraction(float(value)).limit_denominator(_MAX_DENOMINATOR)
    except (ValueError, OverflowError):  # NaN, infinity
        pass
    raise SettingsError(f'{value!r} is no time; give seconds as a number, or "HH:MM:SS.mmm"')
