"""Enters in an archive's books what an engine does: films that begin, go on and end.

An attempt is entered when its film begins, and an output after it is verified, named and on the
disk. Worker processes do not wait for the entry, so a run that is killed may leave an output of a
film without an attempt: the next run finds it in the output's place.
"""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from filmcolor.errors import FilmcolorError, InputError, OutputError, StorageError
from filmcolor.farm.archive_files import read_facts
from filmcolor.farm.archive_hashes import Hasher
from filmcolor.farm.archive_plan import Work, enter_output, is_foreign
from filmcolor.farm.archive_records import (
    FAILED,
    RUNNING,
    VERIFIED,
    WAITING,
    FilmRecord,
)
from filmcolor.farm.manifest import Manifest, now
from filmcolor.pipeline.tasks import FilmProgress, Finished, Outcome, Task

_SAVE_SECONDS = 10.0  # between two entries of how far films are
_FREE_BYTES = 64 << 20  # on the archive's disk; with less, it is full for every film

_clock = time.monotonic


@dataclass(slots=True)
class _Attempt:
    """A film that is being coloured."""

    work: Work
    attempt_id: int
    started: float  # seconds
    wall_before: float  # seconds of earlier attempts
    first_done: int | None = None  # frames that were done when the first frame came
    done: int = 0
    total: int | None = None

    @property
    def film_seconds(self) -> float:
        """How much of the film this attempt has coloured."""
        length = self.work.record.film_seconds
        if not length or not self.total or self.first_done is None:
            return 0.0
        return length * min(1.0, (self.done - self.first_done) / self.total)


