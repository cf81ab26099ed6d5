"""The three steps of a film on many machines: plan it, colour its pieces anywhere, join them."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filmcolor.errors import (
    ContainerError,
    InputError,
    MissingPiecesError,
    OtherMachineError,
    OutputError,
    PlanError,
    SettingsError,
    StorageError,
    VerifyError,
)
from filmcolor.farm.storage import (
    WorkFolder,
    check_free,
    deliver_folder,
    film_at,
    is_remote,
    open_work,
)
from filmcolor.farm.work_files import (
    COMMANDS,
    PLACE,
    fetch_journal,
    finished_pieces,
    is_of_piece,
    is_of_plan,
    opened_run,
    piece_names,
    read_place,
    remove_pieces,
    take_over,
    write_text,
)
from filmcolor.output.image_names import has_images
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer
from filmcolor.pipeline.plan_file import PLAN
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.saved_run import save_run
from filmcolor.segments.journal import JOINED
from filmcolor.types.film import WHOLE, TimeRange


@dataclass(frozen=True, slots=True)
class PlannedFilm:
    """A planned film: its output, and its pieces."""

    output: str  # path, or address in S3
    work: str  # the work folder, likewise
    num_pieces: int
    num_frames: int | None  # None if unknown
    missing: tuple[int, ...]  # numbers of the pieces that are not finished, from 0


def plan_film(
    film: str | Path,
    output: str | Path | None = None,
    *,
    work: str | Path,
    time_range: TimeRange = WHOLE,
    options: ColorOptions | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    strict_equal: bool = False,
) -> PlannedFilm:
    """Plan a film in a work folder that all machines can reach, and return the plan.

    `film`, `output`, `work`: paths, or addresses in S3. Without `output` it is NAME.color.* beside
    the film. Planning again keeps finished pieces, if film and settings are the same; `restart`
    discards them. The other arguments are those of `colorize`.
    Raises a FilmcolorError when the film cannot be coloured with these settings.
    """
    settings = RunSettings(
        options or ColorOptions(),
        encoding or Encoding(),
        time_range,
        force,
        restart,
        tag,
        strict_equal,
    )
    if output is None and is_remote(film):
        raise SettingsError(f"{film} is in S3; name the output with -o")
    if output is not None:
        check_free(output, force=force)
    for path in (film, output):
        if path is not None and _is_inside(path, work):
            raise OutputError(f"{path} is in the work folder {work}; name a folder of its own")
    with open_work(work, create=True) as folder:
        if JOINED in folder.published():
            raise OutputError(f"{work}: its film is joined already; name a new folder")
        previous = fetch_journal(folder)
        with film_at(film) as path, _local_output(output) as local_output:
            run = Run.prepare(path, local_output, settings, folder.folder)
            with run.locked():
                take_over(folder, previous, settings.restart)
                run.find_key_frames()
                save_run(run)
        output = _absolute(run.plan.path if output is None else output)
        where = {"film": _absolute(film), "output": output, "replaces": _state(output)}
        write_text(folder.folder / PLACE, json.dumps(where))
        numbers = [segment.number for segment in run.segments]
        lines = [f"filmcolor piece {shlex.quote(_absolute(work))} {n}\n" for n in numbers]
        write_text(folder.folder / COMMANDS, "".join(lines))
        names = [path.name for path in folder.folder.iterdir() if is_of_plan(path.name)]
        folder.publish(*sorted(names, key=lambda name: name == PLAN))  # last: it says all is there
        finished = finished_pieces(folder, run, run.segments)
        missing = tuple(number for number in numbers if number not in finished)
        return PlannedFilm(output, str(work), len(numbers), run.num_frames, missing)


def color_piece(
    work: str | Path,
    number: int,
    *,
    film: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> bool:
    """Colour a piece of a planned film; return False if that was done before.

    `film`: where the film is on this machine, if not where it was planned. `progress(done, total)`
    is called after every frame. A piece appears whole or not at all, so two machines may colour the
    same one. Raises a FilmcolorError; see `is_temporary`.
    """
    with open_work(work) as folder:
        if JOINED in folder.published():
            return False
        film = film or read_place(folder)["film"]
        with opened_run(folder, film) as run:
            piece = run.segment(number)
            if finished_pieces(folder, run, [piece]):
                return False
            total = None if piece.stop is None else piece.stop - piece.first
            with PieceColorizer(Colorizer(run.options)) as pieces:
                pieces.color(run, piece, lambda done: progress and progress(done, total))
        names = piece_names(folder.folder, number)
        if folder.published().intersection(names) and is_remote(work):
            folder.unpublish(*names)  # of another plan
        folder.publish(*names)
        return True


def join_film(work: str | Path, *, film: str | Path | None = None) -> dict[str, Any]:
    """Join the pieces of a planned film, verify it, give it its name, and return what was joined.

    The result is the content of joined.json: {"output", "size", "sha256", "report"}; the report has
    the fields of `Report`. A film that is joined already is left as it is. `film`: see
    `color_piece`. Raises MissingPiecesError, which lists them, while pieces are missing.
    """
    with open_work(work) as folder:
        if JOINED in folder.published():
            folder.fetch(JOINED)
            joined: dict[str, Any] = json.loads((folder.folder / JOINED).read_text("utf-8"))
            if not is_remote(joined["output"]) and not _exists(joined["output"]):
                raise PlanError(
                    f"{joined['output']} was joined, and is gone; plan it again in a new folder"
                )
            remove_pieces(folder)  # a join that was killed may have left them
            return joined
        where = read_place(folder)
        with (
            _local_output(where["output"]) as output,
            opened_run(folder, film or where["film"]) as run,
        ):
            finished = finished_pieces(folder, run, run.segments)
            missing = [s.number for s in run.segments if s.number not in finished]
            if missing:
                raise MissingPiecesError(
                    f"{len(missing)} of {len(run.segments)} pieces of {work} are missing: "
                    f"{format_numbers(missing)}; colour them, then join again"
                )
            folder.fetch(*(name for name in folder.published() if is_of_piece(name)))
            assert output is not None  # a plan has one
            run.set_output(output)
            with run.journal:
                _check_output(folder, where)
                report = _finish(run, where["output"])
            joined = _describe(report, where["output"])
            write_text(folder.folder / JOINED, json.dumps(joined))
        folder.publish(JOINED)
        remove_pieces(folder)
        run.journal.remove()
        return joined


def _check_output(folder: WorkFolder, where: dict[str, Any]) -> None:
    """Raise OutputError when another file has come to the output's place since the plan.

    From here on, a file there is this join's own; it may be killed and repeated.
    """
    output = where["output"]
    if not where.get("is_joining"):
        if _state(output) not in (None, where["replaces"]):
            raise OutputError(f"{output} was not there when this was planned; move it away")
        if not is_remote(folder.location):
            write_text(folder.folder / PLACE, json.dumps({**where, "is_joining": True}))
    for path in folder.folder.glob("joined.*.partial"):  # of joins that were killed
        path.unlink(missing_ok=True)


def _finish(run: Run, output: str) -> Report:
    """Join the pieces of a film and verify it; put what comes out into S3 if it belongs there."""
    if not is_remote(output):
        return run.finish()
    folder = run.plan.path.parent
    try:
        report = run.finish()
    except VerifyError as error:  # the film is kept under another name
        deliver_folder(folder, output)
        message = str(error).replace(str(folder), output.rpartition("/")[0])
        raise VerifyError(message) from error
    # the plan found its place free; a join that was cut off may have been here
    deliver_folder(folder, output)
    return report


def is_temporary(error: BaseException) -> bool:
    """Return whether the same command may succeed later, or on another machine.

    Not so for another film, other weights or versions, and films that cannot be coloured.
    """
    if isinstance(error, (StorageError, MissingPiecesError, OtherMachineError, MemoryError)):
        return True
    if isinstance(error, RuntimeError):  # of PyTorch
        return "allocate" in str(error) or "out of memory" in str(error)
    if isinstance(error, OutputError):
        return not isinstance(error, ContainerError)
    return isinstance(error, InputError) and isinstance(error.__cause__, OSError)


def format_numbers(numbers: Sequence[int]) -> str:
    """Return sorted numbers in few words: "0, 3 to 7, 9"."""
    words: list[str] = []
    first = None
    for number, following in zip(numbers, [*numbers[1:], None]):
        first = number if first is None else first
        if following != number + 1:
            words.append(str(number) if first == number else f"{first} to {number}")
            first = None
    return ", ".join(words)


@contextmanager
def _local_output(output: str | Path | None) -> Iterator[Path | None]:
    """Yield the path that an output is written to on this machine, None for the default."""
    if output is None or not is_remote(output):
        yield None if output is None else Path(output)
        return
    with TemporaryDirectory(prefix="filmcolor-") as folder:
        yield Path(folder, str(output).rpartition("/")[2])


def _absolute(location: str | Path) -> str:
    return str(location) if is_remote(location) else str(Path(location).absolute())


def _is_inside(path: str | Path, work: str | Path) -> bool:
    if is_remote(path) or is_remote(work):
        return False
    return Path(path).resolve().parent == Path(work).resolve()


def _exists(output: str) -> bool:
    """Return whether an output is there; of images, the folder."""
    return Path(output).exists() or has_images(Path(output))


def _state(output: str) -> list[int] | None:
    """Return what changes when an output does, None without one; of S3 nothing."""
    if is_remote(output):
        return None
    try:
        state = Path(output).stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]


def _describe(report: Report, output: str) -> dict[str, Any]:
    """Return what joined.json holds; of images, the folder's listing has neither size nor hash."""
    fields = {**asdict(report), "output": output, "notes": list(report.notes)}
    content: dict[str, Any] = {
        "output": output,
        "report": {**fields, "damage": list(report.damage)},
    }
    if report.output.is_file():
        with report.output.open("rb") as file:
            content["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        content["size"] = report.output.stat().st_size
    return content
