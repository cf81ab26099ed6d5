"""Lists the shots of a film."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from filmcolor.shots.detector import CONTEXT_FRAMES, find_transitions
from filmcolor.types.film import WHOLE, FilmInfo, TimeRange
from filmcolor.types.frames import LumaFrame, ProxyFrame
from filmcolor.video.decoder import read_luma, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import DEFAULT_SIZE, add_proxies
from filmcolor.video.source_options import AS_MARKED, SourceOptions

START = "start"


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot: its frames and seconds, half-open; seconds count from the film's first frame.

    `transition` is how it begins: "start" (where reading began), "cut", "dissolve" or "fade". A
    dissolve is divided at its middle, a fade where a picture reappears.
    """

    number: int  # from 1
    first: int  # frames, from 0
    stop: int
    start_seconds: Fraction
    end_seconds: Fraction
    transition: str


def find_shots(
    film: str | Path,
    *,
    time_range: TimeRange = WHOLE,
    source: SourceOptions = AS_MARKED,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Shot]:
    """Return the shots of a film, or of a range of it, in one pass over its luma.

    They are the shots that a run uses. `source`: the film's frame rate, where its header is wrong.
    `progress(done, total)` is called after every frame.
    Raises a FilmcolorError when the film cannot be read.
    """
    info = source.apply(probe(film))
    return list(iter_shots(info, time_range, progress=progress))


class ShotObserver(Protocol):
    """Receives the frames of a film's shots while they are read."""

    def add(self, number: int, transition: str, position: int, frame: ProxyFrame, /) -> None:
        """Receive a frame, at a position (from 0) in the shot with a number and transition."""


def iter_shots(
    info: FilmInfo,
    time_range: TimeRange = WHOLE,
    observer: ShotObserver | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    index: FrameIndex | None = None,
) -> Iterator[Shot]:
    """Yield each shot of a film, or of a range of it, as soon as it has ended.

    `observer` receives every frame; a shot is yielded before it receives the next one's first.
    `index`: the film's, if it has been read.
    """
    part = resolve(info, time_range, index)
    total = info.num_frames_estimate if part.stop is None else part.stop - part.first
    lumas = read_luma(
        info,
        max(0, part.first - CONTEXT_FRAMES),
        None if part.stop is None else part.stop + CONTEXT_FRAMES,
        index,
    )
    number, transition, first, last = 0, START, None, None
    for proxy, next_transition in find_transitions(add_proxies(lumas, info, DEFAULT_SIZE)):
        frame = proxy.source
        if frame.number < part.first:
            continue
        if part.stop is not None and frame.number >= part.stop:
            break
        if first is None or last is None:
            number, first = 1, frame
        elif next_transition:
            yield _make_shot(info, number, transition, first, last, frame.pts)
            number, transition, first = number + 1, next_transition, frame
        last = frame
        if observer:
            observer.add(number, transition, frame.number - first.number, proxy)
        if progress:
            progress(frame.number - part.first + 1, total)
    if first is not None and last is not None:
        duration = last.duration or round(info.ticks_per_frame)
        yield _make_shot(info, number, transition, first, last, last.pts + duration)


def _make_shot(
    info: FilmInfo, number: int, transition: str, first: LumaFrame, last: LumaFrame, end_pts: int
) -> Shot:
    start, end = map(info.seconds, (first.pts, end_pts))
    return Shot(number, first.number, last.number + 1, start, end, transition)
