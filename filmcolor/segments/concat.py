"""A film in segments: where it is cut, and how finished segments become one film again."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain

import av

from filmcolor.errors import OutputError
from filmcolor.output.writer import FilmWriter
from filmcolor.segments.journal import FinishedSegment, Journal, Segment
from filmcolor.segments.segment import piece_packets


def concatenate(journal: Journal, segments: Sequence[Segment], writer: FilmWriter) -> list[int]:
    """Copy the packets of finished segments to the film; return the times of its frames.

    Packets are decoded in the order of the frames' times, `delay` frames before one is shown:
    as one run of the encoder would have them.
    """
    done = journal.finished()
    gone = [f"{segment.number:06d}" for segment in segments if segment.number not in done]
    if gone:
        raise OutputError(
            f"segments of {journal.folder} are gone ({', '.join(gone)}); run again to have them made"
        )
    pts = [time for segment in segments for time in done[segment.number].pts]
    end = max(done[segment.number].end_pts for segment in segments if done[segment.number].pts)
    delay = max(done[segment.number].delay for segment in segments)
    ends = dict(zip(pts, [*pts[1:], max(end, pts[-1])]))
    decoded = _early(pts, delay)
    for segment in segments:
        facts = done[segment.number]
        for packet, time in _packets(journal, segment, facts, writer.info.time_base):
            writer.add(packet, time, next(decoded), ends[time])
    return pts


def _early(pts: Sequence[int], delay: int) -> Iterator[int]:
    """Yield when each packet is decoded: `delay` frames before as many are shown."""
    lag = pts[min(delay, len(pts) - 1)] - pts[0]
    return chain((time - lag for time in pts[:delay]), pts)


def _packets(
    journal: Journal, segment: Segment, facts: FinishedSegment, time_base: Fraction
) -> Iterator[tuple[av.Packet, int]]:
    if not facts.pts:
        return
    path = journal.media(segment, facts.format)
    wanted = set(facts.pts)
    for packet, since in piece_packets(path):
        time = facts.pts[0] + round(since / time_base)
        if time in wanted:
            wanted.remove(time)
            yield packet, time
    if wanted:
        raise OutputError(
            f"{path} holds {len(facts.pts) - len(wanted)} pictures of {len(facts.pts)}; "
            "delete that file, and run again to have it made anew"
        )
