"""Colours many films: what can be refused is refused before the first."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filmcolor.errors import FilmcolorError, OutputError, SettingsError
from filmcolor.frames import WHOLE, Span
from filmcolor.pipeline import Look
from filmcolor.plan import FORMATS, Encoding, plan_output
from filmcolor.probing import probe
from filmcolor.targets import check_target
from filmcolor.workers import (
    FilmProgress,
    Finished,
    Outcome,
    Settings,
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
    progress: FilmProgress | None = None,
    finished: Finished | None = None,
) -> list[Outcome]:
    """Colour films, `jobs` at a time, and return what became of each, in their order.

    A film that fails does not stop the others. The outputs go into `output_dir`, which is
    made where it is missing, or stand beside their sources, as NAME.color.*.
    `progress(film, done, total)` is called after every frame, `finished(outcome)` after every
    film. Raises a FilmcolorError, before the first film, for what concerns them all, and when
    two outputs would have the same path. With more than one job films are coloured in
    processes of their own, so a script must begin under `if __name__ == "__main__":`.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise SettingsError(f"jobs {jobs} must be 1 to {MAX_JOBS}")
    settings = Settings(look or Look(), encoding or Encoding(), span, force)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        _check_folder(folder)
    sources = {Path(film).resolve(): Path(film) for film in films}
    outcomes: dict[Path, Outcome] = {}

    def finish(outcome: Outcome) -> None:
        outcomes[outcome.film] = outcome
        if finished:
            finished(outcome)

    planned = [_plan(film, folder, settings) for film in sources.values()]
    tasks = [task for task in planned if isinstance(task, Task)]
    _check_clashes(tasks, sources)
    for refused in planned:
        if isinstance(refused, Outcome):
            finish(refused)
    if tasks:
        with _made(folder):
            num_workers = min(jobs, len(tasks))
            if num_workers == 1:
                color_here(tasks, settings, progress or _nothing, finish)
            else:
                color_in_processes(tasks, settings, num_workers, progress or _nothing, finish)
    return [outcomes[film] for film in sources.values()]


def output_path(film: str | Path, folder: str | Path | None, encoding: Encoding) -> Path:
    """Return where a film's output goes: into a folder, or beside its source when None."""
    path = plan_output(probe(film), None, encoding).path
    return path if folder is None else Path(folder) / path.name


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and many films go into a folder; name another")
    if not folder.exists() and folder.suffix.lower() in FORMATS:
        raise OutputError(f"{folder} looks like a film, and many films go into a folder; name one")


def _plan(film: Path, folder: Path | None, settings: Settings) -> Task | Outcome:
    try:
        output = output_path(film, folder, settings.encoding)
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
            _make(folder)
        yield
    finally:
        for path in missing:
            with suppress(OSError):  # it is not empty
                path.rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror}); choose another output folder"
        ) from error


def _nothing(*_: object) -> None:
    """Progress that no one asked for."""
