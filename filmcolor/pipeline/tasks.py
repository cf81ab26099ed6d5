"""What workers do for films: a film as a whole, or a piece of one."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from filmcolor.errors import FilmcolorError
from filmcolor.pipeline.pieces import Piece, PieceColorizer, PieceQueue, run_film
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Progress, Run, RunSettings
from filmcolor.pipeline.saved_run import open_run
from filmcolor.segments.journal import remove_leftovers

FilmProgress = Callable[[Path, int, int | None], None]  # film, frames done, total if known
Finished = Callable[["Outcome"], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A film to colour and its output."""

    film: Path
    output: Path

    @property
    def source(self) -> Path:
        """The film."""
        return self.film

    def color(self, settings: RunSettings, pieces: PieceColorizer, progress: Progress) -> "Outcome":
        """Colour the film and return the outcome; raises FilmcolorError."""
        report = run_film(self.film, self.output, settings, pieces.colorizer, progress)
        return Outcome(self.film, report)

    def failed(self, error: FilmcolorError) -> "Outcome":
        """Return the outcome of a film that an error ended."""
        return Outcome(self.film, error=error)

    def remove_leftovers(self) -> None:
        """Remove unfinished segments."""
        remove_leftovers(self.output)


# colours films: (tasks, settings, progress(task, done, total), finished(outcome))
Engine = Callable[
    [Sequence[Task], RunSettings, Callable[[Task, int, int | None], None], Finished], None
]


@dataclass(frozen=True, slots=True)
class PieceTask:
    """A piece of a saved run to colour; `last`: the one up to which the worker may get others."""

    folder: Path  # of the run
    number: int
    last: int = field(compare=False)

    @property
    def source(self) -> Path:
        """The folder of the run."""
        return self.folder

    def color(self, _: Any, pieces: PieceColorizer, progress: Progress) -> "PieceOutcome":
        """Colour the piece and return the outcome; raises FilmcolorError."""
        run = _opened(self.folder)
        piece, last = run.segment(self.number), run.segment(self.last)
        pieces.color(run, piece, lambda done: progress(done, None), last)
        return PieceOutcome(self.number)

    def failed(self, error: FilmcolorError) -> "PieceOutcome":
        """Return the outcome of a piece that an error ended."""
        return PieceOutcome(self.number, error)

    def remove_leftovers(self) -> None:
        """Do nothing: the process that holds the run's lock does it."""


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Run:
    return open_run(folder)


class PieceTasks:
    """Hands out the pieces of one film, to each worker consecutive ones."""

    def __init__(self, folder: Path, numbers: Iterable[int]) -> None:
        self._folder = folder
        self._pieces = PieceQueue()
        self._pieces.add(folder, numbers)

    def next(self, worker: Hashable) -> PieceTask | None:
        """Return the next piece of a worker; None when no more are left."""
        piece = self._pieces.next(worker)
        return None if piece is None else PieceTask(self._folder, piece.number, piece.last)

    def put_back(self, worker: Hashable, task: PieceTask) -> None:
        """Have the piece of a dead worker coloured by another."""
        self._pieces.remove_worker(worker)
        self._pieces.put_back(Piece(self._folder, task.number, task.last))

    def clear(self) -> None:
        """Hand out no more: the film has failed."""
        self._pieces.remove_film(self._folder)


@dataclass(frozen=True, slots=True)
class PieceOutcome:
    """The result of a piece: the error that stopped it, if there was one."""

    number: int
    error: FilmcolorError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one film: its report, or the error that stopped it."""

    film: Path
    report: Report | None = None
    error: FilmcolorError | None = None
    is_skipped: bool = False  # the output existed already
