"""Lists the pictures that a person names as references, and the frames that their names give.

Pictures of an exported folder that nobody has painted are left out (`exported.json` has their
digests), or a run would propagate automatic colours as if they had been given.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.images.image_file import REFERENCE_SUFFIXES
from filmcolor.timecodes import ROUNDING, parse_timecode
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

EXPORT_MANIFEST = "exported.json"  # in an exported folder: the pictures' digests, by name
GREY_SUFFIX = ".grey.png"
_NUMBER_NAME = re.compile(r"frame-(\d+)", re.IGNORECASE)
_TIME_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)((?:[.,]\d+)?)(?![\w-])")


def list_pictures(source: str) -> Iterator[tuple[Path, Fraction | None]]:
    """Yield the pictures of a source, each with its time where one was typed."""
    path, seconds = split_time(source)
    if not path.is_dir():
        yield path, seconds
        return
    if seconds is not None:
        raise SettingsError(f"{source}: {path} is a folder; only a picture can have a time")
    painted = find_painted(path)
    if not painted and any(map(_is_color_picture, path.iterdir())):
        raise InputError(
            f"{path}: all pictures are unchanged since their export; paint some, "
            "or name those that shall stay as they are"
        )
    if not painted:
        raise InputError(
            f"{path} holds no pictures in colour; put some there, "
            "or begin with: filmcolor shots FILM --export DIR"
        )
    yield from ((p, None) for p in painted)


def split_time(source: str) -> tuple[Path, Fraction | None]:
    """Return the path of a source, and the time that was typed with it."""
    name, at, time = source.rpartition("@")
    if not at or Path(source).exists() or not Path(name).exists():
        return Path(source), None
    try:
        return Path(name), parse_timecode(time)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error


def find_painted(folder: Path, digest_of: Callable[[Path], str] | None = None) -> list[Path]:
    """Return the pictures in colour of a folder, in order, without unpainted exports.

    `digest_of`: `file_digest`, or one that keeps what it read before.
    """
    pictures = [p for p in sorted(folder.iterdir()) if _is_color_picture(p)]
    exported = exported_digests(folder)
    digest_of = digest_of or file_digest
    return [p for p in pictures if p.name not in exported or exported[p.name] != digest_of(p)]


def frame_number(
    path: Path, seconds: Fraction | None, info: FilmInfo, index: FrameIndex
) -> int | None:
    """Return the frame number of a picture by its time or its name, None without either."""
    numbered = _NUMBER_NAME.match(path.name)
    if seconds is None and numbered:
        number = int(numbered[1])
        if index.pts and number >= len(index.pts):
            raise RangeError(
                f"{path}: {info.path} has no frame {number}, "
                f"its frames are 0 to {len(index.pts) - 1}; rename the picture"
            )
        return number
    timed = _TIME_NAME.match(path.stem)
    if seconds is None and timed:
        hours, minutes, whole, rest = timed.groups()
        seconds = parse_timecode(f"{hours}:{minutes}:{whole}{rest.replace(',', '.')}")
    if seconds is None:
        return None
    try:
        resolve(info, TimeRange(start_seconds=seconds - 1 / info.frame_rate), index)
        until = resolve(info, TimeRange(end_seconds=seconds + ROUNDING), index)
    except RangeError as error:
        raise RangeError(f"{path} at {float(seconds):.3f} s: {error}") from error
    assert until.stop is not None  # a range that is not the whole film has both ends
    return until.stop - 1


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exported_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the pictures that an export wrote into a folder, by name."""
    with suppress(OSError, ValueError):
        digests = json.loads((folder / EXPORT_MANIFEST).read_text(encoding="utf-8"))
        if isinstance(digests, dict):
            return digests
    return {}


def _is_color_picture(path: Path) -> bool:
    is_visible = not path.name.startswith(".") and path.is_file()
    is_grey = path.name.lower().endswith(GREY_SUFFIX)
    return is_visible and path.suffix.lower() in REFERENCE_SUFFIXES and not is_grey
