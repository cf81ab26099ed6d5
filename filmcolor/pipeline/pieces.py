"""Colours a film's segments one by one, and hands them out to workers.

A piece is one segment. By itself it costs the frames around it too, which decide its colours: about
360 for the 1,440 frames of a minute. A worker that takes the next piece of the same film goes on
without them, so each worker gets consecutive pieces for as long as there are any.
"""

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Progress, Run, RunSettings
from filmcolor.runtime.profiler import Profiler
from filmcolor.segments.journal import Segment
from filmcolor.segments.segment import Lookahead
from filmcolor.types.frames import ColorFrame


class PieceColorizer:
    """Colours pieces of films; one that follows the last one costs no frames around it.

    Its context ends what runs ahead of the last piece.
    """

    def __init__(self, colorizer: Colorizer, profiler: Profiler | None = None) -> None:
        self.colorizer = colorizer
        self._profiler = profiler
        self._run: Run | None = None  # that is being coloured
        self._next: Segment | None = None  # that the frames go on with
        self._colored: Generator[ColorFrame, None, None] | None = None
        self._frames: Lookahead[ColorFrame] | None = None

    def __enter__(self) -> "PieceColorizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def color(
        self,
        run: Run,
        piece: Segment,
        progress: Callable[[int], None] | None = None,
        last: Segment | None = None,
    ) -> int:
        """Colour a piece, unless that is done already; the frames go into the run's journal.

        `progress(done)` is called after every frame of the piece. `last`: the piece that will
        probably be the last of consecutive ones. Returns the number of frames that were coloured.
        Raises a FilmcolorError if it fails.
        """
        num_done = 0
        for num_done in self.coloring(run, piece, last):
            if progress:
                progress(num_done)
        return num_done

    def coloring(
        self, run: Run, piece: Segment, last: Segment | None = None
    ) -> Generator[int, None, None]:
        """Colour a piece, and yield after every frame how many are done; see `color`."""
        if run.journal.is_finished(piece):
            return
        last = last or piece
        try:
            frames = self._frames_of(run, piece, last)
            for num_done, _ in enumerate(run.write([piece], frames, self._profiler), 1):
                yield num_done
        except BaseException:
            self.close()
            raise
        self._next = run.after(piece)
        if self._next is None or self._next.number > last.number:
            self.close()

    def close(self) -> None:
        """End what runs ahead of the last piece."""
        if self._colored is not None:
            self._colored.close()
        self._run = self._next = self._colored = self._frames = None

    def _frames_of(self, run: Run, piece: Segment, last: Segment) -> Lookahead[ColorFrame]:
        if self._frames is None or self._run is not run or self._next != piece:
            self.close()
            self._colored = run.frames(piece, last, self.colorizer, self._profiler)
            self._run, self._frames = run, Lookahead(self._colored)
        return self._frames


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece for a worker: its film's key, its number, and the last one that may follow it."""

    film: Hashable
    number: int
    last: int


@dataclass(slots=True, eq=False)
class _Range:
    """Consecutive pieces of a film that are left: `first` to `stop`, half-open."""

    film: Hashable
    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first

    def take(self) -> Piece:
        """Take the first piece."""
        self.first += 1
        return Piece(self.film, self.first - 1, self.stop - 1)


class PieceQueue:
    """Hands out the pieces of films, to each worker consecutive ones.

    A worker without pieces takes the next film, or the next gap of an interrupted one. Where there
    is none, it takes the back half of the most that another worker has left.
    """

    def __init__(self) -> None:
        self._waiting: list[_Range] = []
        self._ranges: dict[Hashable, _Range] = {}  # by worker

    def add(self, film: Hashable, numbers: Iterable[int]) -> None:
        """Append pieces of a film, by their numbers in order."""
        for number in numbers:
            last = self._waiting[-1] if self._waiting else None
            if last is not None and (last.film, last.stop) == (film, number):
                last.stop += 1
            else:
                self._waiting.append(_Range(film, number, number + 1))

    def next(self, worker: Hashable) -> Piece | None:
        """Return the next piece for a worker; None when all are handed out."""
        if not self._ranges.get(worker):
            if self._waiting:
                self._ranges[worker] = self._waiting.pop(0)
            else:
                longest = max(self._ranges.values(), key=len, default=None)
                if not longest:
                    return None
                middle = longest.stop - (len(longest) + 1) // 2
                self._ranges[worker] = _Range(longest.film, middle, longest.stop)
                longest.stop = middle
        return self._ranges[worker].take()

    def put_back(self, piece: Piece) -> None:
        """Have a piece handed out again, before all others."""
        self._waiting.insert(0, _Range(piece.film, piece.number, piece.number + 1))

    def remove_worker(self, worker: Hashable) -> None:
        """Take back what a worker has left, for the others."""
        remaining = self._ranges.pop(worker, None)
        if remaining:
            self._waiting.insert(0, remaining)

    def remove_film(self, film: Hashable) -> None:
        """Take back all pieces of a film: it has failed."""
        self._waiting = [r for r in self._waiting if r.film != film]
        for worker, remaining in list(self._ranges.items()):
            if remaining.film == film:
                del self._ranges[worker]

    def __len__(self) -> int:
        """Return the number of pieces that are not handed out."""
        return sum(map(len, (*self._waiting, *self._ranges.values())))


def numbers_of(runs: Sequence[Sequence[Segment]]) -> list[int]:
    """Return the numbers of runs of segments."""
    return [segment.number for run in runs for segment in run]


def run_film(
    film: str | Path,
    output: str | Path | None,
    settings: RunSettings,
    colorizer: Colorizer | None = None,
    progress: Progress | None = None,
    profiler: Profiler | None = None,
) -> Report:
    """Colour one film in this process; see `pipeline.batch.colorize`."""
    started = time.monotonic()
    run = Run.prepare(film, output, settings)
    with run.locked():
        run.find_key_frames(progress)
        with PieceColorizer(colorizer or Colorizer(run.options), profiler) as pieces:
            color_missing(run, pieces, progress)
        report = run.join(profiler)
    return replace(report, wall_seconds=time.monotonic() - started)


def color_missing(run: Run, pieces: PieceColorizer, progress: Progress | None = None) -> None:
    """Colour the pieces that are not finished."""
    num_done = run.num_done()

    def advance(done: int) -> None:
        if progress:
            progress(num_done + done, run.num_frames)

    for consecutive in run.missing():
        for piece in consecutive:
            num_done += pieces.color(run, piece, advance, last=consecutive[-1])
