"""Overrules what a film's headers say: its frame rate and its field order."""

from dataclasses import dataclass, replace
from fractions import Fraction

from filmcolor.errors import SettingsError
from filmcolor.timecodes import parse_rate
from filmcolor.types.film import (
    BOTTOM_FIRST,
    PROGRESSIVE,
    TOP_FIRST,
    UNKNOWN_ORDER,
    Chapter,
    FilmInfo,
    StreamInfo,
)
from filmcolor.video.interlacing import is_interlaced_order

KEEP, DROP = "keep", "drop"  # values of `rate_audio`
FIELD_ORDERS = {"tff": TOP_FIRST, "bff": BOTTOM_FIRST, "progressive": PROGRESSIVE}
_ORDER_NAMES = {
    UNKNOWN_ORDER: "not marked",
    PROGRESSIVE: "marked as progressive",
    TOP_FIRST: "marked as interlaced, top field first",
    BOTTOM_FIRST: "marked as interlaced, bottom field first",
}
_TIMED_TYPES = ("audio", "subtitle", "data", "video")
_MAX_DENOMINATOR = (1 << 31) - 1  # of FFmpeg's time bases


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is known better about a film than by its headers.

    `rate`: frames per second, None for the film's own; the clock of the picture changes, and no
    frame is added or left out. `rate_audio`: what becomes of sound, subtitles and other streams
    with times, which are no longer in step: "keep" leaves them at their own times, "drop" leaves
    them out, and "" refuses films that have any. `field_order`: "tff" (top field first), "bff"
    (bottom field first), "progressive", or "" for what the film is marked as.
    Raises SettingsError for other values.
    """

    rate: Fraction | int | float | str | None = None
    rate_audio: str = ""
    field_order: str = ""

    def __post_init__(self) -> None:
        if self.rate is not None:
            object.__setattr__(self, "rate", parse_rate(self.rate))
        if self.rate_audio not in ("", KEEP, DROP):
            raise SettingsError(f"rate_audio {self.rate_audio!r} must be {KEEP!r} or {DROP!r}")
        if self.rate_audio and self.rate is None:
            raise SettingsError("--rate-audio is of a film with another --rate; add that")
        if self.field_order not in ("", *FIELD_ORDERS):
            names = ", ".join(FIELD_ORDERS)
            raise SettingsError(f"field_order {self.field_order!r} must be one of {names}")

    def apply(self, info: FilmInfo) -> FilmInfo:
        """Return a film with what was chosen for it, told in its notes.

        Raises SettingsError for a rate that puts sound out of step, unless `rate_audio` is chosen.
        """
        return self._with_rate(self._with_field_order(info))

    def _with_field_order(self, info: FilmInfo) -> FilmInfo:
        if not self.field_order:
            return info
        order, notes = FIELD_ORDERS[self.field_order], info.notes
        if order != info.field_order:
            marked = _ORDER_NAMES[info.field_order]
            notes = (*notes, f"field order {self.field_order}, as chosen: the film is {marked}")
        return replace(
            info,
            field_order=order,
            is_interlaced=is_interlaced_order(order),
            is_order_chosen=True,
            notes=notes,
        )

    def _with_rate(self, info: FilmInfo) -> FilmInfo:
        if self.rate is None or self.rate == info.frame_rate:
            return info
        rate = Fraction(self.rate)
        slower = info.frame_rate / rate  # factor of all times of the picture
        timed = [s for s in info.streams if s.index != info.video_index and _is_timed(s)]
        names = ", ".join(stream.name for stream in timed)
        notes = [f"shown at {_number(rate)} frames/s, not {_number(info.frame_rate)}, as chosen"]
        if timed and not self.rate_audio:
            raise SettingsError(
                f"{info.path} at {_number(rate)} frames/s would no longer be in step with its "
                f"{names}; add --rate-audio drop to leave that out, or --rate-audio keep"
            )
        if timed:
            fate = "kept, no longer in step" if self.rate_audio == KEEP else "left out"
            notes.append(f"{names}: {fate}, as chosen")
        duration = info.duration_seconds
        return replace(
            info,
            time_base=(info.time_base * slower).limit_denominator(_MAX_DENOMINATOR),
            frame_rate=rate,
            duration_seconds=None if duration is None else duration * slower,
            origin=info.origin * slower,
            chapters=tuple(
                Chapter(c.start * slower, c.end * slower, c.metadata) for c in info.chapters
            ),
            streams=tuple(s for s in info.streams if self.rate_audio == KEEP or s not in timed),
            notes=(*info.notes, *notes),
        )


AS_MARKED = SourceOptions()  # the film's headers are right


def _is_timed(stream: StreamInfo) -> bool:
    return stream.type in _TIMED_TYPES and not (stream.is_picture or stream.is_timecode)


def _number(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
