"""Frame rates, and whether a file stores the times of its frames."""

from fractions import Fraction
from typing import Any

import av

_ASSUMED_RATE = Fraction(25)  # FFmpeg's too
_MAX_RATE = 1000  # frames per second; more is the tick rate of a clock, as in raw DV
_MAX_BARE_RATE = 240  # of elementary streams: some state the tick rate of any clock
# FFmpeg's demuxers of elementary streams: their times are made up from a rate, the first ones badly
_BARE_FORMATS = frozenset(
    {"apv", "avs2", "avs3", "cavsvideo", "dirac", "dnxhd", "evc", "h261", "h263", "h264", "hevc"}
    | {"ipu", "m4v", "mjpeg", "mpegvideo", "obu", "vc1", "vvc"}
)


def stores_times(format_name: str, frame: av.VideoFrame, codec: str) -> bool:
    """Return whether frames have times that are more than their number by a rate.

    Those of bare MPEG-2 are: they contain the repeated fields of telecined films.
    """
    is_made_up = format_name in _BARE_FORMATS and codec != "mpeg2video"
    return frame.pts is not None and not is_made_up


def read_frame_rate(stream: Any, format_name: str, codec: str) -> tuple[Fraction, tuple[str, ...]]:
    """Return the mean frame rate, in frames per second, and lines for people about it."""
    stated = Fraction(stream.codec_context.framerate or 0)
    if format_name in _BARE_FORMATS:
        return _bare_rate(stated, stream.guessed_rate)
    average = stream.average_rate
    if codec == "h264" and stated and average and stated * 11 < average * 10 <= stated * 21:
        average = stated  # the mean counts packets, and some are fields
    rates = (average, stream.guessed_rate, stream.base_rate)
    return next((Fraction(r) for r in rates if r and r <= _MAX_RATE), _ASSUMED_RATE), ()


def _bare_rate(stated: Fraction, guessed: Fraction | None) -> tuple[Fraction, tuple[str, ...]]:
    """Return the rate of an elementary stream.

    `stated`: by its header, 0 if it states none; for MPEG-4 Part 2 that may be its clock's, and
    FFmpeg's guess is from the times of its pictures.
    """
    if 1 <= stated <= _MAX_BARE_RATE:
        return stated, ()
    if guessed and guessed != _ASSUMED_RATE and 1 <= guessed <= _MAX_BARE_RATE:
        return Fraction(guessed), ()
    reason = f"its stream states {float(stated):g} frames/s, the rate of a clock"
    reason = reason if stated else "its stream states no frame rate"
    return _ASSUMED_RATE, (f"{reason}: shown at {_ASSUMED_RATE} frames/s; --rate chooses another",)
