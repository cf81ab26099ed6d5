"""The folder that stills are written to, and its manifest."""

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
# JPEG, for a third of PNG's space and reading time: what comes from films has been through
# worse. 4:4:4, for the colours are what is learned.
_JPEG = {"quality": 95, "subsampling": 0, "optimize": True}


@dataclass(frozen=True, slots=True)
class Still:
    """A line of manifest.csv: a still and where it comes from.

    `shot` and `frame` count from 0, `timecode` from the film's first frame; a photograph
    has none of the three, and its path stands for the film.
    """

    file: str  # below the folder, with /
    film: str
    timecode: str
    shot: str
    frame: str
    width: int
    height: int
    kind: str  # of source: "film" or "photo"


class StillsFolder:
    """A folder that is filled with stills, and its manifest.

    Every file appears whole or not at all. When filling it fails, what was written is
    removed again; a process that is killed leaves whole stills and no line for the film
    it was at.
    """

    def __init__(self, folder: Path, force: bool = False) -> None:
        self.folder, self.stills = folder, list[Still]()
        self._made: list[Path] = []  # folders that were not there, outermost first
        self._names = {MANIFEST}  # in use, in small letters: some disks take A for a
        self._old = _check_folder(folder, force)

    def __enter__(self) -> "StillsFolder":
        try:
            self._make(self.folder)
            self.write_manifest()  # now, not after hours: is there room, may it be written?
        except BaseException:
            self._undo()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self._undo()

    def name(self, wanted: str) -> str:
        """Return a name that nothing here has: the one wanted, or with a number after it."""
        path = PurePosixPath(wanted)
        name, number = wanted, 1
        while name.casefold() in self._names:
            number += 1
            name = str(path.with_name(f"{path.stem}~{number}{path.suffix}"))
        self._names.add(name.casefold())
        return name

    def add(self, picture: Picture, still: Still) -> None:
        """Write a still (H, W, 3) and remember its line."""
        target = self.folder / still.file
        self._make(target.parent)
        self.stills.append(still)  # first: then it is removed again, whatever happens
        with atomic_write(target) as partial:
            Image.fromarray(picture).save(partial, format="JPEG", **_JPEG)

    def write_manifest(self) -> None:
        """Write the lines of all stills so far."""
        _write_manifest(self.folder / MANIFEST, self.stills)

    def finish(self) -> None:
        """Write the manifest, and remove the stills of an older one that are not in it."""
        self.stills.sort(key=lambda s: s.file)
        self.write_manifest()
        kept = {still.file for still in self.stills}
        for still in self._old:
            if still.file not in kept:
                self._remove(still.file)

    def _make(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        make_folder(folder)
        self._made += reversed(missing)

    def _remove(self, file: str) -> None:
        (self.folder / file).unlink(missing_ok=True)
        for parent in PurePosixPath(file).parents[:-1]:  # up to the folder, not the folder
            if (self.folder / parent).is_dir() and not any((self.folder / parent).iterdir()):
                (self.folder / parent).rmdir()

    def _undo(self) -> None:
        try:
            for still in self.stills:
                self._remove(still.file)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            left = [still for still in self._old if (self.folder / still.file).exists()]
            if self._old:
                _write_manifest(self.folder / MANIFEST, left)
            for folder in reversed(self._made):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError:
            pass  # the disk is gone: what made us stop says so


def _check_folder(folder: Path, force: bool) -> list[Still]:
    """Return the stills that a folder's own manifest names.

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
    """Return a manifest's stills; a line that leads out of the folder is none of ours."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("file")]
    names = [field.name for field in fields(Still)]
    stills = [Still(*(row.get(name) or "" for name in names)) for row in rows]  # type: ignore[arg-type]
    inside = (s for s in stills if ".." not in PurePosixPath(s.file).parts)
    return [s for s in inside if not PurePosixPath(s.file).is_absolute()]


def _write_manifest(path: Path, stills: Sequence[Still]) -> None:
    options = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with atomic_write(path) as partial, partial.open("w", **options) as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([field.name for field in fields(Still)])
        lines.writerows(astuple(still) for still in stills)
