"""Image sequences by their names: patterns, folders, and files that are numbered alike.

A sequence is named by a pattern, `scan/reel_%06d.dpx`, or by its folder if that holds no other
images. FFmpeg's own patterns are not used: it takes names with `%` or `*` for patterns where they
are none, and ends at the first gap.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import InputError

# of images that FFmpeg decodes, one picture in a file
IMAGE_SUFFIXES = frozenset(
    {
        *(".bmp", ".dds", ".dpx", ".exr", ".hdr", ".j2c", ".j2k", ".jls", ".jp2", ".jpc"),
        *(".jpeg", ".jpg", ".jxl", ".pam", ".pbm", ".pcx", ".pfm", ".pgm", ".phm", ".png"),
        *(".pnm", ".ppm", ".qoi", ".ras", ".sgi", ".sun", ".tga", ".tif", ".tiff", ".webp"),
        *(".cri", ".dng", ".xwd"),
    }
)
MIN_FILM_IMAGES = 24  # that are a film where nobody named them: numbered photographs are none
_COUNTER = re.compile(r"%(?:0(\d+))?d|(#{2,})")  # "%06d", "%d" or "######"
_MAX_SPAN = 10  # images that a sequence may lack for each that it has


@dataclass(frozen=True, slots=True)
class NumberedFiles:
    """The files of an image sequence, in the order of their numbers.

    `stem`: what outputs are named after, beside the folder of the images.
    """

    pattern: Path
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    stem: Path

    @property
    def span(self) -> int:
        """The number of frames from the first to the last, with those that are missing."""
        return self.numbers[-1] - self.numbers[0] + 1

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """The first and last number of each run of missing images."""
        pairs = zip(self.numbers, self.numbers[1:])
        return [(a + 1, b - 1) for a, b in pairs if b > a + 1]

    def path(self, position: int) -> Path:
        """Return the path of the image at a position in the sequence."""
        return self.pattern.with_name(self.names[position])


def is_image_name(name: str | Path) -> bool:
    """Return whether a name has the suffix of an image that a sequence can consist of."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_pattern(path: str | Path) -> bool:
    """Return whether a path is the pattern of an image sequence, and not an existing file."""
    name = Path(path).name
    return is_image_name(name) and _counter(name) is not None and not Path(path).exists()


def find_sequence(path: Path) -> NumberedFiles | None:
    """Return the images that a path names, by a pattern or as their folder; None for other paths.

    Raises InputError when a pattern matches no file, when a folder holds images that are not
    numbered alike, or when the numbers are no sequence. A folder without images is None.
    """
    if is_pattern(path):
        names = _file_names(path.parent)
        numbers = _matching_numbers(path.name, names)
        if not numbers:
            raise InputError(f"no file matches {str(path)!r}; check the pattern and the folder")
        return _numbered_files(path, numbers, _stem_of_pattern(path))
    if not path.is_dir():
        return None
    images = [name for name in _file_names(path) if is_image_name(name)]
    groups, others = group_by_number(images)
    if not groups or others or len(groups) > 1:
        if groups:
            raise InputError(_explain_folder(path, groups, others))
        return None
    pattern, names = next(iter(groups.items()))
    numbers = _matching_numbers(pattern, names)
    return _numbered_files(path / pattern, numbers, _named_folder(path))


def explain_still(image: Path) -> str:
    """Return a line that says what to do with a picture where a film belongs.

    It names the sequence of images beside it that are numbered like it.
    """
    names = [name for name in _file_names(image.parent) if is_image_name(name)]
    groups, _ = group_by_number(names)
    message = f"{image} is a picture, not a film; `filmcolor photo` colours pictures"
    for pattern, members in groups.items():
        if image.name in members:
            return f"{message}, and '{image.with_name(pattern)}' is the film that it is from"
    return message


