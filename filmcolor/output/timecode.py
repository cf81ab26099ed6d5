"""The timecode of an output: that of the first frame that it holds (SMPTE ST 12-1)."""

import re
from dataclasses import dataclass
from fractions import Fraction

from filmcolor.types.film import FilmInfo, Part

# hours, minutes, seconds, and frames after ":", or after another sign where numbers are dropped
_TIMECODE = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.,])(\d\d)")
_DROPPED_RATE = 30  # two numbers are dropped a minute for each 30 frames a second


@dataclass(frozen=True, slots=True)
class _Counting:
    """How frames are numbered: `rate` numbers a second, some of them dropped or none."""

    rate: int
    is_drop: bool

    @property
    def num_dropped(self) -> int:
        """Numbers that are left out at the beginning of a minute, except of every tenth."""
        return 2 * self.rate // _DROPPED_RATE if self.is_drop else 0

    def number(self, hours: int, minutes: int, seconds: int, frames: int) -> int:
        """Return the frames from midnight to a timecode."""
        minutes += 60 * hours
        num_minutes_dropped = minutes - minutes // 10
        return (
            (60 * minutes + seconds) * self.rate + frames - self.num_dropped * num_minutes_dropped
        )

    def fields(self, number: int) -> tuple[int, int, int, int]:
        """Return the hours, minutes, seconds and frames of a number of frames from midnight."""
        number %= self.number(24, 0, 0, 0)
        per_minute = 60 * self.rate - self.num_dropped
        per_ten_minutes = 10 * per_minute + self.num_dropped
        tens, rest = divmod(number, per_ten_minutes)
        # the first minute of ten is longer: nothing is dropped in it
        num_drops = max(0, rest - self.num_dropped) // per_minute
        number += self.num_dropped * (9 * tens + num_drops)
        seconds, frames = divmod(number, self.rate)
        minutes, seconds = divmod(seconds, 60)
        return *divmod(minutes, 60), seconds, frames


def shift_timecode(timecode: str, num_frames: int, frame_rate: Fraction) -> str | None:
    """Return a timecode some frames later, in its own form; None if it is none at this frame rate.

    After 24 hours it begins anew.
    """
    match = _TIMECODE.fullmatch(timecode)
    if match is None:
        return None
    hours, minutes, seconds, frames = (int(match[n]) for n in (1, 2, 3, 5))
    counting = _Counting(round(frame_rate), is_drop=match[4] != ":")
    is_dropped_number = not seconds and minutes % 10 and frames < counting.num_dropped
    is_possible_rate = not counting.is_drop or counting.rate % _DROPPED_RATE == 0
    if hours >= 24 or frames >= counting.rate or is_dropped_number or not is_possible_rate:
        return None
    number = counting.number(hours, minutes, seconds, frames) + num_frames
    hours, minutes, seconds, frames = counting.fields(number)
    return f"{hours:02}:{minutes:02}:{seconds:02}{match[4]}{frames:02}"


def output_timecode(info: FilmInfo, part: Part) -> str | None:
    """Return the timecode of a part's first frame; None if the film has none, or of unknown form.

    The whole film keeps its own, of any form.
    """
    if info.timecode is None or part.start is None:
        return info.timecode
    num_frames = round((part.start - info.start_seconds) * info.frame_rate)
    if not num_frames:
        return info.timecode
    return shift_timecode(info.timecode, num_frames, info.frame_rate)
