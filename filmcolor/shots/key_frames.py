"""Chooses key frames: sharp, typical of their shot, and not beside a transition.

A film is divided into *spans*: its shots, and of long shots the parts between multiples of a
period in the film's own frame numbers. A boundary near an end of its shot is left out. So a span
depends on the frames around it alone, and a part of a film has the spans of the whole.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from filmcolor.images.sharpness import laplacian_deviation_ratio
from filmcolor.shots.detector import CUT, DISSOLVE, FADE
from filmcolor.shots.listing import START, Shot, ShotObserver, iter_shots
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import DAMAGED, FloatPlane, ProxyFrame
from filmcolor.video.frame_index import FrameIndex

# by transition: frames at a shot's ends that also show the other shot, or a splice
_MARGINS = {START: 0, CUT: 4, DISSOLVE: 16, FADE: 16}
_MAX_CANDIDATES = 240  # of a shot
_MAX_DISTANCE = 1.5  # of a frame from its shot's mean, relative to the median distance
_GRAIN = 2.0  # 8-bit codes: a smaller distance from the mean is noise
_STEP = 3  # frames between the candidates of a span: judging all costs 2 % of a run
_UNLIKE = 20.0  # 8-bit codes, mean distance of thumbnails: another view
_MIN_UNLIKE = 0.25  # share of typical frames that needs another key frame
_MARGIN_SHARE = 3 / 8  # of a span's typical frames, at either end: too far from the other end
_THUMBNAIL_SIZE = (24, 18)  # (width, height) at which frames are compared with their shot's mean


def choose_key_frames(
    info: FilmInfo,
    time_range: TimeRange = WHOLE,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[tuple[Shot, int | None]]:
    """Return each shot with the number of its key frame, in one pass over the film's luma.

    The number is None where no frame is undamaged.
    """
    return list(iter_key_frames(info, time_range, progress))


def iter_key_frames(
    info: FilmInfo,
    time_range: TimeRange = WHOLE,
    progress: Callable[[int, int | None], None] | None = None,
    index: FrameIndex | None = None,
    observer: ShotObserver | None = None,
) -> Iterator[tuple[Shot, int | None]]:
    """Yield each shot with the number of its key frame, once the shot after it has ended.

    See `choose_key_frames`. `index`: the film's, if it has been read. `observer` receives every
    frame.
    """
    candidates = _Candidates(observer)
    previous: Shot | None = None
    for shot in iter_shots(info, time_range, candidates, progress, index):
        if previous is not None:
            yield previous, candidates.choose(previous, shot.transition)
        previous = shot
    if previous is not None:
        yield previous, candidates.choose(previous, CUT)


@dataclass(frozen=True, slots=True)
class SpanRule:
    """How a film is divided into spans, in frames.

    Boundaries are multiples of `period`, `shortest` frames or more from the ends of their shot.
    A span has one to `max_key_frames` key frames.
    """

    period: int
    shortest: int
    max_key_frames: int = 1

    @property
    def longest(self) -> int:
        """An upper bound of a span's length."""
        return self.period + 2 * self.shortest


@dataclass(frozen=True, slots=True)
class Span:
    """A shot or a part of one: frames `first` to `stop` (half-open), and its key frames.

    `is_cut`: its first frame is its shot's. There are no key frames where all are damaged.
    """

    first: int
    stop: int
    is_cut: bool
    key_frames: tuple[int, ...]


def find_spans(
    info: FilmInfo,
    part: Part,
    rule: SpanRule,
    index: FrameIndex | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Span]:
    """Return the spans of a part of a film, and those next to it, in order.

    They are the same whatever part is asked for. `index`: the film's, if it has been read.
    """
    reach = 2 * rule.longest  # a span on either side of the part, and where those are cut
    start = max(0, part.first - reach - rule.shortest)
    stop = None if part.stop is None else part.stop + reach + rule.shortest
    if stop is not None and index is not None and stop >= (index.num_frames or math.inf):
        stop = None
    time_range = WHOLE if (start, stop) == (0, None) else TimeRange(first=start, stop=stop)
    collector = _SpanCollector(rule, starts_film=start == 0)
    for _ in iter_shots(info, time_range, collector, progress, index):
        pass
    collector.finish(ends_film=stop is None or collector.num_frames < stop)
    return collector.spans


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    number: int
    sharpness: float
    thumbnail: FloatPlane  # (h, w), less its mean

    @classmethod
    def of(cls, frame: ProxyFrame) -> "_Candidate":
        guide = frame.guide.astype(np.float32)
        thumbnail = cv2.resize(guide, _THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA)
        thumbnail -= thumbnail.mean()
        return cls(frame.source.number, laplacian_deviation_ratio(frame.guide), thumbnail)


