"""The files that hold a film's corrections: which frame each is of, and whether they changed."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from filmcolor.errors import FilmcolorError, InputError
from filmcolor.guidance.reference_sources import (
    find_painted,
    frame_number,
    list_pictures,
    split_time,
)
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex

MISSING = "missing"  # in place of a digest

FileState = tuple[int, int, int]  # size, time of the last change, inode


def file_state(path: Path) -> FileState | None:
    """Return numbers that change when a file does, None without one."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino


class FileDigests:
    """Digests of files; those that have not changed are not read again."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[FileState, str]] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file, or MISSING."""
        state = file_state(path)
        if state is None:
            return MISSING
        kept = self._kept.get(path)
        if kept is None or kept[0] != state:
            try:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                return MISSING
            kept = self._kept[path] = state, digest
        return kept[1]


class PictureFolder:
    """A folder with one picture for each frame, which is edited, and other sources, which are not.

    `found`: returns the frame of a picture whose name does not give it, None where unknown.
    """

    def __init__(
        self,
        folder: Path,
        others: Sequence[str],
        info: FilmInfo,
        index: FrameIndex,
        digests: FileDigests,
        found: Callable[[Path], int | None],
    ) -> None:
        self.folder, self.others = folder, tuple(others)
        self._info, self._index, self._digests, self._found = info, index, digests, found
        self._named: dict[tuple[str, Fraction | None], int | None] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        """What a run gets: the folder, if it holds pictures, and the others."""
        return (*((str(self.folder),) if self.own_files() else ()), *self.others)

    def own_files(self) -> list[Path]:
        """Return the folder's pictures, in order."""
        try:
            return find_painted(self.folder, self._digests.of)
        except OSError:  # there is no folder
            return []

    def own_pictures(self, frame: int) -> list[Path]:
        """Return the folder's pictures of a frame; more than one is a mistake."""
        return [path for path in self.own_files() if self._number(path, None) == frame]

    def other_picture(self, frame: int) -> Path | None:
        """Return the picture of a frame that another source gives, None without one."""
        for path, seconds in self._other_files():
            if self._number(path, seconds) == frame:
                return path
        return None

    def frames(self) -> list[int]:
        """Return the numbers of all frames with a picture, as far as they are known."""
        files = [*((path, None) for path in self.own_files()), *self._other_files()]
        numbers = {self._number(path, seconds) for path, seconds in files}
        return sorted(number for number in numbers if number is not None)

    def state(self) -> list[list[str]]:
        """Return what changes when any picture does."""
        own = [[path.name, self._digests.of(path)] for path in self.own_files()]
        others = [
            [str(path), str(seconds), self._digests.of(path)]
            for path, seconds in self._other_files()
        ]
        return own + others

    def path_for(self, frame: int, suffix: str = ".png") -> Path:
        """Return where a new picture of a frame is written."""
        return self.folder / f"frame-{frame:06}{suffix}"

    def _other_files(self) -> Iterator[tuple[Path, Fraction | None]]:
        for source in self.others:
            with suppress(FilmcolorError, OSError):  # whoever reads the pictures is told
                yield from list_pictures(source)

    def _number(self, path: Path, seconds: Fraction | None) -> int | None:
        key = path.name, seconds
        if key not in self._named:
            try:
                self._named[key] = frame_number(path, seconds, self._info, self._index)
            except FilmcolorError:
                self._named[key] = None
        number = self._named[key]
        return self._found(path) if number is None else number


class OptionsFile:
    """A small file with options of the whole film, for which commands have flags."""

    def __init__(self, path: Path, match_shots: bool) -> None:
        """`match_shots`: where the file says nothing."""
        self.path, self._default = path, match_shots

    @property
    def match_shots(self) -> bool:
        """Whether shots are matched."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            return bool(json.loads(self.path.read_text(encoding="utf-8"))["match_shots"])
        return self._default

    def content(self, match_shots: bool) -> bytes | None:
        """Return the file that sets it; None for no file."""
        if match_shots == self._default:
            return None
        return json.dumps({"match_shots": match_shots}).encode() + b"\n"


def choose_folder(sources: Sequence[str], default: Path) -> tuple[Path, list[str]]:
    """Return the folder that is edited, the first of the sources or the default, and the others.

    Raises InputError for a source that does not exist.
    """
    folder, others = None, []
    for source in sources:
        path, _ = split_time(source)
        if not path.exists():
            raise InputError(f"{source}: no such file; check the spelling and the folder")
        if folder is None and path.is_dir():
            folder = path
        else:
            others.append(source)
    return folder or default, others
