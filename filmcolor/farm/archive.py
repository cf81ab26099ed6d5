"""Colours the films of whole folders, and keeps books of them. Source folders are only read.

A run first looks at what the last one may have left unfinished (`archive_plan`), then at the
folders (`archive_review`), plans, and hands the films to an engine, whose work `archive_recorder`
enters in the books (`manifest`).
"""

import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filmcolor.errors import OutputError, SettingsError
from filmcolor.farm.archive_hashes import Hasher
from filmcolor.farm.archive_plan import Work, describe_settings, plan_films, recover
from filmcolor.farm.archive_recorder import Recorder
from filmcolor.farm.archive_records import FILM_MISSING, NEEDS_PERSON, VERIFIED, WAITING
from filmcolor.farm.archive_review import Review, check_folder, choose_sources, film_path, review
from filmcolor.farm.manifest import Manifest, now
from filmcolor.files import make_folder
from filmcolor.pipeline.batch import check_jobs
from filmcolor.pipeline.models import check_model, settle
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Progress, RunSettings
from filmcolor.pipeline.tasks import Engine, FilmProgress, Finished, Outcome, Task
from filmcolor.pipeline.workers import run_tasks
from filmcolor.runtime.platform import num_cores
from filmcolor.types.film import WHOLE

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """How an archive is after a run. `films`: all that are in its books, by state.

    `num_colored`, `num_damaged`: of this run. `num_adopted`: outputs that were finished before,
    but not in the books. `num_other_settings`: verified films of other settings or versions.
    """

    review: Review
    films: Mapping[str, Sequence[Path]]
    left_out: Mapping[str, int]
    num_colored: int
    num_adopted: int
    num_damaged: int
    num_other_settings: int
    num_unfinished: int  # that wait, or are gone before they were ever coloured

    @property
    def num_films(self) -> int:
        """The number of films in the books."""
        return sum(map(len, self.films.values()))

    @property
    def is_complete(self) -> bool:
        """Whether every film was verified, and none needs a person.

        Those that were verified, and are gone from their folder, do not.
        """
        return not self.num_unfinished and not any(map(self.films.get, NEEDS_PERSON))


def local_engine(jobs: int) -> Engine:
    """Return the engine that colours `jobs` films at a time on this machine."""
    check_jobs(jobs)

    def color(tasks: Sequence[Task], settings: RunSettings, *callbacks: Any) -> None:
        run_tasks(tasks, settings, min(jobs, len(tasks)), *callbacks)

    return color


def color_archive(
    folders: Sequence[str | Path],
    archive: str | Path,
    settings: RunSettings,
    engine: Engine,
    *,
    retry: bool = False,
    progress: FilmProgress | None = None,
    finished: Finished | None = None,
) -> ArchiveSummary:
    """Colour the films of folders into the folder `archive`, which has the same tree and the books.

    Films that were verified are skipped at once while both files are as the books have them.
    `folders`: none for those of the books. `settings.force` allows replacing outputs that are not
    in the books or have been changed. `retry`: also colour films that failed, were replaced, or
    whose output is missing. `engine`: see `local_engine` and `farm.ray_engine`.
    `progress(film, done, total)` is called while a film is coloured, `finished(outcome)` after it.
    Raises a FilmcolorError for errors that concern all films; the books are then right, and the
    same call goes on.
    """
    options = settings.options
    if options.references or options.hints:
        raise SettingsError("references and hints are of one film; run that film by itself")
    if settings.time_range != WHOLE:
        raise SettingsError("an archive holds whole films; leave out the range")
    settings = replace(settings, options=settle(options))
    check_model(settings.options)
    content = describe_settings(settings)
    folder = Path(archive)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; an archive is a folder, name another with -o")
    if not folder.exists() and not folders:
        raise OutputError(f"{folder} is not there; name the folders of its films")
    for films in map(Path, folders):  # before anything is made
        check_folder(films, folder)
    make_folder(folder)
    folder = folder.resolve()
    with Manifest.write(folder) as manifest:
        run = _ArchiveRun(manifest, settings, content, finished)
        return run.color([Path(f) for f in folders], engine, retry, progress)


