"""The files of a work folder: the plan, the pieces, and what is left of them once they are joined.

It has the files of `segments.journal` and `pipeline.plan_file`, and

    farm.json       {"film", "output", "replaces", "is_joining"}: where film and output are, the
                    size and time of the file that the output replaces, if there is one, and
                    whether a join has begun
    commands.txt    a command for each piece, one a line
    joined.json     {"output", "size", "sha256", "report"}, once the film is joined; only this stays
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filmcolor.errors import OutputError, PlanError
from filmcolor.farm.storage import WorkFolder, film_at, is_remote
from filmcolor.files import atomic_write
from filmcolor.pipeline.plan_file import PLAN, PLAN_FILES
from filmcolor.pipeline.run import Run
from filmcolor.pipeline.saved_run import open_run
from filmcolor.segments.journal import JOURNAL, Segment

PLACE, COMMANDS = "farm.json", "commands.txt"


@contextmanager
def opened_run(folder: WorkFolder, film: str | Path) -> Iterator[Run]:
    """Yield the planned run of a work folder; raises PlanError when it is of something else."""
    if PLAN not in folder.published():
        raise PlanError(f"{folder.location} holds no plan; make one with `filmcolor plan`")
    folder.fetch(*(name for name in folder.published() if is_of_plan(name)))
    with film_at(film) as path:
        yield open_run(folder.folder, path)


def read_place(folder: WorkFolder) -> dict[str, Any]:
    """Return where the film and the output of a plan are."""
    if PLACE not in folder.published():
        raise PlanError(f"{folder.location} holds no plan; make one with `filmcolor plan`")
    folder.fetch(PLACE)
    try:
        where = json.loads((folder.folder / PLACE).read_text(encoding="utf-8"))
        return {name: where.get(name) for name in ("film", "output", "replaces", "is_joining")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"the plan in {folder.location} cannot be read; plan again") from error


def fetch_journal(folder: WorkFolder) -> bytes | None:
    """Return the journal of an earlier plan, None without one."""
    if JOURNAL not in folder.published():
        return None
    folder.fetch(JOURNAL)
    return (folder.folder / JOURNAL).read_bytes()


def take_over(folder: WorkFolder, previous: bytes | None, is_restart: bool) -> None:
    """Keep the pieces of an earlier plan if it was the same, else remove what it published.

    Raises OutputError when it has pieces, and may not be replaced. In a shared folder, the journal
    has done that already.
    """
    is_same = previous == (folder.folder / JOURNAL).read_bytes()
    if previous is None or (is_same and not is_restart):
        return
    if any(map(is_of_piece, folder.published())) and not is_restart:
        raise OutputError(
            f"{folder.location} holds pieces of another film or of other settings; "
            "to begin again add --restart, to keep them name a new folder"
        )
    names = [n for n in folder.published() if is_of_plan(n) or is_of_piece(n)]
    folder.unpublish(*names)


def is_of_plan(name: str) -> bool:
    """Return whether a file belongs to the plan."""
    return name in (*PLAN_FILES, JOURNAL, PLACE, COMMANDS) or name.startswith("weights.")


def is_of_piece(name: str) -> bool:
    """Return whether a file belongs to a piece."""
    return name[:6].isdigit() and name[6:7] == "."


def finished_pieces(folder: WorkFolder, run: Run, pieces: Sequence[Segment]) -> set[int]:
    """Return the numbers of those pieces that are finished, of this plan and not an earlier one."""
    by_name = {f"{piece.number:06d}.json": piece for piece in pieces}
    names = folder.published().intersection(by_name)
    folder.fetch(*names)
    needs_media = not is_remote(folder.location)
    return {
        by_name[name].number
        for name in names
        if run.journal.is_finished(by_name[name], needs_media=needs_media)
    }


def piece_names(folder: Path, number: int) -> list[str]:
    """Return the files of a piece; its JSON file, which makes it finished, comes last."""
    names = [p.name for p in folder.glob(f"{number:06d}.*") if not p.name.endswith(".partial")]
    return sorted(names, key=lambda name: name.endswith(".json"))


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there; names of files may be no text."""
    with atomic_write(path, durable=True) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")


def remove_pieces(folder: WorkFolder) -> None:
    """Remove the plan and its pieces."""
    folder.remove(*(n for n in folder.published() if is_of_piece(n) or is_of_plan(n)))
