"""The queue of films that are coloured one after the other, each as a run in its own process.

    queue.json       the jobs, written with every change of a state
    queue.lock       held by the server whose queue it is
    jobs/ID.jsonl    the events of a job's runs, which may outlast the server

A run is what the job's command does in a terminal, so a job that was paused, or whose server died,
goes on after its last finished segment.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from filmcolor.errors import FilmcolorError, OutputError, SettingsError
from filmcolor.files import check_target, make_folder
from filmcolor.output.image_formats import is_image_output
from filmcolor.output.options import Encoding, OutputPlan
from filmcolor.output.plan import plan_output
from filmcolor.segments.journal import discard_segments
from filmcolor.studio.command import run_command
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.studio.job import (
    DONE,
    PAUSED,
    RUNNING,
    STOPPED,
    UNFINISHED,
    WAITING,
    Job,
    load_jobs,
    save_jobs,
)
from filmcolor.studio.job_process import PROGRAM
from filmcolor.studio.job_runner import JobRunner
from filmcolor.studio.state_lock import lock_state
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

_END_SECONDS = 30.0  # for an interrupted run to end
_log = logging.getLogger(__name__)


class Corrected(Protocol):
    """The corrections of a film."""

    def arguments(
        self,
        output: Path | None = None,
        purpose: str = "share",
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        force: bool = False,
    ) -> list[str]:
        """Return what follows `filmcolor run` in the command that gives the film."""


class JobFilm(Protocol):
    """A film that can be put into the queue."""

    @property
    def id(self) -> str:
        """Its identifier on the page."""

    @property
    def path(self) -> Path:
        """Its absolute path."""

    @property
    def info(self) -> FilmInfo:
        """Its properties."""

    @property
    def index(self) -> FrameIndex:
        """Its frames' times."""

    @property
    def corrections(self) -> Corrected:
        """What gives its colours."""


