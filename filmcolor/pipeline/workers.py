"""Colours films, segments of one, or pictures, in this process or in several worker processes.

A worker keeps its weights for the next task. A worker that dies affects no other: its task goes to
a new worker, once, which resumes after the segments that were finished.
"""

import logging
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filmcolor.errors import FilmcolorError, error_of, without_traceback
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.run import Progress
from filmcolor.runtime.platform import STOP_SIGNALS, block_interrupts

_MAX_ATTEMPTS = 2  # at a task whose worker dies
_STOP_SECONDS = 10.0  # for a worker to clean up before it is killed
_log = logging.getLogger(__name__)


class WorkerSettings(Protocol):
    """Settings that all tasks of a run share."""

    @property
    def options(self) -> ColorOptions:
        """The options of each worker's `Colorizer`."""


class WorkerTask(Protocol):
    """What a worker does between two messages; the outcome is of the task's own type."""

    @property
    def source(self) -> Path:
        """The file to colour."""

    def color(self, settings: Any, pieces: PieceColorizer, progress: Progress, /) -> Any:
        """Do the task and return its outcome; raises FilmcolorError."""

    def failed(self, error: FilmcolorError) -> Any:
        """Return the outcome of the task when an error ended it."""

    def remove_leftovers(self) -> None:
        """Remove what a killed worker has left of the output, except what a next run can use."""


AnyTask = TypeVar("AnyTask", bound=WorkerTask)
TaskProgress = Callable[[AnyTask, int, int | None], None]


class TaskQueue(Protocol):
    """Hands out tasks to workers."""

    def next(self, worker: Hashable, /) -> WorkerTask | None:
        """Return the next task of a worker; None when no more are left."""

    def put_back(self, worker: Hashable, task: Any, /) -> None:
        """Have the task of a dead worker done again, before all others."""


class _TaskList:
    """Tasks in order, for any worker."""

    def __init__(self, tasks: Iterable[WorkerTask]) -> None:
        self._tasks = deque(tasks)

    def next(self, _: Hashable) -> WorkerTask | None:
        return self._tasks.popleft() if self._tasks else None

    def put_back(self, _: Hashable, task: WorkerTask) -> None:
        self._tasks.appendleft(task)


def run_tasks(
    tasks: Sequence[AnyTask],
    settings: WorkerSettings,
    num_workers: int,
    progress: TaskProgress[AnyTask],
    finished: Callable[[Any], None],
) -> None:
    """Do tasks one after the other in this process, or in `num_workers` processes if above 1.

    Calls `progress(task, done, total)` after every frame, `finished(outcome)` after every task.
    Raises a FilmcolorError that concerns every task, as one of the weights.
    """
    if num_workers > 1:
        WorkerPool(settings, num_workers, progress, finished).run(_TaskList(tasks))
        return
    with PieceColorizer(Colorizer(settings.options)) as pieces:
        for task in tasks:
            finished(_color(task, settings, pieces, progress))


class WorkerPool:
    """Worker processes that share a queue of tasks."""

    def __init__(
        self,
        settings: WorkerSettings,
        num_workers: int,
        progress: Callable[[Any, int, int | None], None],
        finished: Callable[[Any], None],
    ) -> None:
        self._settings, self._num_workers = settings, num_workers
        self._progress, self._finished = progress, finished
        self._num_deaths: Counter[WorkerTask] = Counter()
        self._workers: dict[Any, _Worker] = {}  # by pipe: its type depends on the system

    def run(self, queue: TaskQueue) -> None:
        """Do all tasks; stops the workers however it ends."""
        self._queue = queue
        try:
            self._start_workers()
            while self._workers:
                for pipe in wait(list(self._workers)):
                    self._handle_message(self._workers[pipe])
                self._start_workers()
        finally:
            self._stop()

    def _start_workers(self) -> None:
        while len(self._workers) < self._num_workers:
            name = object()
            task = self._queue.next(name)
            if task is None:
                return
            worker = _Worker(name, self._settings, self._num_workers, task)
            self._workers[worker.pipe] = worker

    def _handle_message(self, worker: "_Worker") -> None:
        message, args = worker.receive()
        if message == "progress":
            self._progress(worker.task, *args)
        elif message == "refused":
            raise args[0]
        elif message == "finished":
            self._finished(args[0])  # first: after an error it may empty the queue
            task = self._queue.next(worker.name)
            if task is None:
                self._workers.pop(worker.pipe).stop()
            else:
                worker.assign(task)
        else:
            self._handle_death(worker)

    def _handle_death(self, worker: "_Worker") -> None:
        """Queue a dead worker's task once more; report it as failed the second time."""
        task = worker.task
        reason = self._workers.pop(worker.pipe).stop()
        self._num_deaths[task] += 1
        if self._num_deaths[task] < _MAX_ATTEMPTS:
            self._queue.put_back(worker.name, task)
        else:
            task.remove_leftovers()
            error = FilmcolorError(f"{reason}: out of memory? try --jobs 1")
            self._finished(task.failed(error))

    def _stop(self) -> None:
        """Terminate all workers, and report the tasks that they finish meanwhile."""
        for worker in self._workers.values():
            worker.process.terminate()
        for worker in self._workers.values():
            worker.join()
            for outcome in worker.remaining_outcomes():
                self._finished(outcome)
            worker.pipe.close()


