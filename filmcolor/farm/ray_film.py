"""A film on its way through a Ray cluster, seen from the driver, which holds its lock."""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from filmcolor.errors import FilmcolorError, error_of, without_traceback
from filmcolor.pipeline.pieces import numbers_of
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.saved_run import save_run
from filmcolor.pipeline.tasks import Task

_NUM_READERS = 8  # threads that look at headers
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Film:
    """A planned film. Its lock is held until `close`.

    Attributes:
        missing: numbers of the pieces that are not finished.
        num_running: jobs of workers on it.
        num_failures: by piece, of attempts that ended for a reason of the piece's own.
        error: what ended it.
    """

    task: Task
    run: Run
    missing: set[int]
    num_running: int = 0
    num_failures: Counter[int] = field(default_factory=Counter)
    error: FilmcolorError | None = None
    started: float | None = None  # when a worker got its first job, monotonic seconds
    _num_done_before: int = 0  # frames
    _num_done: Counter[int] = field(default_factory=Counter)  # frames, by piece
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def plan(cls, task: Task, settings: RunSettings, is_stopped: threading.Event) -> "Film":
        """Lock a film's output, save the plan beside it, and return what is to be done.

        Raises a FilmcolorError when the film cannot be coloured, or soon after the event is set.
        """

        def check_stopped(*_: object) -> None:
            if is_stopped.is_set():
                raise FilmcolorError("stopped")

        run = Run.prepare(task.film, task.output, settings)
        with ExitStack() as stack:
            stack.enter_context(run.locked())
            run.find_key_frames(check_stopped)
            save_run(run)
            film = cls(task, run, set(numbers_of(run.missing())))
            film._num_done_before = run.num_done()
            film._stack = stack.pop_all()
        return film

    @property
    def folder(self) -> Path:
        """The folder of the run, for workers."""
        return self.run.journal.folder.absolute()

    def advance(self, number: int, num_done: int) -> None:
        """Note how many frames of a piece are done."""
        self._num_done[number] = num_done

    def num_done(self) -> int:
        """Return the number of frames that are done."""
        return self._num_done_before + self._num_done.total()

    def begin(self) -> None:
        """Note that a worker got a job."""
        self.num_running += 1
        if self.started is None:
            self.started = time.monotonic()

    def finish(self, report: Report) -> Report:
        """Remove the pieces, release the lock, and return the report with its time."""
        self.run.journal.remove()
        self.close()
        return replace(report, wall_seconds=time.monotonic() - (self.started or time.monotonic()))

    def close(self, error: BaseException | None = None) -> BaseException | None:
        """Release the lock; return an error with what is finished and how to go on."""
        try:
            with self._stack:
                if error is not None:
                    raise error
        except FilmcolorError as explained:
            return without_traceback(explained)
        except BaseException as explained:
            return explained
        return None


class Planner:
    """Plans films in a thread of its own, the longest first, and only a few ahead."""

    def __init__(self, tasks: list[Task], settings: RunSettings) -> None:
        self._settings = settings
        self._tasks = _longest_first(tasks, settings)
        self._thread = ThreadPoolExecutor(1, "planner")
        self._planned: list[tuple[Task, Future[Film]]] = []
        self._is_stopped = threading.Event()

    def __len__(self) -> int:
        """Return the number of films that `take` has not returned yet."""
        return len(self._tasks) + len(self._planned)

    def go_on(self, num_ahead: int) -> None:
        """Plan until so many films are planned, or being planned, that `take` has not returned."""
        while self._tasks and len(self._planned) < num_ahead:
            task = self._tasks.pop(0)
            future = self._thread.submit(Film.plan, task, self._settings, self._is_stopped)
            self._planned.append((task, future))

    def take(self) -> list[tuple[Task, Film | FilmcolorError]]:
        """Return the films that are planned now, with the error of those that cannot be."""
        finished = [entry for entry in self._planned if entry[1].done()]
        self._planned = [entry for entry in self._planned if entry not in finished]
        return [(task, _result(future)) for task, future in finished]

    def close(self) -> None:
        """Release the films that `take` has not returned."""
        self._is_stopped.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        for _, future in self._planned:
            if not future.cancelled() and isinstance(film := _result(future), Film):
                film.close()


def _result(future: "Future[Film]") -> Film | FilmcolorError:
    try:
        return future.result()
    except FilmcolorError as error:
        return without_traceback(error)
    except Exception as error:  # a bug, or a fault of the machine: the other films go on
        _log.exception("a film cannot be planned")
        return error_of(error)


def _longest_first(tasks: list[Task], settings: RunSettings) -> list[Task]:
    """Return films by the pixels that they have, most first: so the longest is not joined last."""
    if len(tasks) < 2:
        return tasks

    def num_pixels(task: Task) -> int:
        try:
            info = settings.options.probe(task.film)
        except FilmcolorError:
            return 0  # the planner will report it
        return (info.num_frames_estimate or 0) * info.width * info.height

    with ThreadPoolExecutor(_NUM_READERS) as threads:
        sizes = list(threads.map(num_pixels, tasks))
    order = sorted(range(len(tasks)), key=lambda n: -sizes[n])
    return [tasks[n] for n in order]
