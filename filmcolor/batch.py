"""Colours many films: what can be refused is refused before the first."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filmcolor.copies import FORMATS
from filmcolor.errors import FilmcolorError, OutputError, SettingsError
from filmcolor.frames import WHOLE, Span
from filmcolor.journal import Piece
from filmcolor.pipeline import Look, Progress, Report, Run, Settings
from filmcolor.plan import Encoding, plan_output
from filmcolor.probing import probe
from filmcolor.targets import check_target, make_folder
from filmcolor.workers import (
    FilmProgress,
    Finished,
    Outcome,
    Task,
    color_here,
    color_in_processes,
)

MAX_JOBS = 64


def colorize_films(
    films: Iterable[str | Path],
    output_dir: str | Path | None = None,
    *,
    jobs: int = 1,
    span: Span = WHOLE,
    look: Look | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    skip_existing: bool = False,
    progress: FilmProgress | None = None,
    finished: Finished | None = None,
) -> list[Outcome]:
    """Colour films, `jobs` at a time, and return what became of each, in their order.

    A film that fails does not stop the others. The outputs go into `output_dir`, which is
    made where it is missing, or stand beside their sources, as NAME.color.*. With
    `skip_existing` films that have theirs are left alone.
    `progress(film, done, total)` is called after every frame, `finished(outcome)` after every
    film. Raises a FilmcolorError, before the first film, for what concerns them all, and when
    two outputs would have the same path. With more than one job films are coloured in
    processes of their own, so a script must begin under `if __name__ == "__main__":`.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise SettingsError(f"jobs {jobs} must be 1 to {MAX_JOBS}")
    settings = Settings(look or Look(), encoding or Encoding(), span, force, restart, tag)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        _check_folder(folder)
    sources = {Path(film).resolve(): Path(film) for film in films}
    if len(sources) > 1 and (settings.look.references or settings.look.hints):
        raise SettingsError("references and hints are of one film; run the films one by one")
    outcomes: dict[Path, Outcome] = {}

    def finish(outcome: Outcome) -> None:
        outcomes[outcome.film] = outcome
        if finished:
            finished(outcome)

    def tell(task: Task, done: int, total: int | None) -> None:
        if progress:
            progress(task.film, done, total)

    planned = [_plan(film, folder, settings, skip_existing) for film in sources.values()]
    tasks = [task for task in planned if isinstance(task, Task)]
    _check_clashes(tasks, sources)
    for refused in planned:
        if isinstance(refused, Outcome):
            finish(refused)
    if tasks:
        with _made(folder):
            num_workers = min(jobs, len(tasks))
            if num_workers == 1:
                color_here(tasks, settings, tell, finish)
            else:
                color_in_processes(tasks, settings, num_workers, tell, finish)
    return [outcomes[film] for film in sources.values()]


def colorize_in_processes(
    film: str | Path,
    output: str | Path | None = None,
    *,
    jobs: int,
    span: Span = WHOLE,
    look: Look | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Colour one film as `colorize` does, its pieces in `jobs` processes.

    A piece is about a minute; a film of one piece is coloured here. A script that calls this
    must begin under `if __name__ == "__main__":`.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise SettingsError(f"jobs {jobs} must be 1 to {MAX_JOBS}")
    started = time.monotonic()
    settings = Settings(look or Look(), encoding or Encoding(), span, force, restart, tag)
    run = Run(film, output, settings)
    settings = replace(settings, direction=run.direction)  # no process looks for it again
    with run.held():
        shares = _shares(run.missing(), jobs)
        tasks = [Task(run.info.path, run.plan.path, pieces) for pieces in shares]
        done_before = run.num_done()
        done: dict[Task, int] = {}
        errors: list[str] = []

        def tell(task: Task, num_done: int, _: int | None) -> None:
            done[task] = num_done
            if progress:
                progress(done_before + sum(done.values()), run.num_frames)

        def finish(outcome: Outcome) -> None:
            if outcome.error:
                errors.append(outcome.error)

        if len(tasks) == 1:
            color_here(tasks, settings, tell, finish)
        elif tasks:
            color_in_processes(tasks, settings, min(jobs, len(tasks)), tell, finish)
        if errors:
            raise FilmcolorError(errors[0])
        report = run.join()
    return replace(report, wall_seconds=time.monotonic() - started)


def _shares(missing: Sequence[Sequence[Piece]], jobs: int) -> list[tuple[Piece, ...]]:
    """Share pieces out to at most `jobs` or so, those that follow each other to one."""
    num = sum(map(len, missing))
    most = max(1, -(-num // jobs))
    return [tuple(run[n : n + most]) for run in missing for n in range(0, len(run), most)]


def output_path(film: str | Path, folder: str | Path | None, encoding: Encoding) -> Path:
    """Return where a film's output goes: into a folder, or beside its source when None."""
    path = plan_output(probe(film), None, encoding).path
    return path if folder is None else Path(folder) / path.name


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and many films go into a folder; name another")
    if not folder.exists() and folder.suffix.lower() in FORMATS:
        raise OutputError(f"{folder} looks like a film, and many films go into a folder; name one")


def _plan(
    film: Path, folder: Path | None, settings: Settings, skip_existing: bool
) -> Task | Outcome:
    try:
        output = output_path(film, folder, settings.encoding)
        if skip_existing and output.is_file():
            return Outcome(film, is_skipped=True)
        check_target(output, film, settings.force)
    except FilmcolorError as error:
        return Outcome(film, error=str(error))
    return Task(film, output)


def _check_clashes(tasks: Iterable[Task], sources: Mapping[Path, Path]) -> None:
    """Raise OutputError when an output would be where another is, or where a film is."""
    outputs: dict[Path, Path] = {}
    for task in tasks:
        where = task.output.resolve()
        if where in sources:
            raise OutputError(
                f"{task.film} would become {task.output}, which is a film of this run too; "
                "leave one out, or choose another output folder"
            )
        if where in outputs:
            raise OutputError(
                f"{outputs[where]} and {task.film} would both become {task.output}; "
                "colour them one by one, or into folders of their own"
            )
        outputs[where] = task.film


@contextmanager
def _made(folder: Path | None) -> Iterator[None]:
    """Make a folder and its parents; those in which nothing came to be are taken away again."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()] if folder else []
    try:
        if folder:
            make_folder(folder)
        yield
    finally:
        for path in missing:
            with suppress(OSError):  # it is not empty
                path.rmdir()
