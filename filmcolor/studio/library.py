"""The files that a person can open in the studio, and where new ones are put.

Only what the person who started the studio chose can be read: the films of the command line, what
is in the folders of the studio, and films that were opened before. Links are followed first, so
that none leads out of a folder. Hidden files and folders are left out.
"""

import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filmcolor.errors import InputError, OutputError
from filmcolor.files import atomic_write, make_folder
from filmcolor.studio.errors import DiskFullError, ForbiddenError, NotFoundError, TooLargeError
from filmcolor.studio.file_names import safe_name
from filmcolor.video.demux import names_other_files
from filmcolor.video.film_names import FILM_SUFFIXES
from filmcolor.video.sequence_names import (
    MIN_FILM_IMAGES,
    find_sequence,
    group_by_number,
    is_image_name,
    is_pattern,
)

MAX_UPLOAD_BYTES = 64 << 30  # a feature film as its archive keeps it
_FREE_BYTES = 256 << 20  # that an upload leaves on the disk
_MAX_RECENT = 20
_HEAD_BYTES = 4096  # in which a list of files shows what it is
_RECENT = "recent.json"


class Library:
    """The folders, recent films and uploads of a studio; safe to use from threads."""

    def __init__(
        self,
        folders: Sequence[Path],
        upload_folder: Path,
        state_folder: Path,
        films: Iterable[Path] = (),
        *,
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        """Check the folders.

        `folders`: that may be looked into. `films`: others that may be opened, wherever they are.
        `upload_folder`: for films that are dropped on the page; it is made with the first one.
        `state_folder`: keeps the list of recent films. Raises InputError for a missing folder.
        """
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"{folder} is no folder; check --folder")
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self.upload_folder = upload_folder.absolute()
        self.max_upload_bytes = max_upload_bytes
        self._state_folder = state_folder
        self._films = {_real(film) for film in films}
        self._lock = threading.Lock()
        self._names_in_use: set[Path] = set()  # of uploads that are under way

    # ------------------------------------------------------------ what may be opened

    def check(self, text: str) -> Path:
        """Return the path of a film that may be opened.

        Raises NotFoundError for a missing file, ForbiddenError for one that may not be opened.
        """
        path = _parse(text)
        real = _real(path)
        if not (
            real in self._films
            or self._is_inside(real)
            or real.is_relative_to(self.upload_folder.resolve())
            or real in map(_real, self._load_recent())
        ):
            raise ForbiddenError(
                f"{path} is in none of the studio's folders; add its folder with --folder, or name "
                "the film when starting the studio"
            )
        if not (path.exists() or is_pattern(path)):
            raise NotFoundError(f"{path} does not exist; check the name")
        self._check_content(path, real)
        return real if ".." in path.parts else path

    def _check_content(self, path: Path, real: Path) -> None:
        """Raise ForbiddenError for what leads to files that may not be opened.

        Playlists name other files, and the images of a sequence may be links.
        """
        if real in self._films:
            return
        if real.is_file():
            with suppress(OSError), real.open("rb") as file:
                if names_other_files(file.read(_HEAD_BYTES)):
                    raise ForbiddenError(
                        f"{path} is a list of other files; open one of those, or name the list "
                        "when starting the studio"
                    )
        elif files := find_sequence(path):
            folder = path if path.is_dir() else path.parent
            for name in files.names:
                image = folder / name
                if image.is_symlink() and not self._is_inside(_real(image)):
                    raise ForbiddenError(
                        f"{image} leads to a file that is in none of the studio's folders"
                    )

    def check_output(self, text: str, film: Path) -> Path:
        """Return the path of a file to write: beside its film, or in the studio's folders.

        Raises ForbiddenError for another place.
        """
        path = _parse(text)
        real = _real(path)
        is_beside = real.parent == _real(film).parent
        is_upload = real.is_relative_to(self.upload_folder.resolve())
        if _is_hidden(Path(path.name)) or not (is_beside or is_upload or self._is_inside(real)):
            raise ForbiddenError(
                f"{path} is in none of the studio's folders; choose one of them, or add its folder "
                "with --folder"
            )
        return real if ".." in path.parts else path

    def _is_inside(self, real: Path) -> bool:
        """Return whether a resolved path is in one of the folders, and not hidden there."""
        return any(
            real.is_relative_to(folder) and not _is_hidden(real.relative_to(folder))
            for folder in self.folders
        )

    # ------------------------------------------------------------ what there is

    def state(self) -> dict[str, Any]:
        """Return the part of the studio object about files."""
        return {
            "folders": [_entry(folder) for folder in self.folders],
            "upload_folder": str(self.upload_folder),
            "max_upload_bytes": self.max_upload_bytes,
            "recent": [_entry(film) for film in self.recent()],
        }

    def listing(self, text: str | None) -> dict[str, Any]:
        """Return the folders, films and pictures of a folder; of the first one by default.

        Numbered images that are enough for a second are one film. Raises NotFoundError for what is
        no folder, ForbiddenError for a folder that may not be looked into.
        """
        if text is None:
            if not self.folders:
                raise NotFoundError("the studio has no folders; start it with --folder DIR")
            folder = self.folders[0]
        else:
            folder = _real(_parse(text))
        if not self._is_inside(folder):
            raise ForbiddenError(f"{folder} is in none of the studio's folders")
        if not folder.is_dir():
            raise NotFoundError(f"{folder} is no folder; choose another")
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not _is_hidden(Path(entry.name))]
        except OSError as error:
            raise ForbiddenError(f"{folder} cannot be read ({error.strerror})") from error
        return {
            "folder": str(folder),
            "parent": str(folder.parent) if self._is_inside(folder.parent) else None,
            **self._contents(folder, sorted(names, key=_sort_key)),
        }

    def _contents(self, folder: Path, names: Sequence[str]) -> dict[str, Any]:
        groups, _ = group_by_number(name for name in names if is_image_name(name))
        sequences = {
            pattern: members
            for pattern, members in groups.items()
            if len(members) >= MIN_FILM_IMAGES
        }
        in_sequences = {name for members in sequences.values() for name in members}
        suffixes = _picture_suffixes()
        folders: list[dict[str, Any]] = []
        films: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []
        for name in names:
            path, suffix = folder / name, Path(name).suffix.lower()
            if name in in_sequences:
                continue
            with suppress(OSError):  # gone meanwhile, or a link to nowhere
                status = path.stat()
                if path.is_symlink() and not self._is_inside(path.resolve()):
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(_entry(path))
                elif not stat.S_ISREG(status.st_mode):
                    continue
                elif suffix in FILM_SUFFIXES:
                    films.append({**_entry(path), "num_bytes": status.st_size})
                elif suffix in suffixes:
                    pictures.append({**_entry(path), "num_bytes": status.st_size})
        for pattern, members in sequences.items():
            with suppress(OSError, InputError):
                if find_sequence(folder / pattern) is None:
                    continue
                num_bytes = (folder / members[0]).stat().st_size * len(members)
                films.append({**_entry(folder / pattern), "num_bytes": num_bytes})
        films.sort(key=lambda film: _sort_key(film["name"]))
        return {"folders": folders, "films": films, "pictures": pictures}

    # ------------------------------------------------------------ recent films

    def recent(self) -> list[Path]:
        """Return the films that were opened last and are still there, the latest one first."""
        return [path for path in self._load_recent() if path.exists() or is_pattern(path)]

    def add_recent(self, path: Path) -> None:
        """Note that a film was opened; a list that cannot be written is left as it is."""
        path = path.absolute()
        with self._lock, suppress(OutputError):
            paths = [path, *(other for other in self._load_recent() if other != path)]
            make_folder(self._state_folder)
            lines = json.dumps({"films": [str(p) for p in paths[:_MAX_RECENT]]}, indent=1)
            with atomic_write(self._state_folder / _RECENT) as partial:
                partial.write_text(lines, encoding="utf-8", errors="surrogateescape")

    def _load_recent(self) -> list[Path]:
        try:
            text = (self._state_folder / _RECENT).read_text("utf-8", "surrogateescape")
            films = json.loads(text)["films"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        texts = films if isinstance(films, list) else []
        return [Path(t) for t in texts if isinstance(t, str) and t and "\0" not in t][:_MAX_RECENT]

    # ------------------------------------------------------------ uploads

    def check_upload(self, num_bytes: int) -> None:
        """Raise TooLargeError or DiskFullError when there is no room for an upload."""
        if num_bytes > self.max_upload_bytes:
            raise TooLargeError(
                f"the file has {_size(num_bytes)}; at most {_size(self.max_upload_bytes)} can be "
                "sent: put it into one of the studio's folders instead"
            )
        make_folder(self.upload_folder)
        free = shutil.disk_usage(self.upload_folder).free
        if num_bytes + _FREE_BYTES > free:
            raise DiskFullError(
                f"the file has {_size(num_bytes)}, and {self.upload_folder} has room for "
                f"{_size(max(0, free - _FREE_BYTES))}; make room on that disk"
            )

    @contextmanager
    def new_upload(self, name: str) -> Iterator[tuple[Path, Path]]:
        """Yield (partial, path): the file to write to, and its path once the block has ended well.

        The name is made safe, and numbered if it is taken, also by another upload. A block that
        fails leaves no file.
        """
        make_folder(self.upload_folder)
        path = self._reserve(self.upload_folder / safe_name(name))
        try:
            with atomic_write(path) as partial:
                yield partial, path
        finally:
            with self._lock:
                self._names_in_use.discard(path)

    def _reserve(self, path: Path) -> Path:
        """Return a path that nothing has, numbered if needed, and keep it from other uploads."""
        with self._lock:
            candidate, number = path, 2
            while candidate.exists() or candidate.is_symlink() or candidate in self._names_in_use:
                candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
                number += 1
            self._names_in_use.add(candidate)
        return candidate


def _parse(text: str) -> Path:
    """Return an absolute path; raises InputError for a text that is none."""
    path = Path(text)
    if "\0" in text or not path.is_absolute():
        raise InputError(f"{text!r} is no whole path; write it from the top folder")
    return path


def _real(path: Path) -> Path:
    """Return a path without links. The pattern of an image sequence keeps its name."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise NotFoundError(f"{path} cannot be found ({error}); check the name") from error


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.parts)


def _entry(path: Path) -> dict[str, str]:
    return {"name": path.name or str(path), "path": str(path)}


def _sort_key(name: str) -> tuple[list[str | int], str]:
    """Return a key that sorts names as people do: reel 2 before reel 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(p) if n % 2 else p for n, p in enumerate(parts)], name


def _picture_suffixes() -> frozenset[str]:
    from filmcolor.pipeline.photo import PICTURE_SUFFIXES

    return frozenset(PICTURE_SUFFIXES)


def _size(num_bytes: int) -> str:
    if num_bytes < 10**6:
        return f"{num_bytes:,} bytes"
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 10**9 else f"{num_bytes / 1e6:.0f} MB"
