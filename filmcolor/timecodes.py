"""Parses and formats times of a film, counted from its first frame, and frame rates."""

import math
from fractions import Fraction
from numbers import Integral, Real

from filmcolor.errors import SettingsError

Seconds = int | float | str | Fraction  # a str is a timecode: "00:01:10.5", "1:10.5" or "70.5"

ROUNDING = Fraction(1, 2000)  # seconds: the rounding error of a time written in milliseconds
_MIN_RATE, _MAX_RATE = Fraction(1, 10), 1000  # frames per second
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


def parse_rate(value: int | float | str | Fraction) -> Fraction:
    """Return frames per second, of a number or of "24000/1001"; raises SettingsError for others.

    23.976 and the like are the rates of NTSC that they stand for.
    """
    text = str(value)
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not _MIN_RATE <= rate <= _MAX_RATE:
        raise SettingsError(f"{text!r} is no frame rate; write 18, 16.5 or 24000/1001")
    return rate if "/" in text else exact_rate(float(rate))


def exact_rate(rate: float) -> Fraction:
    """Return the frame rate that a rounded number stands for: 24000/1001 for 23.976."""
    nearest = math.ceil(rate)
    if not rate.is_integer() and abs(nearest * 1000 / 1001 - rate) < 5e-3:
        return Fraction(nearest * 1000, 1001)
    return Fraction(rate).limit_denominator(1000)
