"""Colours many stills, in this process or in several; one that fails stops no other."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filmcolor.errors import FilmcolorError, InputError, OutputError, without_traceback
from filmcolor.files import check_target, new_folder, partial_path
from filmcolor.images.image_file import PHOTO_SUFFIXES
from filmcolor.pipeline.album import Album, list_pictures
from filmcolor.pipeline.batch import check_jobs
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_photo
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.run import Progress
from filmcolor.pipeline.workers import run_tasks
from filmcolor.runtime.threads import thread_pools


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """The result for one picture: the path of the picture in colour, or the error that stopped it.

    `is_skipped`: the output existed already.
    """

    picture: Path
    output: Path | None = None
    error: FilmcolorError | None = None
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class PhotoSettings:
    """Settings that all pictures share."""

    options: ColorOptions
    force: bool = False  # replace existing outputs
    skip_existing: bool = False


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """A picture to colour and its output."""

    picture: Path
    output: Path

    @property
    def source(self) -> Path:
        """The picture."""
        return self.picture

    def color(self, settings: PhotoSettings, pieces: PieceColorizer, _: Progress) -> PhotoOutcome:
        """Colour the picture and return its outcome; raises FilmcolorError."""
        # one core for the network: a second saves 10 % of a picture's time, and where another
        # program needs it, pictures take eight times as long, because PyTorch's threads spin
        with thread_pools(is_network_busy=False):
            colorize_photo(
                self.picture, self.output, colorizer=pieces.colorizer, force=settings.force
            )
        return PhotoOutcome(self.picture, self.output)

    def failed(self, error: FilmcolorError) -> PhotoOutcome:
        """Return the outcome of a picture that an error ended."""
        return PhotoOutcome(self.picture, error=error)

    def remove_leftovers(self) -> None:
        """Remove an unfinished output."""
        partial_path(self.output).unlink(missing_ok=True)


def colorize_photos(
    pictures: Iterable[str | Path],
    output_dir: str | Path | None = None,
    *,
    jobs: int = 1,
    options: ColorOptions | None = None,
    force: bool = False,
    skip_existing: bool = False,
    progress: Progress | None = None,
    finished: Callable[[PhotoOutcome], None] | None = None,
) -> list[PhotoOutcome]:
    """Colour pictures, `jobs` at a time, and return an outcome for each, in their order.

    `pictures`: files, folders that are read with their subfolders, and patterns such as
    `album/**/*.jpg`; see `list_pictures`. A picture that fails does not stop the others. Results
    go into `output_dir`, which is created if missing, in the subfolders of the pictures, or beside
    the pictures, as NAME.color.ext: see `colorize_photo`, which gives the same results. With
    `skip_existing`, pictures that have a result are skipped. `progress(done, total)` and
    `finished(outcome)` are called after every picture.
    Raises a FilmcolorError before the first picture for errors that concern all of them. With more
    than one job pictures are coloured in processes, so a script must run under
    `if __name__ == "__main__":`.
    """
    settings = PhotoSettings(options or ColorOptions(), force, skip_existing)
    album = list_pictures(pictures, output_dir)
    return color_album(album, output_dir, settings, jobs, progress, finished)


def color_album(
    album: Album,
    output_dir: str | Path | None,
    settings: PhotoSettings,
    jobs: int = 1,
    progress: Progress | None = None,
    finished: Callable[[PhotoOutcome], None] | None = None,
) -> list[PhotoOutcome]:
    """Colour the pictures of an album; see `colorize_photos`."""
    check_jobs(jobs)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        _check_folder(folder)
    outcomes: dict[Path, PhotoOutcome] = {}
    total = len(album.pictures) + len(album.unreadable)

    def finish(outcome: PhotoOutcome) -> None:
        outcomes[outcome.picture] = outcome
        if finished:
            finished(outcome)
        if progress:
            progress(len(outcomes), total)

    planned: list[PhotoTask | PhotoOutcome] = [*map(_unreadable, album.unreadable)]
    planned += _plan(album, folder, settings)
    for outcome in planned:
        if isinstance(outcome, PhotoOutcome):
            finish(outcome)
    tasks = [task for task in planned if isinstance(task, PhotoTask)]
    if tasks:
        with ExitStack() as stack:
            for parent in sorted({task.output.parent for task in tasks}):
                stack.enter_context(new_folder(parent))
            run_tasks(tasks, settings, min(jobs, len(tasks)), lambda *_: None, finish)
    return [outcomes[item.picture] for item in planned]


def _check_folder(folder: Path) -> None:
    """Raise OutputError for a path that is not meant as a folder."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and many pictures go into a folder; name another")
    if not folder.exists() and folder.suffix.lower() in PHOTO_SUFFIXES:
        raise OutputError(
            f"{folder} looks like a picture, and many pictures go into a folder; name one"
        )


def _unreadable(error: OSError) -> PhotoOutcome:
    message = f"{error.filename} cannot be read ({error.strerror}); check its permissions"
    return PhotoOutcome(Path(error.filename), error=InputError(message))


def _plan(
    album: Album, folder: Path | None, settings: PhotoSettings
) -> Iterator[PhotoTask | PhotoOutcome]:
    """Yield the task of each picture; its outcome when it is skipped or cannot be coloured."""
    alike: dict[str, list[PhotoTask]] = {}
    for picture in album.pictures:
        task = PhotoTask(picture.path, picture.result_path(folder))
        others = alike.setdefault(_folded(task.output), [])
        other = next((o for o in others if _are_one_file(o.output, task.output)), None)
        others.append(task)
        if other is not None:
            message = f"{task.picture} would become {other.output}, as {other.picture} does; "
            yield task.failed(OutputError(f"{message}colour it alone, with a name of its own"))
        elif settings.skip_existing and task.output.is_file():
            yield PhotoOutcome(task.picture, task.output, is_skipped=True)
        else:
            try:
                check_target(task.output, task.picture, settings.force)
            except FilmcolorError as error:
                yield task.failed(without_traceback(error))
            else:
                yield task


def _folded(path: Path) -> str:
    """Return a path as a file system compares it that ignores case and Unicode composition."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _are_one_file(one: Path, other: Path) -> bool:
    """Return whether two paths that are equal when folded name one file, by trying it out."""
    if one == other:
        return True
    names = next(pair for pair in zip(one.parts, other.parts) if pair[0] != pair[1])
    existing = next(folder for folder in one.absolute().parents if folder.is_dir())
    try:
        with TemporaryDirectory(prefix=".filmcolor-", dir=existing) as trial:
            Path(trial, names[0]).touch()
            return Path(trial, names[1]).exists()
    except OSError:  # nothing can be written there, as each picture will report
        return False
