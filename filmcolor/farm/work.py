"""The three steps of a film on many machines: plan it, colour its pieces anywhere, join them.

The work folder has the files of `segments.journal` and `pipeline.plan_file`, and

    farm.json       {"film", "output"}: where they are, as `plan_film` was given them
    commands.txt    a command for each piece, one a line
    joined.json     {"output", "size", "sha256", "report"}, once the film is joined; only this stays
"""

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
from filmcolor.files import atomic_write
from filmcolor.output.image_names import has_images
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, numbers_of
from filmcolor.pipeline.plan_file import PLAN, PLAN_FILES
from filmcolor.pipeline.report import Report
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.segments.journal import JOINED, JOURNAL, Segment
from filmcolor.types.film import WHOLE, TimeRange

_FARM, COMMANDS = "farm.json", "commands.txt"


@dataclass(frozen=True, slots=True)
class PlannedFilm:
    """A planned film: its output, and its pieces.

    `missing`: numbers of the pieces that are not finished.
    """

    output: str
    work: str
    num_pieces: int
    num_frames: int | None
    missing: tuple[int, ...]


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
        previous = _fetch_journal(folder)
        with film_at(film) as path, _local_output(output) as local_output:
            run = Run.prepare(path, local_output, settings, folder.folder)
            with run.locked():
                _take_over(folder, previous, settings.restart)
                run.find_key_frames()
                run.save()
        output = _absolute(run.plan.path if output is None else output)
        where = {"film": _absolute(film), "output": output, "replaces": _state(output)}
        _write(folder.folder / _FARM, json.dumps(where))
        numbers = numbers_of([run.segments])
        lines = [f"filmcolor piece {shlex.quote(_absolute(work))} {n}\n" for n in numbers]
        _write(folder.folder / COMMANDS, "".join(lines))
        names = [path.name for path in folder.folder.iterdir() if _is_of_plan(path.name)]
        folder.publish(*sorted(names, key=lambda name: name == PLAN))  # last: it says all is there
        missing = tuple(s.number for s in run.segments if not _is_done(folder, run, s))
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
        film = film or _where(folder)["film"]
        with _open_run(folder, film) as run:
            piece = run.segment(number)
            if _is_done(folder, run, piece):
                return False
            total = None if piece.stop is None else piece.stop - piece.first
            with PieceColorizer(Colorizer(run.options)) as pieces:
                pieces.color(run, piece, lambda done: progress and progress(done, total))
        names = _names_of(folder.folder, number)
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
            _remove_pieces(folder)  # a join that was killed may have left them
            return joined
        where = _where(folder)
        with (
            _local_output(where["output"]) as output,
            _open_run(folder, film or where["film"]) as run,
        ):
            missing = [s.number for s in run.segments if not _is_done(folder, run, s)]
            if missing:
                raise MissingPiecesError(
                    f"{len(missing)} of {len(run.segments)} pieces of {work} are missing: "
                    f"{format_numbers(missing)}; colour them, then join again"
                )
            folder.fetch(*(name for name in folder.published() if _is_of_piece(name)))
            run.set_output(output)
            with run.journal:
                _check_output(folder, where)
                report = _finish(run, where["output"])
            joined = _describe(report, where["output"])
            _write(folder.folder / JOINED, json.dumps(joined))
        folder.publish(JOINED)
        _remove_pieces(folder)
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
            _write(folder.folder / _FARM, json.dumps({**where, "is_joining": True}))
    for path in folder.folder.glob("joined.*.partial"):  # of joins that were killed
        path.unlink(missing_ok=True)


def _remove_pieces(folder: WorkFolder) -> None:
    folder.remove(*(n for n in folder.published() if _is_of_piece(n) or _is_of_plan(n)))


def _finish(run: Run, output: str) -> Report:
    """Join the pieces of a film and verify it; put what comes out into S3 if it belongs there."""
    if not is_remote(output):
        return run.finish()
    folder = run.plan.path.parent
    try:
        report = run.finish()
    except VerifyError as error:  # the film is kept under another name
        deliver_folder(folder, output, force=True)
        message = str(error).replace(str(folder), output.rpartition("/")[0])
        raise VerifyError(message) from error
    # the plan found its place free; a join that was cut off may have been here
    deliver_folder(folder, output, force=True)
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
def _open_run(folder: WorkFolder, film: str | Path) -> Iterator[Run]:
    """Yield the planned run of a work folder; raises PlanError when it is of something else."""
    if PLAN not in folder.published():
        raise PlanError(f"{folder.location} holds no plan; make one with `filmcolor plan`")
    folder.fetch(*(name for name in folder.published() if _is_of_plan(name)))
    with film_at(film) as path:
        yield Run.open(folder.folder, path)


def _where(folder: WorkFolder) -> dict[str, Any]:
    """Return where the film and the output of a plan are."""
    if _FARM not in folder.published():
        raise PlanError(f"{folder.location} holds no plan; make one with `filmcolor plan`")
    folder.fetch(_FARM)
    try:
        where = json.loads((folder.folder / _FARM).read_text(encoding="utf-8"))
        return {name: where.get(name) for name in ("film", "output", "replaces", "is_joining")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"the plan in {folder.location} cannot be read; plan again") from error


def _fetch_journal(folder: WorkFolder) -> bytes | None:
    """Return the journal of an earlier plan, None without one."""
    if JOURNAL not in folder.published():
        return None
    folder.fetch(JOURNAL)
    return (folder.folder / JOURNAL).read_bytes()


def _take_over(folder: WorkFolder, previous: bytes | None, is_restart: bool) -> None:
    """Keep the pieces of an earlier plan if it was the same, else remove what it published.

    Raises OutputError when it has pieces, and may not be replaced. In a shared folder, the journal
    has done that already.
    """
    is_same = previous == (folder.folder / JOURNAL).read_bytes()
    if previous is None or (is_same and not is_restart):
        return
    if any(map(_is_of_piece, folder.published())) and not is_restart:
        raise OutputError(
            f"{folder.location} holds pieces of another film or of other settings; "
            "to begin again add --restart, to keep them name a new folder"
        )
    names = [n for n in folder.published() if _is_of_plan(n) or _is_of_piece(n)]
    folder.unpublish(*names)


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


def _is_of_plan(name: str) -> bool:
    return name in (*PLAN_FILES, JOURNAL, _FARM, COMMANDS) or name.startswith("weights.")


def _is_of_piece(name: str) -> bool:
    return name[:6].isdigit() and name[6:7] == "."


def _is_done(folder: WorkFolder, run: Run, piece: Segment) -> bool:
    """Return whether a piece of this plan, not of an earlier one, is finished."""
    name = f"{piece.number:06d}.json"
    if name not in folder.published():
        return False
    if not is_remote(folder.location):
        return run.journal.is_finished(piece)
    folder.fetch(name)
    return run.journal.is_finished(piece, needs_media=False)


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


def _names_of(folder: Path, number: int) -> list[str]:
    """Return the files of a piece; its JSON file, which makes it finished, comes last."""
    names = [p.name for p in folder.glob(f"{number:06d}.*") if not p.name.endswith(".partial")]
    return sorted(names, key=lambda name: name.endswith(".json"))


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


def _write(path: Path, text: str) -> None:
    with atomic_write(path, durable=True) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")
