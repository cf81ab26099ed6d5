"""Joins finished segments to one film by copying their packets.

That takes about as long as copying the file. Decoding times are computed from the display times and
the encoder's delay, as encoders do, so that they equal those of one run over the whole film.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain

import av

from filmcolor.errors import OutputError
from filmcolor.output.image_writer import ImageWriter
from filmcolor.output.writer import FilmWriter
from filmcolor.segments.journal import FinishedSegment, Journal, Segment
from filmcolor.segments.segment import read_segment


def concatenate(
    journal: Journal, segments: Sequence[Segment], writer: FilmWriter | ImageWriter
) -> list[int]:
    """Copy the packets of all segments to the film; return the times of its frames.

    Times are in FilmInfo.time_base units. Raises OutputError for a segment that is missing or
    incomplete.
    """
    finished = journal.finished()
    missing = [f"{segment.number:06d}" for segment in segments if segment.number not in finished]
    if missing:
        raise OutputError(
            f"segments of {journal.folder} are gone ({', '.join(missing)}); "
            "run again to have them made"
        )
    contents = [finished[segment.number] for segment in segments]
    pts = [time for content in contents for time in content.pts]
    end_pts = max(content.end_pts for content in contents if content.pts)
    delay = max(content.delay for content in contents)
    end_of = dict(zip(pts, [*pts[1:], max(end_pts, pts[-1])]))
    dts = _decoding_times(pts, delay)
    for segment, content in zip(segments, contents):
        for packet, time in _packets(journal, segment, content, writer.info.time_base):
            writer.write_packet(packet, time, next(dts), end_of[time])
    return pts


def _decoding_times(pts: Sequence[int], delay: int) -> Iterator[int]:
    """Yield the DTS of each packet: the first `delay` packets are decoded before any is shown."""
    lag = pts[min(delay, len(pts) - 1)] - pts[0]
    return chain((time - lag for time in pts[:delay]), pts)


def _packets(
    journal: Journal, segment: Segment, content: FinishedSegment, time_base: Fraction
) -> Iterator[tuple[av.Packet, int]]:
    """Yield a segment's packets in decoding order, each with its display time in the film."""
    if not content.pts:
        return
    path = journal.media_path(segment, content.format)
    missing = set(content.pts)
    for packet, seconds in read_segment(path):
        time = content.pts[0] + round(seconds / time_base)
        if time in missing:
            missing.remove(time)
            yield packet, time
    if missing:
        raise OutputError(
            f"{path} holds {len(content.pts) - len(missing)} pictures of {len(content.pts)}; "
            "delete that file, and run again to have it made anew"
        )
