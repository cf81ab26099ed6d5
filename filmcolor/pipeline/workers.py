"""Colours films, or segments of one, one after the other, here or in several processes.

A process keeps its weights for its next task. One that dies takes no other with it: its task
is given to a new one, once, which goes on from the segments that were finished.
"""

import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from filmcolor.errors import FilmcolorError
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run, RunSettings, color_missing, run_film
from filmcolor.segments.journal import Segment, tidy

FilmProgress = Callable[[Path, int, int | None], None]  # film, frames done, in all where known
TaskProgress = Callable[["Task", int, int | None], None]
Finished = Callable[["Outcome"], None]
_NUM_TRIES = 2  # of a film whose process dies
_STOP_SECONDS = 10.0  # for a process to clean up in; then it is killed
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """One film to colour, and where to; some segments of it where its others are not ours."""

    film: Path
    output: Path
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one film: its report, or the error that stopped it.

    Neither where only some of its segments were asked for.
    """

    film: Path
    report: Report | None = None
    error: FilmcolorError | None = None
    is_skipped: bool = False  # the output existed already


def run_tasks(
    tasks: Sequence[Task],
    settings: RunSettings,
    num_workers: int,
    progress: TaskProgress,
    finished: Finished,
) -> None:
    """Do tasks one by one in this process, or in `num_workers` processes if there are several."""
    if num_workers > 1:
        _run_in_workers(tasks, settings, num_workers, progress, finished)
        return
    colorizer = Colorizer(settings.options)
    for task in tasks:
        finished(_color(task, settings, colorizer, progress))


def _run_in_workers(
    tasks: Sequence[Task],
    settings: RunSettings,
    num_workers: int,
    progress: TaskProgress,
    finished: Finished,
) -> None:
    """Do tasks in `num_workers` processes, which are stopped whatever ends this."""
    waiting = deque(tasks)
    num_deaths = dict.fromkeys(tasks, 0)
    workers: dict[Connection, _Worker] = {}
    try:
        while waiting or workers:
            while waiting and len(workers) < num_workers:
                worker = _Worker(settings, num_workers, waiting.popleft())
                workers[worker.pipe] = worker
            for pipe in wait(list(workers)):
                worker = workers[pipe]  # type: ignore[index]  # only pipes were waited for
                task = worker.task
                kind, facts = worker.hear()
                if kind == "progress":
                    progress(task, *facts)
                elif kind == "refused":  # what no film of this run could do without
                    raise facts[0]
                elif kind == "finished":
                    if waiting:
                        worker.give(waiting.popleft())
                    else:
                        workers.pop(worker.pipe).stop()
                    finished(facts[0])
                else:
                    reason = workers.pop(worker.pipe).stop()
                    num_deaths[task] += 1
                    if num_deaths[task] < _NUM_TRIES:
                        waiting.appendleft(task)
                    else:
                        reason += ": out of memory? try --jobs 1"
                        tidy(task.output)
                        finished(Outcome(task.film, error=FilmcolorError(reason)))
    finally:
        for worker in workers.values():
            worker.process.terminate()
        for worker in workers.values():
            worker.join()
            for outcome in worker.last_words():
                finished(outcome)
            worker.pipe.close()


def work(pipe: Connection, settings: RunSettings, num_workers: int) -> None:
    """Do the tasks that come through a pipe, until it is close_quietly: a process's whole life."""
    for name in ("SIGINT", "SIGHUP"):  # these are for the parent, who then stops us
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    from filmcolor.runtime.threads import set_num_processes

    def tell(kind: str, *facts: Any) -> None:
        try:
            pipe.send((kind, facts))
        except OSError:  # nobody is there any more
            sys.exit(1)

    set_num_processes(num_workers)
    try:
        colorizer = Colorizer(settings.options)
    except FilmcolorError as error:
        tell("refused", error)
        return
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = _color(task, settings, colorizer, lambda _, *done: tell("progress", *done))
        tell("finished", outcome)


class _Worker:
    """A process that colours, seen from its parent. It always has a task."""

    def __init__(self, settings: RunSettings, num_workers: int, task: Task) -> None:
        context = get_context("spawn")  # a fork would copy threads' locks, not the threads
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=work, args=(theirs, settings, num_workers), daemon=True
        )
        with _no_interrupt():
            self.process.start()
        theirs.close()  # the process has the only one: when it dies, ours ends
        self.give(task)

    def give(self, task: Task) -> None:
        """Send the next film to colour."""
        self.task = task
        with suppress(OSError):  # it has just died: `hear` will say so
            self.pipe.send(task)

    def hear(self) -> tuple[str, tuple[Any, ...]]:
        """Return what the process says: (kind, facts); "died" when it says no more."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return "died", ()

    def stop(self) -> str:
        """End the process, which has nothing more to do or is dead, and say how it ended."""
        self.pipe.close()
        return self.join()

    def join(self) -> str:
        """Wait for the process's end and say how it ended."""
        self.process.join(_STOP_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"its process died ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def last_words(self) -> Iterator[Outcome]:
        """Yield the outcome of a film that was finished as its process was stopped."""
        kind = ""
        while kind != "died":
            kind, facts = self.hear()
            if kind == "finished":
                yield facts[0]


def _color(
    task: Task, settings: RunSettings, colorizer: Colorizer, progress: TaskProgress
) -> Outcome:
    def tell(done: int, total: int | None) -> None:
        progress(task, done, total)

    try:
        if task.segments:
            run = Run.prepare(task.film, task.output, settings)
            color_missing(run, colorizer, tell, task.segments)
            return Outcome(task.film)
        report = run_film(task.film, task.output, settings, colorizer, tell)
    except FilmcolorError as error:
        return Outcome(task.film, error=error)
    except Exception as error:  # a bug, or the machine's fault: the other films go on
        _log.exception("%s", task.film)
        reason = " ".join(f"{type(error).__name__} {error}".split())
        message = f"{reason}; the traceback says where"
        return Outcome(task.film, error=FilmcolorError(message))
    return Outcome(task.film, report)


def _exit(*_: object) -> None:
    """Leave as an interrupt does, through everything that cleans up; and only once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let Ctrl-C wait. Processes begin as deaf to it, or would die of it in their imports."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else it begins with the first process, and ends the wait
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