class Recorder:
    """Enters what an engine does in the books."""

    def __init__(
        self,
        manifest: Manifest,
        run_id: int,
        settings_id: int,
        progress: FilmProgress | None,
        finished: Finished,
    ) -> None:
        self._manifest, self._run_id, self._settings_id = manifest, run_id, settings_id
        self._progress, self._finished = progress, finished
        self._works: dict[Path, Work] = {}
        self._attempts: dict[Path, _Attempt] = {}
        self._hasher: Hasher | None = None
        self._started = self._saved = _clock()
        self._film_seconds = 0.0  # of finished attempts
        self._is_stopped = False

    def begin(self, works: Sequence[Work], hasher: Hasher) -> None:
        """Take the films that will be coloured."""
        self._works = {work.film: work for work in works}
        self._hasher = hasher
        self._started = self._saved = _clock()

    def fail_early(self, film: FilmRecord, path: Path, error: FilmcolorError) -> None:
        """Enter that a film cannot be coloured."""
        self._works[path] = Work(film, path, Path())
        self.finish(Outcome(path, error=error))

    def advance(self, task: Task, done: int, total: int | None) -> None:
        """Enter that a film has begun, and from time to time how far all are."""
        if task.film not in self._attempts:
            self._start(task.film)
        attempt = self._attempts[task.film]
        if done == 0:
            return
        if attempt.first_done is None:
            attempt.first_done = done - 1
        attempt.done, attempt.total = done, total
        if _clock() - self._saved >= _SAVE_SECONDS:
            self._save()
        if self._progress:
            self._progress(task.film, done, total)

    def _start(self, path: Path) -> None:
        manifest, work = self._manifest, self._works[path]
        facts = read_facts(path)
        before = read_facts(work.output) if work.record.output else None
        with manifest.transaction():
            film = manifest.film(work.record.id)
            manifest.update(
                "films",
                film.id,
                state=RUNNING,
                settings_id=self._settings_id,
                attempts=film.attempts + 1,
                **(asdict(facts) if facts else {}),
                sha256=None,
                output_size=before.size if before else None,
                output_modified_ns=before.modified_ns if before else None,
                output_ends=before.ends if before else None,
                output_sha256=None,
                verified_at=None,
                verdict=None,
                notes=(),
                damage=(),
                error=None,
                frames_done=0,
            )
            attempt_id = manifest.insert(
                "attempts",
                film_id=film.id,
                run_id=self._run_id,
                started_at=now(),
                size=facts.size if facts else None,
                ends=facts.ends if facts else None,
            )
        self._attempts[path] = _Attempt(work, attempt_id, _clock(), film.wall_seconds)

    def finish(self, outcome: Outcome) -> None:
        """Enter how the work on a film has ended; raises OutputError when the disk is full."""
        if outcome.film not in self._attempts:
            self._start(outcome.film)
        attempt = self._attempts.pop(outcome.film)
        film = self._manifest.film(attempt.work.record.id)
        reason = self._common_reason(outcome.error, attempt.work)
        with self._manifest.transaction():
            if outcome.report:
                self._enter_verified(attempt, film, outcome)
            elif reason:
                self._enter_ending(attempt, film, "interrupted", WAITING, str(outcome.error))
            else:
                self._enter_ending(attempt, film, "failed", FAILED, str(outcome.error))
                self._manifest.update("films", film.id, error=str(outcome.error))
            self._save()
        if outcome.report and self._hasher:
            self._hasher.add(film.id, outcome.film)
        if not reason:
            self._finished(outcome)
        elif not self._is_stopped:  # while the engine ends, others may report the same
            self._is_stopped = True
            kind = type(outcome.error) if outcome.error else OutputError
            raise kind(f"{outcome.error}; {reason}") from outcome.error

    def _enter_verified(self, attempt: _Attempt, film: FilmRecord, outcome: Outcome) -> None:
        report = outcome.report
        assert report is not None
        facts = read_facts(report.output)
        if facts is None:
            raise OutputError(f"{report.output} was there and is gone; what removes it?")
        self._film_seconds += attempt.film_seconds
        self._enter_ending(attempt, film, "verified", VERIFIED, None)
        enter_output(self._manifest, film, facts, report)
        place = report.output.relative_to(self._manifest.folder).as_posix()
        self._manifest.update("attempts", attempt.attempt_id, output=place, output_size=facts.size)

    def _enter_ending(
        self, attempt: _Attempt, film: FilmRecord, ending: str, state: str, error: str | None
    ) -> None:
        seconds = _clock() - attempt.started
        self._manifest.update(
            "attempts",
            attempt.attempt_id,
            ended_at=now(),
            ending=ending,
            error=error,
            wall_seconds=seconds,
        )
        wall_seconds = attempt.wall_before + seconds
        self._manifest.update("films", film.id, state=state, wall_seconds=wall_seconds)

    def _common_reason(self, error: FilmcolorError | None, work: Work) -> str:
        """Return what to do about an error that every film would have, "" for an error of one."""
        if isinstance(error, InputError) and _is_gone(_source_folder(work)):
            return f"the run stops; connect the disk of {_source_folder(work)}, then go on"
        if isinstance(error, StorageError):
            return "the run stops; the same command goes on"
        if isinstance(error, OutputError):
            folder = self._manifest.folder
            with suppress(OSError):
                if shutil.disk_usage(folder).free > _FREE_BYTES:
                    return ""
            return f"the run stops; make room for {folder}, then the same command goes on"
        return ""

    def _save(self) -> None:
        """Enter how far films are."""
        self._saved = _clock()
        film_seconds = self._film_seconds + sum(a.film_seconds for a in self._attempts.values())
        with self._manifest.transaction():
            self._manifest.update(
                "runs",
                self._run_id,
                film_seconds=film_seconds,
                wall_seconds=_clock() - self._started,
            )
            for attempt in self._attempts.values():
                seconds = _clock() - attempt.started
                self._manifest.update(
                    "films",
                    attempt.work.record.id,
                    frames_done=attempt.done,
                    frames=attempt.total,
                    wall_seconds=attempt.wall_before + seconds,
                )
                self._manifest.update("attempts", attempt.attempt_id, wall_seconds=seconds)

    def end(self, ending: str) -> None:
        """Enter that the run has ended; its unfinished films are waiting.

        One whose output was finished just before is left as it is: the next run looks at it.
        """
        with self._manifest.transaction():
            self._save()
            for attempt in self._attempts.values():
                film = self._manifest.film(attempt.work.record.id)
                if not is_foreign(replace(attempt.work, record=film)):
                    self._enter_ending(attempt, film, "interrupted", WAITING, None)
            self._manifest.update("runs", self._run_id, ended_at=now(), ending=ending)


def _source_folder(work: Work) -> Path:
    """Return the source folder of a film."""
    # a film that is the folder itself, of images, has no parts
    return [work.film, *work.film.parents][len(PurePosixPath(work.record.path).parts)]


def _is_gone(folder: Path) -> bool:
    """Return whether a folder is not there, or empty as the place of a disk that is unplugged."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return True
