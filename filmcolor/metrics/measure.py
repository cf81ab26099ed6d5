"""How good and how smooth_ab a finished film's colours are, by the figures of `metrics`.

One way through the film, or through the film and the true colours beside it, with a few
seconds of sums and a few frames in memory whatever the length.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from math import sqrt
from pathlib import Path

import cv2
import numpy as np

from filmcolor.errors import InputError, SettingsError
from filmcolor.images.sheet import check_sheet, save_sheet
from filmcolor.metrics.comparison import (
    Shown,
    Tally,
    add_views,
    reduced_size,
    scaled_luma,
    show_luma,
    show_rgb,
)
from filmcolor.metrics.image import Mean
from filmcolor.metrics.plots import Panel, plot
from filmcolor.metrics.temporal import Track
from filmcolor.metrics.time_slice import Strip
from filmcolor.shots.detector import mark_cuts
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import FloatPlane, LumaFrame, ProxyFrame
from filmcolor.video.decoder import read_rgb, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import proxy_frame

GREY, FILM, TRUTH = "grey", "film", "truth"  # the rows, in this order

_LEAST_CHROMA = 0.5  # Lab units: what rounding alone gives a grey film lies below
_SAME_SHAPE = 0.02  # how far two widths to a height may differ
_PANELS = (
    Panel("colorfulness", "colourfulness", ""),
    Panel("mean_chroma", "mean chroma C*", "Lab units"),
    Panel("cdc", "CDC", "nats, lower is steadier"),
    Panel("warp_error", "warp error", "Lab units, lower is steadier"),
    Panel("long_warp_error", "warp error over 24 frames", "Lab units, lower is steadier"),
    Panel("ab_rmse", "ab RMSE", "Lab units"),
    Panel("psnr", "PSNR", "dB"),
)


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """The pictures that `measure` draws besides: PNGs, each where it is named.

    `plot`: curves of the figures of each second. `strip`: one row of pixels over time.
    """

    plot: Path | None = None
    strip: Path | None = None
    row: float = 0.5  # of the strip: from 0, the uppermost row, to 1
    force: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.row <= 1.0:
            raise SettingsError(f"row {self.row:g}: choose from 0, the top, to 1, the bottom")
        if self.plot and self.strip and self.plot.resolve() == self.strip.resolve():
            raise SettingsError(f"{self.plot} cannot be plot and strip; name two files")


@dataclass(frozen=True, slots=True)
class Figures:
    """The means of some frames; None where a figure has no meaning or nothing to be taken from.

    PSNR leaves out frames that equal the truth, or whose truth is grey.
    """

    colorfulness: float | None
    mean_chroma: float | None  # Lab units
    cdc: float | None
    warp_error: float | None  # Lab units, of neighbouring frames
    long_warp_error: float | None  # Lab units, of frames 24 apart
    ab_rmse: float | None  # Lab units
    psnr: float | None  # dB


@dataclass(frozen=True, slots=True)
class Second:
    """The figures of the frames that are shown in one second, of pairs by their later frame."""

    start: int  # seconds from the film's first frame
    rows: Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of a film, of its luma alone, and of the truth where there is one."""

    film: Path
    truth: Path | None
    num_frames: int
    cuts: tuple[float, ...]  # seconds from the film's first frame
    rows: Mapping[str, Figures]  # by GREY, FILM, TRUTH
    seconds: tuple[Second, ...]
    notes: tuple[str, ...]  # what a reader of the figures must know


