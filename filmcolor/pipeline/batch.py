"""Colours one film or many: the public entry points, and the checks before the first film.

Errors that can be found before a film is decoded are raised or reported first, for all films.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from filmcolor.errors import FilmcolorError, OutputError, SettingsError, without_traceback
from filmcolor.files import check_target, new_folder
from filmcolor.output.image_formats import IMAGE_FORMATS
from filmcolor.output.options import FORMATS, Encoding
from filmcolor.output.plan import plan_output
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.models import check_model, load_model, settle
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import numbers_of, run_film
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Progress, Run, RunSettings
from filmcolor.pipeline.saved_run import save_run
from filmcolor.pipeline.tasks import (
    Engine,
    FilmProgress,
    Finished,
    Outcome,
    PieceOutcome,
    PieceTask,
    PieceTasks,
    Task,
)
from filmcolor.pipeline.workers import WorkerPool, run_tasks
from filmcolor.runtime.profiler import Profiler
from filmcolor.types.film import WHOLE, TimeRange

MAX_JOBS = 64


def colorize(
    film: str | Path,
    output: str | Path | None = None,
    *,
    jobs: int = 1,
    time_range: TimeRange = WHOLE,
    options: ColorOptions | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    strict_equal: bool = False,
    progress: Progress | None = None,
    colorizer: Colorizer | None = None,
    profiler: Profiler | None = None,
    engine: Engine | None = None,
) -> Report:
    """Colour a film, or a range of it, and write it with everything else that it holds.

    The output is verified against the film before it gets its name; without `output` it is
    NAME.color.* beside the film. Segments that an interrupted run of the same film and settings
    finished are reused, unless `restart`. `jobs`: processes that colour the film's segments of
    about a minute each; a script that uses more than one must run under
    `if __name__ == "__main__":`. `tag`: say in the output's metadata that its colour was added.
    `strict_equal`: refuse segments of machines with other kernels or library versions.
    `progress(done, total)` is called after every frame; total is None where it is unknown.
    `colorizer`: loaded weights with their own options; with several jobs only its options are used.
    `profiler`: measures the stages, with one job only. `engine`: colours the film elsewhere than
    in `jobs` processes here; see `farm.ray_engine`.
    Raises a FilmcolorError if it fails; finished segments are kept for the next run.
    """
    check_jobs(jobs)
    options = (colorizer.options if colorizer else options) or ColorOptions()
    settings = RunSettings(
        options, encoding or Encoding(), time_range, force, restart, tag, strict_equal
    )
    if engine:
        return _color_with(engine, film, output, settings, progress)
    if jobs == 1:
        return run_film(film, output, settings, colorizer, progress, profiler)
    started = time.monotonic()
    run = Run.prepare(film, output, settings)
    with run.locked():
        run.find_key_frames(progress)
        load_model.cache_clear()  # the processes have their own
        save_run(run)
        _color_in_jobs(run, replace(settings, options=run.options), jobs, progress)
        report = run.join()
    return replace(report, wall_seconds=time.monotonic() - started)


def colorize_many(
    films: Iterable[str | Path],
    output_dir: str | Path | None = None,
    *,
    jobs: int = 1,
    time_range: TimeRange = WHOLE,
    options: ColorOptions | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    strict_equal: bool = False,
    skip_existing: bool = False,
    progress: FilmProgress | None = None,
    finished: Finished | None = None,
    engine: Engine | None = None,
) -> list[Outcome]:
    """Colour films, `jobs` at a time, and return an outcome for each, in their order.

    A film that fails does not stop the others. Outputs go into `output_dir`, which is created if
    missing, or beside their films, as NAME.color.*. With `skip_existing`, films that have an output
    are skipped. `progress(film, done, total)` is called after every frame, and
    `finished(outcome)` after every film. `engine`: colours the films elsewhere than in `jobs`
    processes here; see `farm.ray_engine`. The other arguments are those of `colorize`.
    Raises a FilmcolorError before the first film for errors that concern all of them, and when two
    outputs would have the same path. With more than one job each film is coloured in a process of
    its own, so a script must run under `if __name__ == "__main__":`.
    """
    check_jobs(jobs)
    settings = RunSettings(
        settle(options or ColorOptions()),
        encoding or Encoding(),
        time_range,
        force,
        restart,
        tag,
        strict_equal,
    )
    if jobs > 1:
        check_model(settings.options)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        _check_folder(folder)
    sources = {Path(film).resolve(): Path(film) for film in films}
    if len(sources) > 1 and (settings.options.references or settings.options.hints):
        raise SettingsError("references and hints are of one film; run the films one by one")
    outcomes: dict[Path, Outcome] = {}

    def finish(outcome: Outcome) -> None:
        outcomes[outcome.film] = outcome
        if finished:
            finished(outcome)

    def report_progress(task: Task, done: int, total: int | None) -> None:
        if progress:
            progress(task.film, done, total)

    planned = [_plan(film, folder, settings, skip_existing) for film in sources.values()]
    tasks = [task for task in planned if isinstance(task, Task)]
    _check_clashes(tasks, sources)
    for outcome in planned:
        if isinstance(outcome, Outcome):
            finish(outcome)
    if tasks:
        with new_folder(folder):
            if engine:
                engine(tasks, settings, report_progress, finish)
            else:
                run_tasks(tasks, settings, min(jobs, len(tasks)), report_progress, finish)
    return [outcomes[film] for film in sources.values()]


def check_jobs(jobs: int) -> None:
    """Raise SettingsError for a number of processes that is out of range."""
    if not 1 <= jobs <= MAX_JOBS:
        raise SettingsError(f"jobs {jobs} must be 1 to {MAX_JOBS}")


def _color_with(
    engine: Engine,
    film: str | Path,
    output: str | Path | None,
    settings: RunSettings,
    progress: Progress | None,
) -> Report:
    """Colour one film with an engine; raises its error."""
    settings = replace(settings, options=settle(settings.options))
    output = output or output_path(film, None, settings.encoding, settings.options)
    outcomes: list[Outcome] = []

    def report_progress(_: Task, done: int, total: int | None) -> None:
        if progress:
            progress(done, total)

    engine([Task(Path(film), Path(output))], settings, report_progress, outcomes.append)
    outcome = outcomes[0]
    if outcome.report is None:
        raise outcome.error or OutputError(f"{outcome.film} was skipped; run it again")
    return outcome.report


def _color_in_jobs(run: Run, settings: RunSettings, jobs: int, progress: Progress | None) -> None:
    """Colour a run's missing pieces in worker processes; raises the first error of a worker."""
    numbers = numbers_of(run.missing())
    queue = PieceTasks(run.journal.folder, numbers)
    num_done_before = run.num_done()
    num_done: Counter[int] = Counter()  # frames, by piece
    errors: list[FilmcolorError] = []

    def report_progress(task: PieceTask, done: int, _: int | None) -> None:
        num_done[task.number] = done
        if progress:
            progress(num_done_before + num_done.total(), run.num_frames)

    def finish(outcome: PieceOutcome) -> None:
        if outcome.error:
            errors.append(outcome.error)
            queue.clear()

    if numbers:
        WorkerPool(settings, min(jobs, len(numbers)), report_progress, finish).run(queue)
    if errors:
        raise errors[0]


