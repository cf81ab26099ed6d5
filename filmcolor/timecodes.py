"""Times of a film as people write them, from its first frame."""

from fractions import Fraction

from filmcolor.errors import SettingsError

ROUNDING = Fraction(1, 2000)  # seconds by which a time that was written may be off


def timecode(seconds: float) -> str:
    """Return HH:MM:SS.mmm of seconds."""
    total = round(seconds * 1000)
    return (
        f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:"
        f"{total // 1000 % 60:02}.{total % 1000:03}"
    )


def seconds_of(text: str) -> Fraction:
    """Return the seconds of HH:MM:SS.mmm, MM:SS or seconds; raises SettingsError for others."""
    try:
        fields = [Fraction(field) for field in text.split(":")]
    except (ValueError, ZeroDivisionError):
        fields = []
    is_good = 1 <= len(fields) <= 3 and all(f >= 0 for f in fields)
    if not is_good or any(f >= 60 for f in fields[1:]):
        raise SettingsError(f"{text!r} is no time; write HH:MM:SS.mmm or seconds")
    seconds = Fraction(0)
    for field in fields:
        seconds = seconds * 60 + field
    return seconds
