"""Where the films, the pieces and the outputs of many machines are: a shared folder, or S3.

A location is a path, or an address like "s3://bucket/films/fire.mp4". Only S3 needs the extra
filmcolor[s3].

In a shared folder everything is read and written where it is. From S3, a film is read in the ranges
that are needed, a work folder is a scratch folder that files are fetched into and published from,
and an object counts as published once it has a second object, NAME.done, with its size and hash.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.files import is_address, make_folder
from filmcolor.video.partial_films import check_reads

# a path joins the two slashes
_S3 = re.compile(r"s3:/{1,2}(?!/)", re.IGNORECASE)
_PARTIAL = ".partial"  # ends the names of files that are being written


class WorkFolder:
    """A folder with the plan and the pieces of a film; this class serves a shared folder.

    Attributes:
        location: the folder as the user wrote it.
        folder: where its files are read and written on this machine.
    """

    def __init__(self, location: str, folder: Path) -> None:
        """Take an existing folder; see `open_work`."""
        self.location = location
        self.folder = folder

    def fetch(self, *names: str) -> None:
        """Make published files available in `folder`.

        Raises InputError for a file that is not there, StorageError when it cannot be had now.
        """
        for name in names:
            if not (self.folder / name).is_file():
                raise InputError(f"{self.folder / name} is gone; check the work folder")

    def publish(self, *names: str) -> None:
        """Make the finished files of a piece, or of a plan, available to other machines.

        Files of their names that differ are replaced. Raises OutputError, or StorageError when it
        may succeed later.
        """
        check_reads()
        for name in names:
            if not (self.folder / name).is_file():
                raise OutputError(f"{self.folder / name} is gone; is its folder used by others?")

    def published(self) -> set[str]:
        """Return the names of the files that other machines can fetch."""
        entries = [*self.folder.iterdir()] if self.folder.is_dir() else []
        return {e.name for e in entries if e.is_file() and not e.name.endswith(_PARTIAL)}

    def unpublish(self, *names: str) -> None:
        """Remove files for other machines that have `folder` not in common with this one."""

    def remove(self, *names: str) -> None:
        """Remove files here and for other machines, those that exist."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)


def is_remote(location: str | Path) -> bool:
    """Return whether a location is in S3."""
    return _S3.match(str(location)) is not None and not Path(location).exists()


@contextmanager
def open_work(location: str | Path, *, create: bool = False) -> Iterator[WorkFolder]:
    """Yield the work folder at a location.

    `create`: make it when it does not exist. Raises InputError when there is none.
    """
    location = _checked(location)
    if is_remote(location):
        with _s3().open_work(_s3_address(location), create=create) as work:
            yield work
        return
    folder = Path(location)
    if create:
        make_folder(folder)
    elif not folder.is_dir():
        message = f"{folder}: no such folder; `filmcolor plan` makes it"
        raise InputError(message) from FileNotFoundError(folder)
    yield WorkFolder(location, folder)


def film_at(location: str | Path) -> AbstractContextManager[Path]:
    """Return a context with a path that this process reads as the film at a location.

    From S3, only the parts that are read are loaded; other processes find an empty file there.
    Leaving the context raises StorageError when any of them could not be had, InputError when the
    film was replaced meanwhile: whatever was made of the film since is then incomplete.
    """
    location = _checked(location)
    if is_remote(location):
        context: AbstractContextManager[Path] = _s3().film_at(_s3_address(location))
        return context
    return _here(Path(location))


def check_free(location: str | Path, *, force: bool) -> None:
    """Raise OutputError for an object that is there already, unless `force`; only asks S3.

    Folders are checked by whatever writes there.
    """
    location = _checked(location)
    if is_remote(location):
        _s3().check_free(_s3_address(location), force=force)


def deliver_folder(folder: Path, location: str | Path) -> None:
    """Put all finished files of a folder beside an output in S3, that of its name last.

    Those are sidecars of the film, or a film that could not be verified. Each appears whole or not
    at all, and replaces an older one.
    """
    check_reads()
    parent, _, name = _s3_address(_checked(location)).rpartition("/")
    files = (path for path in folder.iterdir() if path.is_file())
    for path in sorted(files, key=lambda path: (path.name == name, path.name)):
        _s3().deliver(path, f"{parent}/{path.name}")


@contextmanager
def _here(path: Path) -> Iterator[Path]:
    yield path


def _checked(location: str | Path) -> str:
    """Return a location as text; raises InputError for an address that is not S3's."""
    if is_address(location) and not is_remote(location):
        address = str(location).replace(":/", "://", 1) if isinstance(location, Path) else location
        raise InputError(
            f"{address}: films and pieces are read from folders and s3:// only; copy it to one"
        )
    return str(location)


def _s3_address(location: str) -> str:
    return _S3.sub("s3://", location, count=1)


def _s3() -> Any:
    """Return the module that reads and writes S3; raises SettingsError without its packages."""
    try:
        return import_module("filmcolor.farm.s3_work")
    except ImportError as error:
        raise SettingsError(
            f"s3:// needs a package that is not installed ({error.name}); "
            "run: pip install 'filmcolor[s3]'"
        ) from error
