"""Films, work folders and outputs in S3; see `storage`, whose functions these are."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filmcolor.errors import InputError, OutputError, StorageError
from filmcolor.farm.s3_store import NUM_AT_ONCE, ChangedError, MissingError, Store, file_sha256
from filmcolor.farm.storage import WorkFolder
from filmcolor.files import MAX_NAME
from filmcolor.output.image_formats import is_image_output
from filmcolor.video.partial_films import PartialFilm, registered
from filmcolor.video.sequence_names import is_image_name

_DONE = ".done"  # ends the name of the object that marks another as complete
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # on some systems


class S3WorkFolder(WorkFolder):
    """A work folder in S3, with a scratch folder on this machine."""

    def __init__(self, location: str, folder: Path, store: Store) -> None:
        super().__init__(location, folder)
        self._store = store

    def fetch(self, *names: str) -> None:
        """Make published files available in `folder`; see `WorkFolder`."""
        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            list(pool.map(self._fetch, names))  # raises their errors

    def publish(self, *names: str) -> None:
        """Make finished files of `folder` available to other machines; see `WorkFolder`."""
        super().publish(*names)
        published = self.published()
        contents = {name: _content(self.folder / name) for name in names}
        if published.issuperset(names) and all(
            self._store.read_json(self._address(name) + _DONE) == contents[name] for name in names
        ):
            return
        self._unmark(*published.intersection(names))
        for name in names:  # all of them, so that the files of a piece are of one machine
            self._store.upload(self.folder / name, self._address(name))
        for name in names:
            self._store.write_json(self._address(name) + _DONE, contents[name])

    def published(self) -> set[str]:
        """Return the names of the files that other machines can fetch."""
        names = self._store.names(self.location)
        return {name for name in names if name + _DONE in names}

    def unpublish(self, *names: str) -> None:
        """Remove files in S3, those that exist; those of `folder` stay."""
        self._unmark(*names)  # first: a file without a mark counts as missing
        self._store.remove([self._address(name) for name in names])

    def remove(self, *names: str) -> None:
        """Remove files here and in S3, those that exist."""
        self.unpublish(*names)
        super().remove(*names)

    def _fetch(self, name: str) -> None:
        address, path = self._address(name), self.folder / name
        try:
            done = self._store.read_json(address + _DONE)
            try:
                self._download(name, done)
            except ChangedError:  # or both were replaced meanwhile
                if done == self._store.read_json(address + _DONE):
                    raise
                self._download(name, self._store.read_json(address + _DONE))
        except MissingError as error:
            raise InputError(f"{address} is gone; check the work folder") from error
        except ChangedError as error:
            # two machines that made it at once, each with its bytes, can leave it so
            piece = name.partition(".")[0]
            self._unmark(*(n for n in self.published() if n.partition(".")[0] == piece))
            raise StorageError(
                f"{error}; it counts as missing now: have it made again, then go on"
            ) from error
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); make room, or set TMPDIR to "
                "another folder"
            ) from error

    def _download(self, name: str, done: Mapping[str, Any]) -> None:
        path = self.folder / name
        size, sha256 = done.get("size"), done.get("sha256")
        if not (isinstance(size, int) and isinstance(sha256, str)):
            raise ChangedError(f"{self._address(name)}{_DONE} has no size and hash")
        if path.exists() and _content(path) == {"size": size, "sha256": sha256}:
            return
        partial = path.with_name(f"{name}.partial")
        self._store.download(self._address(name), partial, size, sha256)
        partial.replace(path)

    def _unmark(self, *names: str) -> None:
        """Let files in S3 count as incomplete."""
        self._store.remove([self._address(name) + _DONE for name in names])

    def _address(self, name: str) -> str:
        return f"{self.location}/{name}"


@contextmanager
def open_work(location: str, *, create: bool = False) -> Iterator[WorkFolder]:
    """Yield the work folder at a location, with a scratch folder that is removed at the end."""
    store = Store()
    location = location.rstrip("/")
    if not store.names(location) and not create:
        raise InputError(f"{location}: no such folder; `filmcolor plan` makes it")
    with tempfile.TemporaryDirectory(prefix="filmcolor-") as folder:
        yield S3WorkFolder(location, Path(folder).resolve(), store)


@contextmanager
def film_at(location: str) -> Iterator[Path]:
    """Yield a path that this process reads as the film at a location."""
    name = location.rpartition("/")[2]
    if is_image_name(name):
        raise InputError(
            f"{location} is an image; image sequences are read from folders: copy it to one"
        )
    store = Store()
    info = store.info(location)
    if info["type"] != "file":
        raise InputError(f"{location} is a folder; name one film in it")
    film = store.open(location)
    if not film.size:
        raise InputError(f"{location} is empty; is it complete?")
    with tempfile.TemporaryDirectory(prefix="filmcolor-") as folder:
        path = Path(folder).resolve() / _file_name(name)
        path.touch()
        with registered(path, PartialFilm(film.size, film.read)):
            yield path


def check_free(location: str, *, force: bool) -> None:
    """Raise OutputError when an output cannot be put at a location."""
    if is_image_output(Path(location)):
        raise OutputError(
            f"{location}: image sequences are written to folders; name one, or a film"
        )
    if not force and Store().exists(location):
        raise OutputError(f"{location} exists; choose another name or add --force")


def deliver(path: Path, location: str) -> None:
    """Put a finished file where it belongs, whole or not at all."""
    Store().upload(path, location)


def _content(path: Path) -> dict[str, Any]:
    """Return what marks a file as complete."""
    return {"size": path.stat().st_size, "sha256": file_sha256(path)}


def _file_name(name: str) -> str:
    """Return an object's name as that of a file, with the same suffix."""
    name = _NOT_IN_NAMES.sub("_", name)
    return name if len(name.encode()) <= MAX_NAME else name[-(MAX_NAME // 4) :]
