"""Runs one job of the queue, and follows its process."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filmcolor.segments.journal import is_being_written
from filmcolor.studio.job import PAUSED, RUNNING, Job, Speed
from filmcolor.studio.job_process import RunProcess, finished_event

_SAVE_SECONDS = 5.0  # at least, between two savings of progress alone
_ORPHAN_SECONDS = 600.0  # for the run of a server that died to end: it may be verifying its film
_LOOK_SECONDS = 0.5  # between two looks at it


class JobRunner:
    """Runs jobs one after the other. `speed`: of the job that runs.

    `program`: what `run` follows. `log_path`: returns the file of a job's events. `changed`: held
    while a job is changed. `save`: writes the jobs to the disk.
    """

    def __init__(
        self,
        program: Sequence[str],
        log_path: Callable[[Job], Path],
        changed: threading.Condition,
        save: Callable[[], None],
    ) -> None:
        self._program, self._log_path = program, log_path
        self._changed, self._save = changed, save
        self._save_time = 0.0
        self._process: RunProcess | None = None
        self._is_closed = False
        self.speed = Speed()

    def run(self, job: Job) -> None:
        """Run a job until its process has ended, and note how it ended.

        It ends early when the job's state is changed and `interrupt` is called. Raises OutputError
        when there is no process to be had.
        """
        if job.is_orphan:
            self._wait_for_orphan(job)
        with self._changed:
            if self._is_closed or job.state != RUNNING:
                return
            event = finished_event(self._log_path(job)) if job.is_orphan else None
            job.is_orphan = False
            if event is not None:
                job.finish(event)
                return
            job.has_run, job.notes, self.speed = True, [], Speed()
            self._save()
            process = RunProcess(self._program, job.run_arguments, self._log_path(job))
            self._process = process
        error = ""
        try:
            for event in process.events():
                error = self._take(job, event) or error
        finally:
            with self._changed:
                self._process = None
            process.end()
        with self._changed:
            if job.state == RUNNING and not self._is_closed:
                if error or not process.is_interrupted:
                    job.fail(error or process.explain())
                else:
                    job.state = PAUSED  # someone else has interrupted it

    def interrupt(self) -> None:
        """Let the job's process end. Call it with `changed` held."""
        if self._process is not None:
            self._process.interrupt()

    def close(self) -> None:
        """The same for the last time: the job's state stays as it is."""
        self._is_closed = True
        self.interrupt()

    def _wait_for_orphan(self, job: Job) -> None:
        """Wait for the run of a server that died: it ends by itself, at the latest when done."""
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while is_being_written(job.output_path) and time.monotonic() < deadline:
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._is_closed or job.state != RUNNING, _LOOK_SECONDS
                ):
                    return

    def _take(self, job: Job, event: dict[str, Any]) -> str:
        """Take over an event of a job's run; return the error that it names, or nothing."""
        kind = event.get("event")
        with self._changed:
            if kind == "progress":
                self.speed.add(event["done"])
                job.advance(event["done"], event["total"])
                if time.monotonic() - self._save_time >= _SAVE_SECONDS:
                    self._save_time = time.monotonic()
                    self._save()
            elif kind == "notice":
                job.notes.append(str(event["text"]))
            elif kind == "finished":
                job.finish(event)
        return str(event["error"]) if kind == "failed" else ""