class JobQueue:
    """Runs films one at a time, in the order of the queue; safe to use from threads.

    It begins at once with what the last server left unfinished.
    """

    def __init__(self, state_folder: Path, program: Sequence[str] = PROGRAM) -> None:
        """Open the queue that is kept in a folder. `program`: what `run` follows.

        Raises ConflictError while another server uses the folder, OutputError when it cannot be
        written.
        """
        self._folder, self._program = state_folder, program
        self._lock = lock_state(state_folder)
        make_folder(state_folder / "jobs")
        self._jobs = load_jobs(self._path)
        self._changed = threading.Condition(threading.RLock())
        self._runner = JobRunner(program, self._log_path, self._changed, self._try_to_save)
        self._running: Job | None = None  # whose process may not have ended
        self._discarded: set[str] = set()  # it, if its segments are to be removed then
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ what the page asks for

    def suggest(
        self,
        film: JobFilm,
        purpose: str,
        output: Path | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Return where a run of a film would write, and its command."""
        path = _plan(film, purpose, output).path
        return {
            "output": str(path),
            "exists": path.exists(),
            "command": run_command(
                film.corrections.arguments(path, purpose, start_seconds, end_seconds)
            ),
            "folder": str(path.parent),
        }

    def state(self) -> dict[str, Any]:
        """Return all jobs, in the order in which they run."""
        with self._changed:
            return {"jobs": [self._json(job) for job in self._jobs]}

    def add(
        self,
        film: JobFilm,
        purpose: str,
        output: Path | None = None,
        *,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Put a film, or the frames between two times, into the queue; return the job.

        The caller checks that the output may be written. Raises OutputError for one that exists,
        unless `force`, ConflictError for one that another job writes, and the errors that a run
        would end with before its first frame.
        """
        path = _plan(film, purpose, output).path
        check_target(path, film.path, force)
        if start_seconds is not None or end_seconds is not None:
            resolve(film.info, TimeRange(start_seconds, end_seconds), film.index)
        arguments = film.corrections.arguments(path, purpose, start_seconds, end_seconds, force)
        job = Job(
            id=uuid.uuid4().hex[:12],
            film=film.id,
            film_name=film.path.name,
            output=str(path),
            purpose=purpose,
            arguments=arguments,
            command=run_command(arguments),
        )
        with self._changed:
            self._check_output(job)
            self._jobs.append(job)
            try:
                self._save()
            except OutputError:
                self._jobs.remove(job)
                raise
            self._changed.notify_all()
            return self._json(job)

    def pause(self, identifier: str) -> dict[str, Any]:
        """Interrupt a job; its finished segments are kept, and `resume` goes on after them."""

        def change(job: Job) -> None:
            if job.state not in UNFINISHED:
                raise ConflictError(f"{job.film_name} is {job.state}: there is nothing to pause")
            job.state = PAUSED
            if self._running is job:
                self._runner.interrupt()

        return self._change(identifier, change)

    def resume(self, identifier: str) -> dict[str, Any]:
        """Let a paused job go on; a failed or stopped one is tried again.

        A job that failed because its segments are of other settings begins again.
        """

        def change(job: Job) -> None:
            if job.state == DONE:
                raise ConflictError(f"{job.film_name} is done; put it into the queue once more")
            if job.state not in (WAITING, RUNNING):
                self._check_output(job)
                job.needs_restart = job.needs_restart or "--restart" in job.error
                job.state, job.error = WAITING, ""

        return self._change(identifier, change)

    def stop(self, identifier: str) -> dict[str, Any]:
        """End a job for good, and remove what is unfinished."""

        def change(job: Job) -> None:
            if job.state == DONE:
                raise ConflictError(f"{job.film_name} is done: there is nothing to stop")
            job.state, job.error, job.done = STOPPED, "", 0
            if self._running is job:
                self._discarded.add(job.id)
                self._runner.interrupt()
            elif job.has_run:
                discard_segments(job.output_path)

        return self._change(identifier, change)

    def remove(self, identifier: str) -> None:
        """Take a job that is not running from the list; what it has written stays."""
        with self._changed:
            job = self._find(identifier)
            if job.state != RUNNING:
                self._changed.wait_for(lambda: self._running is not job, _END_SECONDS)
            if job.state == RUNNING or self._running is job:
                raise ConflictError(f"{job.film_name} is running; pause or stop it first")
            if job not in self._jobs:
                return  # by another tab, meanwhile
            self._jobs.remove(job)
            self._save()
            self._log_path(job).unlink(missing_ok=True)

    def output_path(self, identifier: str) -> Path:
        """Return the finished film of a job. Raises ConflictError before, NotFoundError."""
        with self._changed:
            job = self._find(identifier)
        if job.state != DONE:
            raise ConflictError(f"{job.film_name} is {job.state}; its film is not finished")
        if not job.output_path.is_file():
            raise NotFoundError(f"{job.output} is gone; put the film into the queue once more")
        return job.output_path

    def close(self) -> None:
        """Interrupt the job that runs. The next queue in this folder goes on with it."""
        with self._changed:
            self._is_closed = True
            self._runner.close()
            self._changed.notify_all()
        self._thread.join()
        self._lock.release()

    # ------------------------------------------------------------ helpers, in the lock

    @property
    def _path(self) -> Path:
        return self._folder / "queue.json"

    def _log_path(self, job: Job) -> Path:
        return self._folder / "jobs" / f"{job.id}.jsonl"

    def _find(self, identifier: str) -> Job:
        for job in self._jobs:
            if job.id == identifier:
                return job
        raise NotFoundError("this film is no longer in the queue; look at the list again")

    def _change(self, identifier: str, change: Callable[[Job], None]) -> dict[str, Any]:
        with self._changed:
            job = self._find(identifier)
            change(job)
            self._save()
            self._changed.notify_all()
            return self._json(job)

    def _check_output(self, job: Job) -> None:
        """Raise ConflictError when another job that is not finished writes the same file."""
        path = job.output_path.resolve()
        for other in self._jobs:
            is_other = other is not job and other.state in UNFINISHED
            if is_other and other.output_path.resolve() == path:
                raise ConflictError(
                    f"{path} is written by another job, of {other.film_name}; choose another "
                    "output, or stop that job"
                )

    def _json(self, job: Job) -> dict[str, Any]:
        return job.to_json(self._runner.speed if job.state == RUNNING else None)

    def _save(self) -> None:
        save_jobs(self._path, self._jobs)

    def _try_to_save(self) -> None:
        """Save what changed by itself: a full disk must not end the queue."""
        try:
            self._save()
        except OutputError as error:
            _log.warning("%s", error)

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._next())
                job = self._next()
                if self._is_closed or job is None:
                    return
                job.state, self._running = RUNNING, job
                self._try_to_save()
            try:
                self._runner.run(job)
            except FilmcolorError as error:
                job.fail(str(error))
            except Exception:
                _log.exception("%s", job.command)
                job.fail("the run could not be followed; the server's log says why")
            with self._changed:
                self._running = None
                if job.id in self._discarded and job.state != DONE:
                    discard_segments(job.output_path)
                    job.done = 0
                self._discarded.discard(job.id)
                self._try_to_save()
                self._changed.notify_all()

    def _next(self) -> Job | None:
        """Return the job whose turn it is: first one that the last server left unfinished."""
        for job in self._jobs:
            if job.is_orphan and job.state in (RUNNING, WAITING):
                return job
        return next((job for job in self._jobs if job.state == WAITING), None)


def _plan(film: JobFilm, purpose: str, output: Path | None) -> OutputPlan:
    """Return what a run would write; raises a FilmcolorError when it cannot."""
    if output is not None and is_image_output(output):
        raise SettingsError(f"{output}: the studio writes films; write images in a terminal")
    return plan_output(film.info, output, Encoding(purpose))
