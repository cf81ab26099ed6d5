"""Measures the colours of a finished film, alone or beside its true colours.

One pass over the film, or over the film and its truth in step. Memory holds running means and a
few frames, whatever the length.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.metrics.comparison import FILM, TRUTH, MetricAccumulator, add_renditions
from filmcolor.metrics.image import Mean
from filmcolor.metrics.paired_frames import PairedFrame, read_paired_frames
from filmcolor.metrics.temporal import MotionTracker
from filmcolor.metrics.time_slice import TimeSlice
from filmcolor.types.film import WHOLE, FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.probe import probe

_MIN_CHROMA = 0.5  # Lab units: rounding alone gives a grey film less


@dataclass(frozen=True, slots=True)
class ColorMetrics:
    """The metrics of some frames; None where one is undefined or has no data.

    PSNR leaves out frames that equal the truth, and frames with a grey truth.
    """

    colorfulness: float | None
    mean_chroma: float | None  # Lab units
    cdc: float | None  # nats
    warp_error: float | None  # Lab units, of neighbouring frames
    long_warp_error: float | None  # Lab units, of frames 24 apart
    ab_rmse: float | None  # Lab units
    psnr: float | None  # dB


@dataclass(frozen=True, slots=True)
class SecondMetrics:
    """The metrics of the frames shown in one second; a pair counts where its later frame is."""

    start: int  # seconds from the film's first frame
    rows: Mapping[str, ColorMetrics]  # by "grey", "film", "truth"


@dataclass(frozen=True, slots=True)
class Measures:
    """The metrics of a film, of its luma alone, and of the truth where there is one."""

    film: Path
    truth: Path | None
    num_frames: int
    cuts: tuple[float, ...]  # seconds from the film's first frame
    rows: Mapping[str, ColorMetrics]  # by "grey", "film", "truth"
    seconds: tuple[SecondMetrics, ...]
    notes: tuple[str, ...]  # needed to interpret the metrics


def measure(
    film: str | Path,
    truth: str | Path | None = None,
    *,
    time_range: TimeRange = WHOLE,
    time_slice: TimeSlice | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Measures:
    """Measure the colours of a film, and their distance from true colours.

    `truth` is a film in colour with the same frames. Frames are compared at a short side of 256
    pixels. Motion and cuts are found in the truth's luma, without a truth in the film's; grey is
    that luma. `time_slice` collects a row of pixels in the same pass. `progress(done, total)` is
    called after every frame. `plot_measures` draws the result.
    Raises InputError when a film cannot be read or the two differ in frames or shape, RangeError
    when the range is not in the film.
    """
    sources = [probe(path) for path in (film, truth) if path is not None]
    part = resolve(sources[0], TimeRange(first=0) if time_range.is_whole else time_range)
    assert part.stop is not None  # a part that is not the whole film has both ends
    num_frames = part.stop - part.first
    if time_slice is not None:
        time_slice.start(sources, num_frames)
    accumulator = _FilmAccumulator()
    for done, frame in enumerate(read_paired_frames(sources, part), 1):
        accumulator.add(frame)
        if time_slice is not None:
            time_slice.add(frame.seconds, frame.renditions, frame.is_cut)
        if progress:
            progress(done, num_frames)
    return accumulator.finish(*sources)


# the means behind each field of ColorMetrics; CDC is the mean of three of them
_Means = dict[str, list[Mean]]


class _FilmAccumulator:
    """Accumulates the metrics of all frames so far, and of each second."""

    def __init__(self) -> None:
        self._accumulators: dict[str, MetricAccumulator] = {}
        self._tracker = MotionTracker()
        self._num_frames = 0
        self._cuts: list[float] = []
        self._seconds: list[SecondMetrics] = []
        self._second: int | None = None  # the current one
        self._earlier: dict[str, _Means] = {}  # the means at its start

    def add(self, frame: PairedFrame) -> None:
        """Add the next frame."""
        second = int(frame.seconds)
        if self._second not in (None, second):
            self._close_second()
        self._second = second
        motion = self._tracker.add(frame.proxy.source.luma, frame.is_cut)
        if TRUTH in frame.renditions:
            add_renditions(self._accumulators, frame.renditions)
        for name, rendition in frame.renditions.items():
            accumulator = self._accumulators.setdefault(name, MetricAccumulator())
            if TRUTH not in frame.renditions:
                accumulator.add(rendition, None)
            accumulator.add_motion(rendition, motion)
        if frame.is_cut:
            self._cuts.append(frame.seconds)
        self._num_frames += 1

    def finish(self, film: FilmInfo, truth: FilmInfo | None = None) -> Measures:
        """Return the metrics of all added frames."""
        if self._second is None:
            raise InputError(f"{film.path} has no frames to measure")
        self._close_second()
        rows = {name: _metrics(name, _means(a), {}) for name, a in self._accumulators.items()}
        notes = [
            f"{source.path} has no colour at all: its figures are those of grey"
            for name, source in ((FILM, film), (TRUTH, truth))
            if source is not None and (rows[name].mean_chroma or 0.0) < _MIN_CHROMA
        ]
        return Measures(
            film.path,
            None if truth is None else truth.path,
            self._num_frames,
            tuple(self._cuts),
            rows,
            tuple(self._seconds),
            tuple(notes),
        )

    def _close_second(self) -> None:
        assert self._second is not None
        current = {name: _means(a) for name, a in self._accumulators.items()}
        rows = {n: _metrics(n, means, self._earlier.get(n, {})) for n, means in current.items()}
        self._seconds.append(SecondMetrics(self._second, rows))
        self._earlier = {
            name: {field: [m.since(None) for m in means] for field, means in fields.items()}
            for name, fields in current.items()
        }


def _means(accumulator: MetricAccumulator) -> _Means:
    return {
        "colorfulness": [accumulator.colorfulness],
        "mean_chroma": [accumulator.chroma],
        "cdc": list(accumulator.cdc.means.values()),
        "warp_error": [accumulator.warp.short],
        "long_warp_error": [accumulator.warp.long],
        "ab_rmse": [accumulator.error],
        "psnr": [accumulator.psnr],
    }


def _metrics(name: str, current: _Means, earlier: _Means) -> ColorMetrics:
    """Return the metrics of what was added between two states of the means."""
    metrics: dict[str, float | None] = {}
    for field, means in current.items():
        bases = earlier.get(field, [None] * len(means))
        values = [m.since(base).value for m, base in zip(means, bases, strict=True)]
        defined = [value for value in values if value is not None]
        metrics[field] = sum(defined) / len(defined) if defined else None
    error = metrics["ab_rmse"]
    metrics["ab_rmse"] = None if error is None or name == TRUTH else sqrt(max(0.0, error))
    return ColorMetrics(**metrics)