def output_path(
    film: str | Path, folder: str | Path | None, encoding: Encoding, options: ColorOptions
) -> Path:
    """Return the path of a film's output, in a folder, or beside its source when None."""
    path = plan_output(options.probe(film), None, encoding).path
    return path if folder is None else Path(folder) / path.name


def _check_folder(folder: Path) -> None:
    """Raise OutputError for a path that is not meant as a folder."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and many films go into a folder; name another")
    suffix = folder.suffix.lower()
    if not folder.exists() and (suffix in FORMATS or suffix in IMAGE_FORMATS):
        kind = "a film" if suffix in FORMATS else "one film's images"
        raise OutputError(f"{folder} looks like {kind}, and many films go into a folder; name one")


def _plan(
    film: Path, folder: Path | None, settings: RunSettings, skip_existing: bool
) -> Task | Outcome:
    """Return the task of a film; its outcome when it is skipped or cannot be coloured."""
    try:
        output = output_path(film, folder, settings.encoding, settings.options)
        if skip_existing and output.is_file():
            return Outcome(film, is_skipped=True)
        check_target(output, film, settings.force)
    except FilmcolorError as error:
        return Outcome(film, error=without_traceback(error))
    return Task(film, output)


def _check_clashes(tasks: Iterable[Task], sources: Mapping[Path, Path]) -> None:
    """Raise OutputError when two outputs, or an output and a film, have the same path.

    `sources`: the films of this run by resolved path.
    """
    outputs: dict[Path, Path] = {}
    for task in tasks:
        path = task.output.resolve()
        if path in sources:
            raise OutputError(
                f"{task.film} would become {task.output}, which is a film of this run too; "
                "leave one out, or choose another output folder"
            )
        if path in outputs:
            raise OutputError(
                f"{outputs[path]} and {task.film} would both become {task.output}; "
                "colour them one by one, or into folders of their own"
            )
        outputs[path] = task.film
