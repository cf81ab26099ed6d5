"""Scans a film's luma once: its shots, their bars, and the sharpest frames of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from filmcolor.errors import InputError
from filmcolor.images.sharpness import laplacian_variance_ratio
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.shots.detector import CONTEXT_FRAMES, mark_cuts
from filmcolor.train.stills.letterbox import BarDetector, Bars, combine_bars
from filmcolor.train.stills.quality import MIN_SHARPNESS, SHARPNESS_SIZE, is_blank
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ProxyFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

_MIN_RELATIVE_SHARPNESS = 0.4  # of the shot's sharpest frame: half has a trace of motion blur
_SECONDS_PER_STILL = 4  # a shot must last so long for each still after its first
_EDGE_FRAMES = 6  # skipped at either end of a shot, where dissolves and flashes are
_MAX_INTERVALS = 64  # of a shot; each keeps one candidate, however long the shot is
_SHOT_SHARE = 0.1  # of a shot's frames in which a row or column is lit, if it is picture
_FILM_SHARE = 0.05  # of a film's frames: full-screen titles are rarer than that
_QUEUE_LENGTH = 8  # frames


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may become a still."""

    number: int  # in the film, from 0
    pts: int  # FilmInfo.time_base units
    sharpness: float  # `laplacian_variance_ratio`


@dataclass(frozen=True, slots=True)
class ScannedShot:
    """A shot, half-open in frames, with its best frames in order."""

    number: int  # from 0, among the scanned shots
    first: int
    stop: int
    start_pts: int
    best: tuple[Candidate, ...]
    flaw: str | None  # "blank" or "blurred": the reason why `best` is empty
    dark_edges: Bars  # bars or dark parts of the picture
    bars: Bars


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame of a film to extract."""

    shot: int
    number: int  # of the frame
    pts: int  # FilmInfo.time_base units
    bars: Bars


@dataclass(frozen=True, slots=True)
class FilmScan:
    """The result of scanning a film, or a part of one."""

    shots: tuple[ScannedShot, ...]
    bars: Bars  # of the film as a whole
    error: str | None  # the error that ended the scan early, if there was one

    def picks(self) -> list[Pick]:
        """Return the best frames of all shots, in order."""
        return [
            Pick(
                shot.number,
                best.number,
                best.pts,
                combine_bars(shot.dark_edges, shot.bars, self.bars),
            )
            for shot in self.shots
            for best in shot.best
        ]


def scan_film(
    info: FilmInfo,
    part: Part,
    per_shot: int,
    index: FrameIndex | None = None,
    advance: Callable[[], None] | None = None,
) -> FilmScan:
    """Read the luma of a part of a film once, and return its shots with their sharpest frames.

    `per_shot`: the most frames of a shot. Shots are those of a run. `advance()` is called after
    every frame. Memory holds a few numbers per shot.
    """
    start = max(0, part.first - CONTEXT_FRAMES)
    end = None if part.stop is None else part.stop + CONTEXT_FRAMES
    size = min(SHARPNESS_SIZE, *map(int, info.display_size))  # enlarging adds no detail
    film_bars = BarDetector(info.height, info.width)
    shots: list[ScannedShot] = []
    scanner: _ShotScanner | None = None
    message = None
    try:
        lumas = read_luma(info, start, end, index)
        with Prefetch(add_proxies(lumas, info, size), _QUEUE_LENGTH) as proxies:
            for frame in mark_cuts(proxies):
                if frame.source.number < part.first:
                    continue
                if part.stop is not None and frame.source.number >= part.stop:
                    break
                if scanner is None or frame.is_cut:
                    shots += [scanner.finish(info, per_shot)] if scanner else []
                    scanner = _ShotScanner(len(shots), frame)
                scanner.add(frame, info.coding)
                film_bars.add(frame.source.luma, info.coding)
                if advance:
                    advance()
    except InputError as error:  # keep what came before
        message = str(error)
    if scanner is not None:
        shots.append(scanner.finish(info, per_shot))
    return FilmScan(tuple(shots), film_bars.bars(_FILM_SHARE), message)


class _ShotScanner:
    """Keeps the sharpest frame of each interval of a shot, and measures the shot's bars.

    Intervals are merged in pairs when there are more than _MAX_INTERVALS.
    """

    def __init__(self, number: int, start: ProxyFrame) -> None:
        self.number, self.first = number, start.source.number
        self.start_pts = self.end_pts = start.source.pts
        self.bar_detector = BarDetector(*start.source.luma.shape)
        self.candidates: dict[int, Candidate] = {}  # by the interval's index
        self.interval = 1  # frames

    def add(self, frame: ProxyFrame, coding: Coding) -> None:
        luma, proxy = frame.source.luma, frame.luma
        self.bar_detector.add(luma, coding)
        self.end_pts = frame.source.pts
        bars = self.bar_detector.dark_edges(_SHOT_SHARE).scaled(luma.shape, proxy.shape)
        cropped = bars.crop(proxy).astype(np.float32) / 255.0
        if is_blank(cropped):
            return
        sharpness = laplacian_variance_ratio(cropped)
        candidate = Candidate(frame.source.number, frame.source.pts, sharpness)
        self._keep((candidate.number - self.first) // self.interval, candidate)
        if len(self.candidates) > _MAX_INTERVALS:
            self.interval *= 2
            previous, self.candidates = self.candidates, {}
            for index, candidate in previous.items():
                self._keep(index // 2, candidate)

    def _keep(self, index: int, candidate: Candidate) -> None:
        rival = self.candidates.get(index)
        if rival is None or candidate.sharpness > rival.sharpness:
            self.candidates[index] = candidate

    def finish(self, info: FilmInfo, per_shot: int) -> ScannedShot:
        first, stop = self.first, self.first + self.bar_detector.num_frames
        seconds = (self.end_pts - self.start_pts) * info.time_base
        num = min(per_shot, 1 + int(seconds // _SECONDS_PER_STILL))
        best = tuple(choose_sharpest(self.candidates.values(), first, stop, num))
        flaw = None if best else "blurred" if self.candidates else "blank"
        dark_edges = self.bar_detector.dark_edges(_SHOT_SHARE)
        bars = self.bar_detector.bars(_SHOT_SHARE)
        return ScannedShot(self.number, first, stop, self.start_pts, best, flaw, dark_edges, bars)


def choose_sharpest(
    candidates: Iterable[Candidate], first: int, stop: int, num: int
) -> list[Candidate]:
    """Return the sharpest frame of each of `num` equal parts of a shot, without blurred ones.

    Frames at the ends of the shot are only used when there are no others.
    """
    edge = min(_EDGE_FRAMES, (stop - first) // 8)
    sharp = [c for c in candidates if c.sharpness >= MIN_SHARPNESS]
    inner = [c for c in sharp if first + edge <= c.number < stop - edge] or sharp
    best: dict[int, Candidate] = {}
    for candidate in inner:
        part = (candidate.number - first) * num // (stop - first)
        if part not in best or candidate.sharpness > best[part].sharpness:
            best[part] = candidate
    threshold = _MIN_RELATIVE_SHARPNESS * max((c.sharpness for c in inner), default=0.0)
    return [c for _, c in sorted(best.items()) if c.sharpness >= threshold]