def group_by_number(names: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return names of images that differ in one number only, by their pattern, and all others."""
    alike: dict[tuple[str, ...], list[tuple[str, list[str]]]] = defaultdict(list)
    for name in names:
        stem, suffix = name[: name.rindex(".")], name[name.rindex(".") :]
        parts = re.split(r"(\d+)", stem)
        alike[*parts[::2], suffix].append((name, parts[1::2]))
    groups: dict[str, list[str]] = {}
    others: list[str] = []
    for texts, members in alike.items():
        columns = [len(set(column)) for column in zip(*(numbers for _, numbers in members))]
        if not columns or max(columns) == 1:
            others += [name for name, _ in members]
            continue
        # the number with the most values counts the frames; the last of several
        counter = max(range(len(columns)), key=lambda n: (columns[n], n))
        series: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
        for name, numbers in members:
            series[*numbers[:counter], *numbers[counter + 1 :]].append((name, numbers[counter]))
        for fixed, files in series.items():
            if len(files) == 1:
                others += [name for name, _ in files]
                continue
            spelling = _spelling([digits for _, digits in files])
            groups[_pattern(texts, fixed, counter, spelling)] = [name for name, _ in files]
    return groups, others


def file_state(path: Path) -> tuple[int, int] | None:
    """Return numbers that change when a film's file does, or any image of a sequence.

    None without a file.
    """
    try:
        files = find_sequence(path)
        if files is None:
            state = path.stat()
            return state.st_size, state.st_mtime_ns
        digest = listing_digest(files)
    except (OSError, InputError):
        return None
    return len(files.names), int(digest[:16], 16)


def listing_digest(files: NumberedFiles) -> str:
    """Return a digest of the names, sizes and times of all images. Raises OSError."""
    wanted = set(files.names)
    digest = hashlib.sha256()
    with os.scandir(files.pattern.parent) as entries:
        states = {e.name: e.stat() for e in entries if e.name in wanted}
    for name in files.names:
        state = states.get(name) or files.pattern.with_name(name).stat()
        line = f"{state.st_size} {state.st_mtime_ns}\n"
        digest.update(os.fsencode(name) + b"\0" + line.encode())
    return digest.hexdigest()


def _file_names(folder: Path) -> list[str]:
    """Return the names of the files in a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and e.is_file()]
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({error.strerror}); check the folder and its permissions"
        ) from error


def _counter(name: str) -> re.Match[str] | None:
    """Return the match of a name's counter; None unless there is exactly one. `%%` is a percent."""
    plain = name.replace("%%", "\0\0")
    matches = list(_COUNTER.finditer(plain))
    if any(match[0].startswith("%") for match in matches):
        matches = [match for match in matches if match[0].startswith("%")]
    return matches[0] if len(matches) == 1 else None


def _matching_numbers(pattern: str, names: Iterable[str]) -> dict[int, str]:
    """Return the names that match a pattern by their numbers. Raises InputError for a double."""
    counter = _counter(pattern)
    assert counter is not None
    before, after = (
        re.escape(text.replace("%%", "%"))
        for text in (pattern[: counter.start()], pattern[counter.end() :])
    )
    width = int(counter[1]) if counter[1] else len(counter[2] or "")
    # wider numbers than the pattern's have no leading zero
    digits = rf"\d{{{width}}}|[1-9]\d{{{width},}}" if width else r"\d+"
    expression = re.compile(f"{before}({digits}){after}")
    numbers: dict[int, str] = {}
    for name in names:
        if match := expression.fullmatch(name):
            number = int(match[1])
            if number in numbers:
                raise InputError(
                    f"{numbers[number]} and {name} have the same number; remove one of them"
                )
            numbers[number] = name
    return numbers


def _numbered_files(pattern: Path, numbers: dict[int, str], stem: Path) -> NumberedFiles:
    ordered = sorted(numbers)
    files = NumberedFiles(pattern, tuple(numbers[n] for n in ordered), tuple(ordered), stem)
    if files.span > (_MAX_SPAN + 1) * len(ordered):
        raise InputError(
            f"{pattern}: its {len(ordered)} images are numbered from {ordered[0]} to "
            f"{ordered[-1]}, which is no sequence; number them by frame"
        )
    return files


def _spelling(numbers: list[str]) -> str:
    """Return the counter that writes these numbers as they are: "%06d" or "%d"."""
    width = min(map(len, numbers))
    is_padded = width > 1 and all(len(n) == width or not n.startswith("0") for n in numbers)
    return f"%0{width}d" if is_padded else "%d"


def _pattern(texts: tuple[str, ...], fixed: tuple[str, ...], counter: int, spelling: str) -> str:
    """Return the pattern of names: their texts and suffix, fixed numbers, and the counter."""
    *texts_of_stem, suffix = (text.replace("%", "%%") for text in texts)
    numbers = [*fixed[:counter], spelling, *fixed[counter:], ""]
    return "".join(a + b for a, b in zip(texts_of_stem, numbers)) + suffix


def _stem_of_pattern(pattern: Path) -> Path:
    """Return a pattern's name without its counter, or its folder's, beside the folder."""
    counter = _counter(pattern.name)
    assert counter is not None
    name = pattern.name[: counter.start()].replace("%%", "%").rstrip("_-. #")
    folder = _named_folder(pattern.parent)
    return folder.with_name(name) if re.search(r"\w", name) else folder


def _named_folder(folder: Path) -> Path:
    """Return a folder by a path that ends in its name."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named if named.name else named / "film"  # the root of a disk has no name


def _explain_folder(folder: Path, groups: dict[str, list[str]], others: list[str]) -> str:
    first = next(iter(groups))
    if others:
        what = f"images that are not numbered alike ({others[0]})"
    else:
        what = f"{len(groups)} image sequences"
    return f"{folder} is a folder with {what}; name one sequence, '{folder / first}'"
