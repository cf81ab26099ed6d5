"""Names of the image files that a film is written to, by a pattern such as `out/frame_%06d.png`."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import OutputError
from filmcolor.output.image_formats import is_image_output
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.sequence_names import find_sequence

_COUNTERS = re.compile(r"%(?:0(\d+))?d"), re.compile(r"(#{2,})")  # "%06d" or "%d", "######"


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """The folder and the names of a sequence's images; `width`: digits of a number, at least."""

    folder: Path
    before: str
    width: int
    after: str

    @classmethod
    def parse(cls, path: Path) -> "ImagePattern":
        """Return the pattern of a path. Raises OutputError unless its name has one counter."""
        name = path.name.replace("%%", "\0")
        matches = next(filter(None, (list(c.finditer(name)) for c in _COUNTERS)), [])
        if len(matches) != 1:
            raise OutputError(_explain(path, len(matches)))
        if path.exists():
            raise OutputError(f"{path} is a file of that very name; name another pattern")
        if any(c.search(str(path.parent)) for c in _COUNTERS) and not path.parent.exists():
            raise OutputError(
                f"{path}: the numbers go into the names of the images; name a folder without them"
            )
        match = matches[0]
        digits = match[1] or ""
        width = int(digits) if digits.isdigit() else len(digits)
        before, after = name[: match.start()], name[match.end() :]
        return cls(path.parent, *(before.replace("\0", "%"), width, after.replace("\0", "%")))

    def name(self, number: int) -> str:
        """Return the name of an image."""
        return f"{self.before}{number:0{self.width}d}{self.after}"

    def existing(self) -> list[str]:
        """Return the names of the folder's images that match, sorted."""
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries if self._matches(entry.name))
        except OSError:
            return []

    def _matches(self, name: str) -> bool:
        end = len(name) - len(self.after)
        is_alike = name.startswith(self.before) and name.endswith(self.after)
        return is_alike and re.fullmatch(r"\d+", name[len(self.before) : end], re.ASCII) is not None


def check_image_target(path: Path, source: Path, force: bool) -> None:
    """Raise OutputError when images would replace those of the film, or images of their names.

    `force` allows the latter.
    """
    pattern = ImagePattern.parse(path)
    existing = pattern.existing()
    files = find_sequence(source)
    if files is not None and pattern.folder.resolve() == files.pattern.parent.resolve():
        if set(existing) & set(files.names):
            raise OutputError(f"{path} is the film itself; name another output")
        if source.is_dir():
            raise OutputError(f"{path} would be among the film's own images; name another folder")
    if existing and not force:
        raise OutputError(
            f"{path}: such images exist ({existing[0]}); choose another name or add --force"
        )


def has_images(path: Path) -> bool:
    """Return whether a path is the pattern of images that exist."""
    with suppress(OutputError):
        return is_image_output(path) and bool(ImagePattern.parse(path).existing())
    return False


class FrameNumbering:
    """Numbers the frames of a film, in display order, by their times."""

    def __init__(self, index: FrameIndex) -> None:
        self._index, self._last = index, -1

    def number(self, pts: int) -> int:
        """Return the number of the frame at `pts`; that after the last one if it has none."""
        number = self._index.number_of(pts)
        self._last = self._last + 1 if number is None else max(number, self._last + 1)
        return self._last


def number_frames(index: FrameIndex, pts: Sequence[int]) -> list[int]:
    """Return the numbers of frames by their times, in display order."""
    numbering = FrameNumbering(index)
    return [numbering.number(time) for time in pts]


def _explain(path: Path, num_counters: int) -> str:
    if num_counters:
        return f"{path} has {num_counters} counters; write one, as %06d, for the images' numbers"
    example = path.with_name(f"{path.stem}_%06d{path.suffix}")
    return f"{path} is one picture, and a film is many: name a pattern, '{example}'"
