"""The output folder of stills, and its manifest."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from types import TracebackType

from PIL import Image

from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, make_folder
from filmcolor.types.frames import Picture

MANIFEST = "manifest.csv"
# JPEG takes a third of PNG's space and reading time, and films have been compressed harder before.
# 4:4:4, because the colours are what is learned.
_JPEG = {"quality": 95, "subsampling": 0, "optimize": True}


@dataclass(frozen=True, slots=True)
class Still:
    """A row of manifest.csv: a still and its source.

    `shot` and `frame` count from 0, `timecode` from the film's first frame; they are empty for a
    photograph, whose path stands in `film`.
    """

    file: str  # below the folder, with /
    film: str
    timecode: str
    shot: str
    frame: str
    width: int
    height: int
    kind: str  # of the source: "film" or "photo"


class StillsFolder:
    """A context manager that fills a folder with stills and a manifest.

    Files are written atomically. When the block fails, what was written is removed. A killed
    process leaves complete stills, without rows for the film it was at.
    """

    def __init__(self, folder: Path, force: bool = False) -> None:
        self.folder, self.stills = folder, list[Still]()
        self._created: list[Path] = []  # folders that did not exist, outermost first
        self._names = {MANIFEST}  # in use, case-folded: some file systems ignore case
        self._previous = _check_folder(folder, force)

    def __enter__(self) -> "StillsFolder":
        try:
            self._make_folder(self.folder)
            self.write_manifest()  # fails now, not after hours, if the folder is not writable
        except BaseException:
            self._roll_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self._roll_back()

    def unique_name(self, name: str) -> str:
        """Return `name`, or `name~2` and so on where it is in use; `name` is a POSIX path."""
        path = PurePosixPath(name)
        number = 1
        while name.casefold() in self._names:
            number += 1
            name = str(path.with_name(f"{path.stem}~{number}{path.suffix}"))
        self._names.add(name.casefold())
        return name

    def add(self, picture: Picture, still: Still) -> None:
        """Write a still's picture (H, W, 3), and keep its row for the manifest."""
        target = self.folder / still.file
        self._make_folder(target.parent)
        self.stills.append(still)  # first, so that a failure removes it
        with atomic_write(target) as partial:
            Image.fromarray(picture).save(partial, format="JPEG", **_JPEG)

    def write_manifest(self) -> None:
        """Write the rows of all stills so far."""
        _write_manifest(self.folder / MANIFEST, self.stills)

    def finish(self) -> None:
        """Write the sorted manifest, and remove stills that only the previous one lists."""
        self.stills.sort(key=lambda s: s.file)
        self.write_manifest()
        kept = {still.file for still in self.stills}
        for still in self._previous:
            if still.file not in kept:
                self._remove(still.file)

    def _make_folder(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        make_folder(folder)
        self._created += reversed(missing)

    def _remove(self, file: str) -> None:
        (self.folder / file).unlink(missing_ok=True)
        for parent in PurePosixPath(file).parents[:-1]:  # without the output folder itself
            if (self.folder / parent).is_dir() and not any((self.folder / parent).iterdir()):
                (self.folder / parent).rmdir()

    def _roll_back(self) -> None:
        try:
            for still in self.stills:
                self._remove(still.file)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            remaining = [s for s in self._previous if (self.folder / s.file).exists()]
            if self._previous:
                _write_manifest(self.folder / MANIFEST, remaining)
            for folder in reversed(self._created):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError:
            pass  # the disk is gone; the first error is reported


def _check_folder(folder: Path, force: bool) -> list[Still]:
    """Return the stills in the manifest of a folder that exists; [] for an empty or new folder.

    Raises OutputError when the folder may not be filled.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; name a folder for the stills")
        if not folder.exists() or not any(folder.iterdir()):
            return []
        if not (folder / MANIFEST).is_file():
            raise OutputError(
                f"{folder} holds other things, and no {MANIFEST}; name an empty or a new folder"
            )
        if not force:
            raise OutputError(
                f"{folder} already holds stills; choose another folder or add --force"
            )
        return _read_manifest(folder / MANIFEST)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror}") from error


def _read_manifest(path: Path) -> list[Still]:
    """Return a manifest's stills; rows whose path leads out of the folder are ignored."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("file")]
    names = [field.name for field in fields(Still)]
    stills = [Still(*(row.get(name) or "" for name in names)) for row in rows]  # type: ignore[arg-type]
    inside = (s for s in stills if ".." not in PurePosixPath(s.file).parts)
    return [s for s in inside if not PurePosixPath(s.file).is_absolute()]


def _write_manifest(path: Path, stills: Sequence[Still]) -> None:
    with (
        atomic_write(path) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([field.name for field in fields(Still)])
        lines.writerows(astuple(still) for still in stills)