def measure(
    film: str | Path,
    truth: str | Path | None = None,
    *,
    time_range: TimeRange = WHOLE,
    drawings: PlotOptions | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Measures:
    """Measure the colours of a film, and their distance from the true ones where given.

    Frames are compared at the size of `views`. Motion and cuts are those of the truth's
    luma, of the film's where there is no truth, and grey is that luma. `truth` is a film in
    colour with the same frames. `progress(done, total)` is called after every frame.
    Raises InputError when the films differ in frames or shape, SettingsError when a wish has
    no meaning, OutputError when a drawing cannot be written.
    """
    drawings = drawings or PlotOptions()
    info = probe(film)
    true_info = None if truth is None else probe(truth)
    sources = [i for i in (info, true_info) if i is not None]
    for target in filter(None, (drawings.plot, drawings.strip)):
        for source in sources:
            check_sheet(target, source.path, drawings.force)
    part = resolve(info, TimeRange(first=0) if time_range.is_whole else time_range)
    assert part.stop is not None  # a span that is not the whole film has both ends
    num_frames = part.stop - part.first
    strip = None if drawings.strip is None else Strip(num_frames, drawings.row, info)
    course = _Course()
    for done, frame in enumerate(_marked(_frames(sources, part)), 1):
        course.add(frame)
        if strip is not None:
            strip.add(frame.seconds, frame.views, frame.is_cut)
        if progress:
            progress(done, num_frames)
    result = course.measures(info, true_info)
    if drawings.plot is not None:
        curves = {s.start: s.rows for s in result.seconds}
        title = " beside ".join(source.path.name for source in sources)
        save_sheet(plot(title, _PANELS, curves, result.cuts), drawings.plot)
    if drawings.strip is not None and strip is not None:
        save_sheet(strip.drawn(info.path.name), drawings.strip)
    return result


# ---------------------------------------------------------------- frames


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    seconds: float  # from the film's first frame
    views: Mapping[str, Shown]
    small: ProxyFrame  # the luma that cuts are found in
    is_cut: bool = False


def _frames(sources: list[FilmInfo], part: Part) -> Iterator[_Frame]:
    """Yield the frames of a film, or of a film and its truth, as all rows show them."""
    indexes = [FrameIndex(info) for info in sources]
    _check_same(sources, indexes)
    size = min((reduced_size(i.width, i.height) for i in sources), key=lambda s: s[0] * s[1])
    readers = [read_rgb(i, part.first, part.stop, x) for i, x in zip(sources, indexes, strict=True)]
    info = sources[0]
    for frames in zip_longest(*readers):
        if None in frames:
            ended = sources[frames.index(None)]
            raise InputError(
                f"{ended.path} ends before {sources[frames.index(None) - 1].path}; "
                "they must have the same frames"
            )
        pictures = [_sized(frame.rgb / np.float32(255.0), size) for frame in frames]
        luma = _sized(scaled_luma(frames[-1].luma, sources[-1].coding), size)
        views = {GREY: show_luma(luma)}
        views |= {name: show_rgb(p) for name, p in zip((FILM, TRUTH), pictures, strict=False)}
        first = frames[0]
        seconds = float(info.seconds(first.pts))
        as_luma = LumaFrame(first.number, views[GREY].rgb[..., 0], first.pts, 0)
        gray = cv2.convertScaleAbs(luma.clip(0.0, 1.0), alpha=255.0)
        yield _Frame(seconds, views, proxy_frame(as_luma, gray))


def _marked(frames: Iterator[_Frame]) -> Iterator[_Frame]:
    """Yield the same frames with the cuts marked, which are found a few frames later."""
    waiting: deque[_Frame] = deque()

    def smalls() -> Iterator[ProxyFrame]:
        for frame in frames:
            waiting.append(frame)
            yield frame.small

    for small in mark_cuts(smalls()):
        frame = waiting.popleft()
        yield _Frame(frame.seconds, frame.views, small, small.is_cut)


def _sized(picture: FloatPlane, size: tuple[int, int]) -> FloatPlane:
    """Return a picture (H, W) or (H, W, C) at a size (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    small: FloatPlane = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def _check_same(sources: list[FilmInfo], indexes: list[FrameIndex]) -> None:
    """Raise InputError when a film and its truth cannot be the same frames."""
    first, last = sources[0], sources[-1]
    nums = [len(index.pts) for index in indexes]
    if all(index.is_exact for index in indexes) and nums[0] != nums[-1]:
        raise InputError(
            f"{first.path} has {nums[0]} frames, {last.path} has {nums[-1]}; they must have "
            "the same: cut one of them to the other's"
        )
    shapes = [info.display_size[0] / info.display_size[1] for info in sources]
    if abs(shapes[0] / shapes[-1] - 1.0) > _SAME_SHAPE or first.rotation != last.rotation:
        raise InputError(
            f"{first.path} is {first.width}×{first.height}, {last.path} {last.width}×"
            f"{last.height} and of another shape; name the same film in true colours"
        )


# ---------------------------------------------------------------- sums

_Means = dict[str, list[Mean]]  # by field of Figures


class _Course:
    """The sums of all frames so far, and what they were where each second began."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._track, self._num_frames = Track(), 0
        self._cuts: list[float] = []
        self._seconds: list[Second] = []
        self._before: dict[str, _Means] = {}
        self._second: int | None = None

    def add(self, frame: _Frame) -> None:
        """Take in the next frame."""
        second = int(frame.seconds)
        if self._second not in (None, second):
            self._close_second()
        self._second = second
        step = self._track.add(frame.small.source.luma, frame.is_cut)
        if TRUTH in frame.views:
            add_views(self._tallies, frame.views)
        for name, view in frame.views.items():
            tally = self._tallies.setdefault(name, Tally())
            if TRUTH not in frame.views:
                tally.add(view, None)
            tally.follow(view, step)
        if frame.is_cut:
            self._cuts.append(frame.seconds)
        self._num_frames += 1

    def measures(self, info: FilmInfo, truth: FilmInfo | None) -> Measures:
        """Return what came of the frames."""
        if self._second is None:
            raise InputError(f"{info.path} has no frames to measure")
        self._close_second()
        rows = {name: _figures(name, _means(t), {}) for name, t in self._tallies.items()}
        notes = [
            f"{source.path} has no colour at all: its figures are those of grey"
            for name, source in ((FILM, info), (TRUTH, truth))
            if source is not None and (rows[name].mean_chroma or 0.0) < _LEAST_CHROMA
        ]
        return Measures(
            info.path,
            None if truth is None else truth.path,
            self._num_frames,
            tuple(self._cuts),
            rows,
            tuple(self._seconds),
            tuple(notes),
        )

    def _close_second(self) -> None:
        assert self._second is not None
        now = {name: _means(tally) for name, tally in self._tallies.items()}
        rows = {n: _figures(n, means, self._before.get(n, {})) for n, means in now.items()}
        self._seconds.append(Second(self._second, rows))
        self._before = {
            name: {field: [m.since(None) for m in means] for field, means in fields.items()}
            for name, fields in now.items()
        }


def _means(tally: Tally) -> _Means:
    return {
        "colorfulness": [tally.colorfulness],
        "mean_chroma": [tally.chroma],
        "cdc": list(tally.cdc.means.values()),
        "warp_error": [tally.warp.near],
        "long_warp_error": [tally.warp.far],
        "ab_rmse": [tally.error],
        "psnr": [tally.psnr],
    }


def _figures(name: str, now: _Means, before: _Means) -> Figures:
    """Return the figures of what was added since the means were `before`."""
    found: dict[str, float | None] = {}
    for field, means in now.items():
        earlier = before.get(field, [None] * len(means))
        values = [m.since(e).value for m, e in zip(means, earlier, strict=True)]
        there = [value for value in values if value is not None]
        found[field] = sum(there) / len(there) if there else None
    error = found["ab_rmse"]
    found["ab_rmse"] = None if error is None or name == TRUTH else sqrt(max(0.0, error))
    return Figures(**found)