class _Worker:
    """A worker process, seen from its parent. It always has a task."""

    def __init__(
        self, name: Hashable, settings: WorkerSettings, num_workers: int, task: WorkerTask
    ) -> None:
        self.name = name
        context = get_context("spawn")  # a fork would copy the locks of threads, not the threads
        self.pipe, child_pipe = context.Pipe()
        self.process = context.Process(
            target=work, args=(child_pipe, settings, num_workers), daemon=True
        )
        with block_interrupts():
            self.process.start()
        child_pipe.close()  # the worker holds the only other end: our end closes when it dies
        self.assign(task)

    def assign(self, task: WorkerTask) -> None:
        """Send the worker a task."""
        self.task = task
        with suppress(OSError):  # it has just died: `receive` will return that
            self.pipe.send(task)

    def receive(self) -> tuple[str, tuple[Any, ...]]:
        """Return the worker's next message and its arguments; "died" when there is no more."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return "died", ()

    def stop(self) -> str:
        """End a worker that is idle or dead; return how it ended."""
        self.pipe.close()
        return self.join()

    def join(self) -> str:
        """Wait for the worker to end, kill it if it does not; return how it ended."""
        self.process.join(_STOP_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"its process died ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def remaining_outcomes(self) -> Iterator[Any]:
        """Yield the outcomes that the worker sent before it ended."""
        message = ""
        while message != "died":
            message, args = self.receive()
            if message == "finished":
                yield args[0]


def work(pipe: Connection, settings: WorkerSettings, num_workers: int) -> None:
    """Do the tasks that come through a pipe until it is closed: the main function of a worker.

    Sends ("progress", (done, total)) and ("finished", (outcome,)) for each task, and
    ("refused", (error,)) when no task can be done.
    """
    # all but SIGTERM are meant for the parent, which then stops us
    for number in {signal.SIGINT, *STOP_SIGNALS} - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    from filmcolor.runtime.threads import set_num_processes

    def send(message: str, *args: Any) -> None:
        try:
            pipe.send((message, args))
        except OSError:  # the parent is gone
            sys.exit(1)

    set_num_processes(num_workers)
    try:
        colorizer = Colorizer(settings.options)
    except FilmcolorError as error:
        send("refused", error)
        return
    with PieceColorizer(colorizer) as pieces:
        while True:
            try:
                task = pipe.recv()
            except (EOFError, OSError):
                return
            outcome = _color(task, settings, pieces, lambda _, *done: send("progress", *done))
            send("finished", outcome)


def _color(
    task: AnyTask,
    settings: WorkerSettings,
    pieces: PieceColorizer,
    progress: TaskProgress[AnyTask],
) -> Any:
    def report_progress(done: int, total: int | None) -> None:
        progress(task, done, total)

    try:
        return task.color(settings, pieces, report_progress)
    except FilmcolorError as error:
        return task.failed(without_traceback(error))
    except Exception as error:  # a bug, or a fault of the machine: the other tasks go on
        _log.exception("%s", task.source)
        return task.failed(error_of(error))


def _exit(*_: object) -> None:
    """Handle SIGTERM: exit through all clean-up code, and only once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)