class _ArchiveRun:
    """One call of the command, with the books open."""

    def __init__(
        self,
        manifest: Manifest,
        settings: RunSettings,
        content: Mapping[str, Any],
        finished: Finished | None,
    ) -> None:
        self._manifest, self._settings = manifest, settings
        self._finished = finished or (lambda _: None)
        self._settings_id = manifest.settings_id(content)
        self._num_adopted = self._num_colored = self._num_damaged = 0

    def color(
        self,
        folders: Sequence[Path],
        engine: Engine,
        retry: bool,
        progress: FilmProgress | None,
    ) -> ArchiveSummary:
        """Colour what is to be coloured; see `color_archive`."""
        manifest = self._manifest
        sources = choose_sources(manifest, folders)
        recover(manifest, self._settings, self._adopted)
        found = review(manifest, sources)
        run_id = manifest.insert(
            "runs",
            settings_id=self._settings_id,
            started_at=now(),
            machine=_describe_machine(),
        )
        recorder = Recorder(manifest, run_id, self._settings_id, progress, self._finish)
        ending = "stopped"
        try:
            works = plan_films(
                manifest,
                sources,
                self._settings,
                self._settings_id,
                retry=retry,
                force=self._settings.force,
                failed=recorder.fail_early,
                adopted=self._adopted,
            )
            with Hasher(manifest) as hasher:
                recorder.begin(works, hasher)
                self._add_unhashed(hasher)
                self._run_engine(engine, works, recorder)
            ending = "done"
        except KeyboardInterrupt:
            ending = "interrupted"
            raise
        finally:
            recorder.end(ending)
        return self._summary(found)

    def _run_engine(self, engine: Engine, works: Sequence[Work], recorder: Recorder) -> None:
        if not works:
            return
        for work in works:
            make_folder(work.output.parent)
        tasks = [_ArchiveTask(work.film, work.output) for work in works]
        # what may not be replaced has been left out
        settings = replace(self._settings, force=True)
        try:
            engine(tasks, settings, recorder.advance, recorder.finish)
        finally:
            for work in works:
                _remove_empty(work.output.parent, self._manifest.folder)

    def _add_unhashed(self, hasher: Hasher) -> None:
        sources = {source.id: source for source in self._manifest.sources()}
        for film in self._manifest.films():
            if film.state == VERIFIED and None in (film.sha256, film.output_sha256):
                hasher.add(film.id, film_path(sources[film.source_id], film.path))

    def _adopted(self, path: Path, report: Report) -> None:
        self._num_adopted += 1
        _log.info("%s: its output %s was finished before: verified", path, report.output)

    def _finish(self, outcome: Outcome) -> None:
        if outcome.report:
            self._num_colored += 1
            self._num_damaged += bool(outcome.report.damage)
        self._finished(outcome)

    def _summary(self, found: Review) -> ArchiveSummary:
        films = self._manifest.films()
        sources = {source.id: source for source in self._manifest.sources()}
        left_out: Counter[str] = Counter()
        for source in sources.values():
            left_out.update(source.left_out)
        by_state: dict[str, list[Path]] = {}
        for film in films:
            path = film_path(sources[film.source_id], film.path)
            by_state.setdefault(film.state, []).append(path)
        return ArchiveSummary(
            found,
            by_state,
            left_out,
            num_colored=self._num_colored,
            num_adopted=self._num_adopted,
            num_damaged=self._num_damaged,
            num_unfinished=sum(
                film.verified_at is None and film.state in (WAITING, FILM_MISSING) for film in films
            ),
            num_other_settings=sum(
                film.state == VERIFIED and film.settings_id != self._settings_id for film in films
            ),
        )


class _ArchiveTask(Task):
    """A task whose beginning is told, before the first frame of its film."""

    __slots__ = ()

    def color(self, settings: RunSettings, pieces: PieceColorizer, progress: Progress) -> Outcome:
        """Colour the film; see `Task`."""
        progress(0, None)
        return Task.color(self, settings, pieces, progress)


def _describe_machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": num_cores(),
    }


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and its parents below `top`, as far as they are empty."""
    with suppress(OSError):
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
