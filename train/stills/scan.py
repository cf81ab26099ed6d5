"""One pass over a film's luma: its shots, their bars and the sharpest frames of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from filmcolor.errors import InputError
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.shots.detector import CONTEXT_FRAMES, mark_cuts
from filmcolor.train.stills.letterbox import Bars, Profile, settle_bars
from filmcolor.train.stills.quality import MIN_SHARPNESS, SIGHT, is_blank, sharpness
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ProxyFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

_MIN_SHARE = 0.4  # of the shot's sharpest frame: half of it is a trace of motion blur
_SECONDS_PER_STILL = 4  # a shot must last so long for each still after its first
_EDGE = 6  # frames left out at either end of a shot, where dissolves and flashes are
_MAX_STRETCHES = 64  # candidates remembered of a shot, however long
_SHOT_SHARE = 0.1  # of a shot's frames in which a line is lit, when it is picture
_FILM_SHARE = 0.05  # of a film's frames: full-screen titles are rarer than that
_FRAMES_AHEAD = 8  # read and made small while one is looked at


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What is remembered of a frame."""

    number: int  # of the film, from 0
    pts: int  # FilmInfo.time_base units
    sharpness: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot that was looked through: half-open in frames, and its best, in order."""

    number: int  # from 0, of those that were looked through
    first: int
    stop: int
    start_pts: int
    best: tuple[Glimpse, ...]
    flaw: str | None  # "blank" or "blurred": why there is no best
    dark: Bars  # what is dark at its sides, bars or not
    bars: Bars


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to take from a film."""

    shot: int
    number: int  # of the frame
    pts: int  # FilmInfo.time_base units
    bars: Bars


@dataclass(frozen=True, slots=True)
class Footage:
    """A film, or a part of one, that was looked through."""

    shots: tuple[Shot, ...]
    bars: Bars  # the usual ones
    broken: str | None  # what broke it off, if anything did

    def picks(self) -> list[Pick]:
        """Return the best frames of all shots, in order."""
        return [
            Pick(shot.number, best.number, best.pts, settle_bars(shot.dark, shot.bars, self.bars))
            for shot in self.shots
            for best in shot.best
        ]


def look_through(
    info: FilmInfo,
    part: Part,
    per_shot: int,
    index: FrameIndex | None = None,
    advance: Callable[[], None] | None = None,
) -> Footage:
    """Read a film's luma once, and keep nothing of it but a few numbers per shot.

    `per_shot`: at most so many frames of a shot are its best. Cuts are those that a run
    finds. `advance()` is called after every frame.
    """
    start, end = (
        max(0, part.first - CONTEXT_FRAMES),
        None if part.stop is None else part.stop + CONTEXT_FRAMES,
    )
    sight = min(SIGHT, *map(int, info.display_size))  # what is enlarged has no detail
    whole = Profile(info.height, info.width)
    shots: list[Shot] = []
    shot: _ShotSoFar | None = None
    broken = None
    try:
        lumas = read_luma(info, start, end, index)
        with Prefetch(add_proxies(lumas, info, sight), _FRAMES_AHEAD) as small:
            for frame in mark_cuts(small):
                if frame.source.number < part.first:
                    continue
                if part.stop is not None and frame.source.number >= part.stop:
                    break
                if shot is None or frame.is_cut:
                    shots += [shot.finish(info, per_shot)] if shot else []
                    shot = _ShotSoFar(len(shots), frame)
                shot.add(frame, info.coding)
                whole.add(frame.source.luma, info.coding)
                if advance:
                    advance()
    except InputError as error:  # what came before is good
        broken = str(error)
    if shot is not None:
        shots.append(shot.finish(info, per_shot))
    return Footage(tuple(shots), whole.bars(_FILM_SHARE), broken)


class _ShotSoFar:
    """A shot while its frames pass: of each stretch of it, the sharpest is remembered."""

    def __init__(self, number: int, start: ProxyFrame) -> None:
        self.number, self.start = number, start.source.number
        self.start_pts = self.end_pts = start.source.pts
        self.profile = Profile(*start.source.luma.shape)
        self.stretches: dict[int, Glimpse] = {}
        self.length = 1  # of a stretch, in frames

    def add(self, frame: ProxyFrame, coding: Coding) -> None:
        luma, small = frame.source.luma, frame.luma
        self.profile.add(luma, coding)
        self.end_pts = frame.source.pts
        bars = self.profile.dark(_SHOT_SHARE).scaled(luma.shape, small.shape)
        seen = bars.trim(small) / np.float32(255.0)
        if is_blank(seen):
            return
        glimpse = Glimpse(frame.source.number, frame.source.pts, sharpness(seen))
        self._keep((glimpse.number - self.start) // self.length, glimpse)
        if len(self.stretches) > _MAX_STRETCHES:
            self.length *= 2
            kept, self.stretches = self.stretches, {}
            for position, glimpse in kept.items():
                self._keep(position // 2, glimpse)

    def _keep(self, position: int, glimpse: Glimpse) -> None:
        rival = self.stretches.get(position)
        if rival is None or glimpse.sharpness > rival.sharpness:
            self.stretches[position] = glimpse

    def finish(self, info: FilmInfo, per_shot: int) -> Shot:
        first, stop = self.start, self.start + self.profile.num
        seconds = (self.end_pts - self.start_pts) * info.time_base
        num = min(per_shot, 1 + int(seconds // _SECONDS_PER_STILL))
        best = tuple(sharpest(self.stretches.values(), first, stop, num))
        flaw = None if best else "blurred" if self.stretches else "blank"
        dark, bars = self.profile.dark(_SHOT_SHARE), self.profile.bars(_SHOT_SHARE)
        return Shot(self.number, first, stop, self.start_pts, best, flaw, dark, bars)


def sharpest(glimpses: Iterable[Glimpse], first: int, stop: int, num: int) -> list[Glimpse]:
    """Return the sharpest frame of each of `num` equal parts of a shot, blurred ones left out.

    The ends of the shot are avoided where something else is there.
    """
    edge = min(_EDGE, (stop - first) // 8)
    sharp = [g for g in glimpses if g.sharpness >= MIN_SHARPNESS]
    inner = [g for g in sharp if first + edge <= g.number < stop - edge] or sharp
    best: dict[int, Glimpse] = {}
    for glimpse in inner:
        part = (glimpse.number - first) * num // (stop - first)
        if part not in best or glimpse.sharpness > best[part].sharpness:
            best[part] = glimpse
    enough = _MIN_SHARE * max((g.sharpness for g in inner), default=0.0)
    return [g for _, g in sorted(best.items()) if g.sharpness >= enough]
