"""The pictures that names, folders and patterns stand for, and where their results go.

A folder is read whole, and its results keep their places: of `album`, `album/1910/a.jpg` becomes
`coloured/1910/a.color.jpg`, or `album/1910/a.color.jpg` without another folder.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filmcolor.errors import InputError
from filmcolor.pipeline.patterns import fixed_folder, is_pattern, match
from filmcolor.pipeline.photo import PICTURE_SUFFIXES, photo_path
from filmcolor.segments.journal import SUFFIX as SEGMENTS_SUFFIX


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to colour. `subfolder`: of its result, below the folder of all results."""

    path: Path
    subfolder: Path = Path()

    def result_path(self, output_dir: Path | None) -> Path:
        """Return the path of its result, beside it when `output_dir` is None."""
        return photo_path(self.path, None if output_dir is None else output_dir / self.subfolder)


@dataclass(frozen=True, slots=True)
class Album:
    """The pictures of a run.

    `excluded`: pictures that are results of earlier runs, or that are in the folder of results.
    `unreadable`: errors of folders whose pictures are not known.
    """

    pictures: tuple[Picture, ...]
    excluded: tuple[Path, ...] = ()
    unreadable: tuple[OSError, ...] = ()


def is_folder_or_pattern(name: Path) -> bool:
    """Return whether a name stands for any number of pictures."""
    return name.is_dir() or is_pattern(name)


def list_pictures(names: Iterable[str | Path], output_dir: str | Path | None = None) -> Album:
    """Return each picture once, in the order of the names; those of folders are sorted.

    A folder stands for all pictures in it and in its subfolders, which keep their places below
    `output_dir`; beside other names, it keeps its own name there too. The matches of a pattern keep
    their places below the first folder with a wildcard. Hidden files, links to folders, and files
    that are no pictures by their names are left out, and so are pictures in `output_dir` where that
    is inside a folder that is read. Files that are named come whatever their names.
    Raises InputError for a folder or a pattern without any picture.
    """
    output = None if output_dir is None else Path(output_dir).resolve()
    named = list(map(Path, names))
    search = _Search(output)
    for name in named:
        if is_pattern(name):
            search.add_matches(name)
        elif name.is_dir():
            search.add_folder(name, Path(name.resolve().name) if len(named) > 1 else Path())
        else:
            search.add(Picture(name))
    found = search.pictures
    results = {_key(picture.result_path(None)) for picture in found.values()}
    if output is not None:
        results |= {_key(picture.result_path(output)) for picture in found.values()}
    excluded = [picture.path for key, picture in found.items() if key in results]
    return Album(
        tuple(picture for key, picture in found.items() if key not in results),
        (*search.excluded.values(), *excluded),
        tuple(search.unreadable),
    )


@dataclass
class _Search:
    """Collects pictures, each once. `output`: the folder of the results."""

    output: Path | None
    pictures: dict[Path, Picture] = field(default_factory=dict)  # by `_key`
    excluded: dict[Path, Path] = field(default_factory=dict)
    unreadable: list[OSError] = field(default_factory=list)

    def add(self, picture: Picture) -> None:
        """Add a picture that is named."""
        self.pictures.setdefault(_key(picture.path), picture)

    def add_folder(self, folder: Path, subfolder: Path) -> None:
        """Add the pictures below a folder; their results go below `subfolder`."""
        num_found = self._add_all(_walk(folder, subfolder, self.unreadable), folder)
        if not num_found and not self.unreadable:
            suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
            raise InputError(f"{folder} holds no pictures ({suffixes}); name another folder")

    def add_matches(self, pattern: Path) -> None:
        """Add the pictures that a pattern matches, and those below the folders that it matches."""
        root = fixed_folder(pattern)
        num_found = 0
        for path in match(pattern):
            place = path.relative_to(root)
            if path.is_dir() and _is_album_folder(path.name):
                num_found += self._add_all(_walk(path, place, self.unreadable), root)
            elif _is_picture(path):
                num_found += self._add_all([Picture(path, place.parent)], root)
        if not num_found and not self.unreadable:
            raise InputError(
                f"no picture matches {str(pattern)!r}; check the pattern and the folder"
            )

    def _add_all(self, pictures: Iterable[Picture], root: Path) -> int:
        """Add pictures below a folder, except those in the folder of the results; count all."""
        output = self.output
        is_inside = output is not None and root.resolve() in output.parents
        num_found = 0
        for picture in pictures:
            num_found += 1
            key = _key(picture.path)
            if is_inside and output in key.parents:
                self.excluded[key] = picture.path
            else:
                self.pictures.setdefault(key, picture)
        return num_found


def _walk(folder: Path, subfolder: Path, unreadable: list[OSError]) -> Iterator[Picture]:
    """Yield the pictures below a folder, sorted by folders; collect errors of unreadable ones."""
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(filter(_is_album_folder, folders))
        place = subfolder / Path(parent).relative_to(folder)
        for path in (Path(parent, name) for name in sorted(names)):
            if _is_picture(path):
                yield Picture(path, place)


def _is_album_folder(name: str) -> bool:
    """Return whether a folder that was found, not named, is read."""
    return not name.startswith(".") and not name.endswith(SEGMENTS_SUFFIX)


def _is_picture(path: Path) -> bool:
    """Return whether a file that was found, not named, is a picture by its name."""
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden and path.is_file()


def _key(path: Path) -> Path:
    """Return an absolute path; a link stays a picture of its own."""
    return path.parent.resolve() / path.name
