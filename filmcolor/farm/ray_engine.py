"""Colours films on a Ray cluster: the driver.

The driver plans the films, hands out their pieces and joins, and holds the locks of the outputs.
Pieces are files beside the outputs, in folders that all nodes see under the same paths, so a lost
node or driver costs the pieces that were being coloured, and nothing else.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from filmcolor.errors import FilmcolorError, SettingsError
from filmcolor.farm.ray_cluster import connected
from filmcolor.farm.ray_film import Film, Planner
from filmcolor.farm.ray_fleet import START, Cancelled, Fleet, Lost, Worker
from filmcolor.farm.ray_worker import Done
from filmcolor.pipeline.pieces import Piece, PieceQueue
from filmcolor.pipeline.run import RunSettings
from filmcolor.pipeline.saved_run import open_run
from filmcolor.pipeline.tasks import Engine, Finished, Outcome, Task

CORES = 2  # of a worker: a run keeps both busy, and more cores for one run pay less and less
MAX_CORES = 1024
_MAX_ATTEMPTS = 3  # at a piece whose worker dies, or which fails for a reason that may pass
_MIN_AHEAD = 2  # films that are planned before a worker needs one
_WAIT_SECONDS = 0.5  # for messages, between two looks at planned films
_PATIENCE_SECONDS = 30.0  # without a worker, before a line in the log
_JOIN = -1  # in place of a piece's number
_log = logging.getLogger(__name__)


def run_tasks_on_ray(
    tasks: Sequence[Task],
    settings: RunSettings,
    progress: Callable[[Task, int, int | None], None],
    finished: Finished,
    *,
    cores: int = CORES,
) -> None:
    """Colour films on the Ray cluster of RAY_ADDRESS, or the one running here.

    `progress(task, done, total)` is called twice a second for each worker, `finished(outcome)`
    after every film. `cores`: CPUs for each worker; on a node with GPUs each of those has one. The
    films and the folders of their outputs must have the same paths on all nodes. Pieces that an
    interrupted run has finished are used. Raises SettingsError without a cluster, or for one that
    lets anybody in, and FilmcolorError when no node can colour.
    """
    if not 1 <= cores <= MAX_CORES:
        raise SettingsError(f"cores {cores} must be 1 to {MAX_CORES}")
    with connected() as ray:
        fleet = Fleet(ray, settings.options.device, cores)
        _Driver(fleet, Planner(list(tasks), settings), progress, finished).run()


def ray_engine(cores: int = CORES) -> Engine:
    """Return the engine that colours films on Ray, for `colorize_many` and archives."""

    def color(
        tasks: Sequence[Task],
        settings: RunSettings,
        progress: Callable[[Task, int, int | None], None],
        finished: Finished,
    ) -> None:
        run_tasks_on_ray(tasks, settings, progress, finished, cores=cores)

    return color


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker does for a film: a piece, or the join if the number is _JOIN."""

    film: Film
    number: int
    last: int = 0