class _Candidates:
    """Collects the frames of each shot; of a long shot every second, or fourth, and so on."""

    def __init__(self, observer: ShotObserver | None) -> None:
        self._by_shot: dict[int, list[_Candidate]] = {}
        self._step = 1
        self._observer = observer

    def choose(self, shot: Shot, ending: str) -> int | None:
        """Return the key frame of a shot that has ended, and forget its candidates."""
        found = self._by_shot.pop(shot.number, [])
        typical = _typical(found, shot.first, shot.stop, (shot.transition, ending))
        return _sharpest(typical).number if typical else None

    def add(self, number: int, transition: str, position: int, frame: ProxyFrame) -> None:
        """Receive a frame at a position of a shot."""
        if self._observer:
            self._observer.add(number, transition, position, frame)
        if position == 0:
            self._step = 1
        if position % self._step or frame.source.fault == DAMAGED:
            return
        candidates = self._by_shot.setdefault(number, [])
        candidates.append(_Candidate.of(frame))
        if len(candidates) > _MAX_CANDIDATES:
            self._step *= 2
            del candidates[1::2]


class _SpanCollector:
    """Divides shots into spans while their frames are read."""

    def __init__(self, rule: SpanRule, *, starts_film: bool) -> None:
        self.spans: list[Span] = []
        self._rule = rule
        self._is_known = starts_film  # the beginning of the current span
        self._transition = START
        self._is_cut = starts_film
        self._first = self._number = -1  # of the current span, of the last frame
        self._candidates: list[_Candidate] = []
        self._boundary = 0  # the next one, if its shot goes on for long enough

    def add(self, _: int, transition: str, position: int, frame: ProxyFrame) -> None:
        """Receive a frame at a position of a shot."""
        number = frame.source.number
        if position == 0:
            if self._first >= 0:
                self._close(number, transition)
                self._is_known = self._is_cut = True
            self._transition, self._first = transition, number
            period = self._rule.period
            self._boundary = -(-(number + self._rule.shortest) // period) * period
        elif number >= self._boundary + self._rule.shortest - 1:
            self._close(self._boundary, START)
            self._is_known, self._is_cut, self._transition = True, False, START
            self._first, self._boundary = self._boundary, self._boundary + self._rule.period
        self._number = number
        is_due = number % _STEP == 0 or number < self._first + _STEP
        if is_due and frame.source.fault != DAMAGED:
            self._candidates.append(_Candidate.of(frame))

    @property
    def num_frames(self) -> int:
        """How many frames of the film have been read, or left out before the part."""
        return self._number + 1

    def finish(self, *, ends_film: bool) -> None:
        """Close the last span, which is whole where the film ends."""
        if self._first >= 0 and ends_film:
            self._close(self._number + 1, START)

    def _close(self, stop: int, ending: str) -> None:
        """End the current span before frame `stop`, with the transition that begins the next."""
        inside = [c for c in self._candidates if c.number < stop]
        self._candidates = [c for c in self._candidates if c.number >= stop]
        if self._is_known:
            typical = _typical(inside, self._first, stop, (self._transition, ending))
            key_frames = _choose_several(typical, self._rule.max_key_frames)
            self.spans.append(Span(self._first, stop, self._is_cut, key_frames))


def _typical(
    candidates: Sequence[_Candidate], first: int, stop: int, transitions: tuple[str, str]
) -> list[_Candidate]:
    """Return the candidates closest to their mean, without those beside a transition.

    `transitions`: at frames `first` and `stop`.
    """
    if not candidates:
        return []
    first, stop = first + _MARGINS[transitions[0]], stop - _MARGINS[transitions[1]]
    inside = [c for c in candidates if first <= c.number < stop]
    inside = inside or [candidates[len(candidates) // 2]]
    mean = np.mean([c.thumbnail for c in inside], axis=0)
    distances = [float(np.abs(c.thumbnail - mean).mean()) for c in inside]
    max_distance = max(_GRAIN, _MAX_DISTANCE * float(np.median(distances)))
    return [c for c, distance in zip(inside, distances, strict=True) if distance <= max_distance]


def _sharpest(candidates: Sequence[_Candidate]) -> _Candidate:
    return max(candidates, key=lambda c: c.sharpness)


def _choose_several(typical: Sequence[_Candidate], max_num: int) -> tuple[int, ...]:
    """Return the frames that stand for the typical ones: another as long as many are unlike all."""
    chosen: list[_Candidate] = []
    unlike = list(typical)
    while unlike and len(chosen) < max_num:
        chosen.append(_central(unlike))
        unlike = [c for c in unlike if _distance(c, chosen[-1]) > _UNLIKE]
        if len(unlike) < _MIN_UNLIKE * len(typical):
            break
    return tuple(sorted(c.number for c in chosen))


def _central(candidates: Sequence[_Candidate]) -> _Candidate:
    """Return the sharpest of the frames in the middle: colours reach both ends from there."""
    margin = int(len(candidates) * _MARGIN_SHARE)  # rounded down, so that some remain
    return _sharpest(candidates[margin : len(candidates) - margin])


def _distance(first: _Candidate, second: _Candidate) -> float:
    return float(np.abs(first.thumbnail - second.thumbnail).mean())
