"""A film in pieces: where it is cut, and how finished pieces become one film again."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, count

import av

from filmcolor.decode import FrameIndex
from filmcolor.encode import FilmWriter
from filmcolor.errors import OutputError
from filmcolor.frames import ColorFrame, FilmInfo, Part
from filmcolor.journal import FinishedPiece, Journal, Piece
from filmcolor.pieces import PieceWriter, piece_packets
from filmcolor.plan import OutputPlan
from filmcolor.profiling import Profile

_SECONDS = 60  # of a piece: what is lost at most; shorter ones cost more keyframes


def cut_into_pieces(index: FrameIndex, part: Part, frame_rate: Fraction) -> tuple[Piece, ...]:
    """Return pieces of about a minute, each from one of the source's keyframes where there is one.

    Keyframes are where the picture changes: the encoder would set one there too.
    """
    length = max(1, round(_SECONDS * frame_rate))
    stop = len(index.pts) if part.stop is None else part.stop
    starts = [part.first]
    while (wanted := starts[-1] + length) + length // 2 < stop:
        place = bisect_left(index.keyframes, wanted)
        nearest = [*index.keyframes[place : place + 1], stop][0]
        starts.append(nearest if nearest < wanted + length // 2 else wanted)
    stops = [*starts[1:], part.stop]
    return tuple(Piece(*fields) for fields in zip(count(), starts, stops))


def write_pieces(
    journal: Journal,
    pieces: Sequence[Piece],
    frames: Iterable[ColorFrame],
    info: FilmInfo,
    plan: OutputPlan,
    profile: Profile | None = None,
) -> Iterator[ColorFrame]:
    """Write pieces which follow each other, of the frames of all of them; yield each frame.

    Each piece is finished, and outlives whatever comes, before the next one begins.
    """
    waiting = iter(frames)
    frame = next(waiting, None)
    for piece in pieces:
        written = journal.partial(f"{piece.number:06d}")
        with PieceWriter(info, plan, written, profile) as writer:
            while frame is not None and (piece.stop is None or frame.number < piece.stop):
                writer.write(frame)
                yield frame
                frame = next(waiting, None)
            journal.keep(piece, written, writer.finish())


def join(journal: Journal, pieces: Sequence[Piece], writer: FilmWriter) -> list[int]:
    """Copy the packets of finished pieces to the film; return the times of its frames.

    Packets are decoded in the order of the frames' times, `delay` frames before one is shown:
    as one run of the encoder would have them.
    """
    done = journal.finished()
    gone = [f"{piece.number:06d}" for piece in pieces if piece.number not in done]
    if gone:
        raise OutputError(
            f"pieces of {journal.folder} are gone ({', '.join(gone)}); run again to have them made"
        )
    pts = [time for piece in pieces for time in done[piece.number].pts]
    end = max(done[piece.number].end_pts for piece in pieces if done[piece.number].pts)
    delay = max(done[piece.number].delay for piece in pieces)
    ends = dict(zip(pts, [*pts[1:], max(end, pts[-1])]))
    decoded = _early(pts, delay)
    for piece in pieces:
        facts = done[piece.number]
        for packet, time in _packets(journal, piece, facts, writer.info.time_base):
            writer.add(packet, time, next(decoded), ends[time])
    return pts


def _early(pts: Sequence[int], delay: int) -> Iterator[int]:
    """Yield when each packet is decoded: `delay` frames before as many are shown."""
    lag = pts[min(delay, len(pts) - 1)] - pts[0]
    return chain((time - lag for time in pts[:delay]), pts)


def _packets(
    journal: Journal, piece: Piece, facts: FinishedPiece, time_base: Fraction
) -> Iterator[tuple[av.Packet, int]]:
    if not facts.pts:
        return
    path = journal.media(piece, facts.format)
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