class _Driver:
    """One call of `run_tasks_on_ray`."""

    def __init__(
        self,
        fleet: Fleet,
        planner: Planner,
        progress: Callable[[Task, int, int | None], None],
        finished: Finished,
    ) -> None:
        self._fleet, self._planner = fleet, planner
        self._progress, self._finished = progress, finished
        self._films: list[Film] = []  # planned, and not finished
        self._pieces = PieceQueue()
        self._joins: deque[Film] = deque()
        self._deaths: list[tuple[Worker, _Job]] = []  # whose node may have died, too
        self._last_worker = time.monotonic()

    def run(self) -> None:
        """Colour all films; stops the workers and releases the films however it ends."""
        try:
            while self._films or len(self._planner):
                self._look_after_nodes()
                self._plan()
                self._hand_out()
                for message in self._fleet.messages(_WAIT_SECONDS):
                    self._handle(*message)
        except BaseException as error:
            explained = self._stop(error)
            if explained is None:
                raise
            raise explained from error
        self._stop(None)

    def _stop(self, error: BaseException | None) -> BaseException | None:
        """Stop the workers and release the films.

        Returns an error that also says what is finished and how to go on, None if there is none.
        """
        pieces = [w for w in self._fleet.workers if _is_piece(w.job)]
        for worker, job, message in self._fleet.stop(pieces):
            if isinstance(job, _Job) and isinstance(message, Done) and message.report:
                self._handle_done(worker, job, message)
        self._planner.close()
        explained = [film.close(error) for film in self._films]
        return explained[0] if len(explained) == 1 else None

    # ------------------------------------------------------------ films

    def _plan(self) -> None:
        num_unstarted = sum(film.started is None for film in self._films)
        num_ahead = max(_MIN_AHEAD, len(self._fleet.workers)) - num_unstarted
        self._planner.go_on(num_ahead)
        for task, film in self._planner.take():
            if isinstance(film, FilmcolorError):
                self._finished(task.failed(film))
                continue
            self._films.append(film)
            self._pieces.add(film, sorted(film.missing))
            if not film.missing:
                self._joins.append(film)

    def _fail(self, film: Film, error: FilmcolorError) -> None:
        """End a film once its other jobs have stopped."""
        film.error = film.error or error
        self._pieces.remove_film(film)
        jobs = ((w, w.job) for w in self._fleet.workers)
        self._fleet.cancel(w for w, job in jobs if _is_piece(job) and job.film is film)
        self._close_failed(film)

    def _close_failed(self, film: Film) -> None:
        if film.error and not film.num_running and film in self._films:
            self._films.remove(film)
            error = film.close(film.error)
            assert isinstance(error, FilmcolorError)
            self._finished(film.task.failed(error))

    # ------------------------------------------------------------ workers

    def _look_after_nodes(self) -> None:
        for worker in self._fleet.update():
            self._handle(worker, worker.job, Lost("its node is gone"))
        is_busy = any(worker.job is not None for worker in self._fleet.workers)
        if self._fleet.num_usable_nodes or is_busy:
            self._last_worker = time.monotonic()
        elif self._fleet.fault and self._films:
            raise FilmcolorError(f"no node can colour; {self._fleet.fault}")
        elif time.monotonic() - self._last_worker > _PATIENCE_SECONDS:
            self._last_worker = time.monotonic()
            _log.warning("no node of the Ray cluster has CPUs for a worker; waiting for one")

    def _hand_out(self) -> None:
        for worker in self._fleet.idle():
            job = self._next_job(worker)
            if job is None:
                continue
            job.film.begin()
            if job.number == _JOIN:
                self._fleet.assign(worker, job, "join", job.film.folder)
            else:
                args = job.film.folder, job.number, job.last
                self._fleet.assign(worker, job, "color", *args)

    def _next_job(self, worker: Worker) -> _Job | None:
        while self._joins:
            film = self._joins.popleft()
            try:
                film.run.check_source()
            except FilmcolorError as error:
                self._fail(film, error)
            else:
                if self._may_try(job := _Job(film, _JOIN)):
                    return job
        while (piece := self._pieces.next(worker)) is not None:
            assert isinstance(piece.film, Film)
            if self._may_try(job := _Job(piece.film, piece.number, piece.last)):
                return job
        return None

    def _may_try(self, job: _Job) -> bool:
        """Return whether a job has not killed too many workers; else its film ends."""
        if job.film.num_failures[job.number] < _MAX_ATTEMPTS:
            return True
        what = "the join" if job.number == _JOIN else f"piece {job.number}"
        self._fail(
            job.film,
            FilmcolorError(
                f"{what} of {job.film.task.film} failed {_MAX_ATTEMPTS} times, with the worker "
                "that did it: out of memory? use nodes with more of it, or more --cores"
            ),
        )
        return False

    def _handle(self, worker: Worker, job: object, message: object) -> None:
        """Handle a message of a worker about its job."""
        if isinstance(message, Lost):
            self._pieces.remove_worker(worker)
        if isinstance(job, _Job):
            self._handle_job(worker, job, message)
        elif job == START and isinstance(message, Done):
            self._blame(worker)
        elif job == START and isinstance(message, Lost):
            self._fleet.refuse_start(worker, f"no worker starts: {_last_line(message.reason)}")

    def _handle_job(self, worker: Worker, job: _Job, message: object) -> None:
        film = job.film
        if isinstance(message, int):
            self._advance(job, message)
            return
        film.num_running -= 1
        if film.error:
            self._close_failed(film)
        elif isinstance(message, Lost):
            self._deaths.append((worker, job))
            self._put_back(job)
        elif isinstance(message, Cancelled):
            self._put_back(job)
        elif isinstance(message, Done):
            self._handle_done(worker, job, message)

    def _handle_done(self, worker: Worker, job: _Job, done: Done) -> None:
        film = job.film
        if done.is_refused:
            self._handle_refusal(worker, job, done)
        elif done.error:
            film.num_failures[job.number] += 1
            if done.is_temporary and film.num_failures[job.number] < _MAX_ATTEMPTS:
                self._put_back(job)
            else:
                self._fail(film, done.error)
        elif done.report:
            self._films.remove(film)
            self._finished(Outcome(film.task.film, film.finish(done.report)))
        else:
            if done.num_frames:
                self._advance(job, done.num_frames)
            film.missing.discard(job.number)
            if not film.missing:
                self._joins.append(film)

    def _handle_refusal(self, worker: Worker, job: _Job, done: Done) -> None:
        """End the film if it cannot be opened here either; else the node lacks something."""
        assert done.error
        try:
            open_run(job.film.folder)
        except FilmcolorError as error:
            self._fail(job.film, error)
            return
        self._fleet.refuse(worker, str(done.error))
        self._pieces.remove_worker(worker)
        self._put_back(job)

    def _put_back(self, job: _Job) -> None:
        """Have a job done again, by any worker."""
        if job.number == _JOIN:
            self._joins.append(job.film)
        else:
            self._advance(job, 0)
            self._pieces.put_back(Piece(job.film, job.number, job.last))

    def _blame(self, started: Worker) -> None:
        """Count the deaths on a node for their pieces, once another worker has started there.

        That shows that the node did not die. Deaths with their node count for nobody.
        """
        on_node = [entry for entry in self._deaths if entry[0].node == started.node]
        self._deaths = [entry for entry in self._deaths if entry[0].node != started.node]
        for _, job in on_node:
            job.film.num_failures[job.number] += 1

    def _advance(self, job: _Job, num_done: int) -> None:
        film = job.film
        film.advance(job.number, num_done)
        self._progress(film.task, film.num_done(), film.run.num_frames)


def _is_piece(job: object) -> bool:
    return isinstance(job, _Job) and job.number != _JOIN


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
