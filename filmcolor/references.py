"""Pictures in which a person gave the colours of some of a film's frames.

Everything about them that can be refused is refused here, before the first frame.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color import lab_from_rgb, luma_from_rgb
from filmcolor.decode import FrameIndex, read_luma, resolve
from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.frames import FilmInfo, FloatPlane, Gray, LumaFrame, Span
from filmcolor.pictures import read_rgba
from filmcolor.small import halved, shrink, small_size
from filmcolor.timecodes import ROUNDING, seconds_of

AS_EXPORTED = "exported.json"  # in an exported folder: the pictures' digests by their names
GREY_SUFFIX = ".grey.png"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})
_BY_NUMBER = re.compile(r"frame-(\d+)", re.IGNORECASE)
_BY_TIME = re.compile(r"(\d\d)-(\d\d)-(\d\d)((?:[.,]\d+)?)(?![\w-])")
_MAX_STRETCH = 1.02  # of a picture's aspect, against the film's
_WHOLE = 0.9  # of a picture that is opaque: below it there are strokes on transparency
_LEAST_OPACITY = 0.02  # of a sample that something is painted on
_LEAST_CHROMA = 3.0  # CIELAB, of a picture that has any
_BAND = 64  # rows of a picture that are converted at a time
# on films of fifteen kinds, the same frame has 0.3 (half of it painted over flat) to 1.0,
# the one after it 0.5 in the mean, frames of other films at most 0.14
_LEAST_LIKENESS = 0.2
_DETAIL_SIZE = 128  # short side, pixels
_DETAIL_SIGMA = 6.0  # pixels: what is coarser is no detail
_DETAIL_FLOOR = 5.0  # codes of contrast under which detail is mostly noise


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A frame whose colours a person gave."""

    number: int  # the frame's number in the film
    ab: FloatPlane  # (h/2, w/2, 2) CIELAB, at the size of the frames' `guide`
    coverage: FloatPlane  # (h/2, w/2) 0..1: how much of each sample a colour was given for


@dataclass(slots=True, eq=False)
class _Given:
    """A picture that was given, as far as it is known without the film's frames."""

    path: Path
    number: int | None  # None: to be found
    is_hint: bool
    ab: FloatPlane
    coverage: FloatPlane
    detail: FloatPlane | None  # of a whole picture; strokes say nothing of luma


def read_references(
    sources: Sequence[str],
    info: FilmInfo,
    index: FrameIndex,
    size: int,
    hints: Sequence[str] = (),
) -> list[Reference]:
    """Return the frames that pictures give colours of, by number.

    A source is a picture, `PICTURE@TIMECODE`, or a folder of pictures. A picture's frame is
    told by the time, else by its name (`frame-001234.png`, `00-01-23.456.png`), else found by
    its luma in one pass over the film. Pictures may have any size, and the aspect of the film as
    it is shown or of its frames as they are coded; upright either way. What is transparent is
    given no colour. `hints`: sources of strokes on transparency, whose colours are spread to
    the edges of what they are on. `size`: short side that the network sees.

    A folder's grey pictures (`*.grey.png`) and those that are still as they were exported are
    left out. Raises an InputError that names the picture when one cannot be of this film.
    """
    given = [
        _read(path, seconds, is_hint, info, index, size)
        for group, is_hint in ((sources, False), (hints, True))
        for source in group
        for path, seconds in _listed(source)
    ]
    _find(given, info, index)
    first: dict[int | None, Path] = {}
    for one in given:
        if one.number in first:
            raise InputError(
                f"{first[one.number]} and {one.path} are both of frame {one.number}; leave one out"
            )
        first[one.number] = one.path
    checked = [_checked(one, info, index, size) for one in given]
    return sorted(checked, key=lambda reference: reference.number)


def digest_of(references: Sequence[Reference]) -> str:
    """Return what tells references from others: their frames and colours, "" for none."""
    digest = hashlib.sha256()
    for reference in references:
        digest.update(str(reference.number).encode())
        digest.update(np.rint(reference.ab * 16.0).astype("<i2").tobytes())
        digest.update(np.rint(reference.coverage * 255.0).astype("u1").tobytes())
    return digest.hexdigest()[:16] if references else ""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exported_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the pictures that an export wrote into a folder, by their names."""
    with suppress(OSError, ValueError):
        known = json.loads((folder / AS_EXPORTED).read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    return {}


def likeness(first: FloatPlane, second: FloatPlane) -> float:
    """Return how alike two pictures are, 1 for the same, 0 for any two; both are `detail`."""
    return float(np.vdot(first, second))


def detail(gray: Gray) -> FloatPlane:
    """Return a picture's detail (h, w) less its contrast, of length 1; a blank one has none.

    Exposure, contrast and colours that were painted over it change it little.
    """
    values = gray.astype(np.float32)
    values -= _blurred(values)
    values /= np.sqrt(_blurred(values * values) + _DETAIL_FLOOR**2)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


# ---------------------------------------------------------------- what was typed


def _listed(source: str) -> Iterator[tuple[Path, Fraction | None]]:
    """Yield the pictures of a source, each with its time where one was typed."""
    path, seconds = Path(source), None
    name, at, time = source.rpartition("@")
    if at and not path.exists() and Path(name).exists():
        path = Path(name)
        try:
            seconds = seconds_of(time)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from error
    if not path.is_dir():
        yield path, seconds
        return
    if seconds is not None:
        raise SettingsError(f"{source}: {path} is a folder; only a picture has a time")
    pictures = [p for p in sorted(path.iterdir()) if _is_picture(p)]
    if not pictures:
        raise InputError(
            f"{path} holds no pictures in colour; put some there, "
            "or begin with: filmcolor shots FILM --export DIR"
        )
    known = exported_digests(path)
    painted = [p for p in pictures if known.get(p.name) != file_digest(p)]
    if not painted:
        raise InputError(
            f"{path}: all pictures are still as they were exported; paint some, "
            "or name those that shall stay as they are"
        )
    yield from ((p, None) for p in painted)


def _is_picture(path: Path) -> bool:
    is_shown = not path.name.startswith(".") and path.is_file()
    return (
        is_shown
        and path.suffix.lower() in _SUFFIXES
        and not path.name.lower().endswith(GREY_SUFFIX)
    )


def _number_of(
    path: Path, seconds: Fraction | None, info: FilmInfo, index: FrameIndex
) -> int | None:
    """Return the number of a picture's frame by its time or its name; None where neither tells."""
    numbered = _BY_NUMBER.match(path.name)
    if seconds is None and numbered:
        number = int(numbered[1])
        if index.pts and number >= len(index.pts):
            raise RangeError(
                f"{path}: {info.path} has no frame {number}, "
                f"its frames are 0 to {len(index.pts) - 1}; rename the picture"
            )
        return number
    timed = _BY_TIME.match(path.stem)
    if seconds is None and timed:
        hours, minutes, whole, rest = timed.groups()
        seconds = seconds_of(f"{hours}:{minutes}:{whole}{rest.replace(',', '.')}")
    if seconds is None:
        return None
    try:
        resolve(info, Span(start_seconds=seconds - 1 / info.frame_rate), index)
        until = resolve(info, Span(end_seconds=seconds + ROUNDING), index)
    except RangeError as error:
        raise RangeError(f"{path} at {float(seconds):.3f} s: {error}") from error
    assert until.stop is not None  # a span that is not the whole film has both ends
    return until.stop - 1


# ---------------------------------------------------------------- the pictures


def _read(
    path: Path,
    seconds: Fraction | None,
    is_hint: bool,
    info: FilmInfo,
    index: FrameIndex,
    size: int,
) -> _Given:
    rgba = read_rgba(path)
    _check_aspect(path, rgba.shape, info)
    rgba = np.ascontiguousarray(np.rot90(rgba, -(round(info.rotation / 90) % 4)))
    width, height = small_size(*info.display_size, size)
    ab, coverage = _at_size(rgba, (width // 2, height // 2))
    _check_paint(path, ab, coverage, is_hint)
    number = _number_of(path, seconds, info, index)
    is_whole = coverage.mean() >= _WHOLE
    if number is None and not is_whole:
        raise InputError(
            f"{path}: strokes do not tell which frame they are of; "
            "name the file frame-NUMBER.png, or write PICTURE@TIMECODE"
        )
    return _Given(path, number, is_hint, ab, coverage, _detail_of(rgba, info) if is_whole else None)


def _check_aspect(path: Path, shape: tuple[int, ...], info: FilmInfo) -> None:
    aspect = shape[1] / shape[0]
    is_turned = round(info.rotation / 90) % 2 == 1
    for width, height in (info.display_size, (info.width, info.height)):
        wanted = height / width if is_turned else width / height
        if max(aspect / wanted, wanted / aspect) <= _MAX_STRETCH:
            return
    size = info.display_size[::-1] if is_turned else info.display_size
    shown = "×".join(str(round(side)) for side in size)
    raise InputError(
        f"{path} is {shape[1]}×{shape[0]}, the film is shown as {shown}: another aspect; "
        "crop or scale the picture so that it shows the whole frame"
    )


def _check_paint(path: Path, ab: FloatPlane, coverage: FloatPlane, is_hint: bool) -> None:
    if coverage.max() < _LEAST_OPACITY:
        raise InputError(f"{path}: nothing is painted on it; is it the layer with the strokes?")
    is_whole = coverage.mean() >= _WHOLE
    if is_hint and is_whole:
        raise InputError(
            f"{path} has no transparency, and hints are strokes on transparency: "
            "save their layer alone, as PNG; a whole picture in colour is for --reference"
        )
    if is_whole and np.hypot(ab[..., 0], ab[..., 1]).max() < _LEAST_CHROMA:
        raise InputError(f"{path} has no colour; hand over the picture that you coloured")


def _at_size(rgba: NDArray[np.uint8], size: tuple[int, int]) -> tuple[FloatPlane, FloatPlane]:
    """Return ab (h, w, 2) and opacity (h, w) in 0..1 of R'G'B' and opacity (H, W, 4).

    Each is the mean over a sample's pixels, ab's weighed by opacity. By bands of rows, which
    are narrowed at once: at full size it would be hundreds of megabytes.
    """
    bands = []
    for top in range(0, len(rgba), _BAND):
        band = rgba[top : top + _BAND] * np.float32(1.0 / 255.0)
        red, green, blue, opacity = cv2.split(band)
        _, a, b = lab_from_rgb(red, green, blue)
        planes = cv2.merge([a * opacity, b * opacity, opacity])
        narrow = cv2.resize(planes, (size[0], len(planes)), interpolation=cv2.INTER_AREA)
        bands.append(narrow)
    merged = cv2.resize(np.concatenate(bands), size, interpolation=cv2.INTER_AREA)
    coverage: FloatPlane = np.ascontiguousarray(merged[..., 2]).clip(0.0, 1.0)
    ab: FloatPlane = merged[..., :2] / np.maximum(coverage, 1e-6)[..., None]
    return ab, coverage


def _detail_of(rgba: NDArray[np.uint8], info: FilmInfo) -> FloatPlane:
    small = cv2.resize(rgba, _detail_size(info), interpolation=cv2.INTER_AREA)
    luma = luma_from_rgb(*(small[..., n].astype(np.float32) for n in range(3)))
    return detail(np.rint(luma).astype(np.uint8))


def _detail_size(info: FilmInfo) -> tuple[int, int]:
    return small_size(*info.display_size, _DETAIL_SIZE)


def _blurred(values: FloatPlane) -> FloatPlane:
    blurred: FloatPlane = cv2.GaussianBlur(values, (0, 0), _DETAIL_SIGMA)
    return blurred


# ---------------------------------------------------------------- the film


def _find(given: Sequence[_Given], info: FilmInfo, index: FrameIndex) -> None:
    """Give the pictures whose frame is not known yet the number of the likest frame."""
    sought = [(one, one.detail) for one in given if one.number is None and one.detail is not None]
    best = [_LEAST_LIKENESS] * len(sought)
    for frame in read_luma(info, index=index) if sought else ():
        seen = _seen(frame, info)
        for place, (one, wanted) in enumerate(sought):
            found = likeness(wanted, seen)
            if found > best[place]:
                best[place], one.number = found, frame.number
    for one, _ in sought:
        if one.number is None:
            raise InputError(
                f"{one.path}: no frame of {info.path} looks like it; is it of this film, "
                "uncropped? else name it frame-NUMBER.png, or write PICTURE@TIMECODE"
            )


def _checked(one: _Given, info: FilmInfo, index: FrameIndex, size: int) -> Reference:
    """Return a reference whose picture is like its frame; a hint's strokes are spread in it."""
    assert one.number is not None
    frame = next(read_luma(info, one.number, one.number + 1, index), None)
    if frame is None:
        raise InputError(
            f"{one.path}: frame {one.number} of {info.path} is not there or cannot be decoded; "
            "give a picture of another"
        )
    if one.detail is not None and likeness(one.detail, _seen(frame, info)) < _LEAST_LIKENESS:
        raise InputError(
            f"{one.path} does not look like frame {one.number} of {info.path}; is it of this "
            "film? without a number in its name its frame is searched for"
        )
    if not one.is_hint:
        return Reference(one.number, one.ab, one.coverage)
    from filmcolor.hints import spread  # scipy takes a tenth of a second

    guide = halved(shrink(frame.luma, small_size(*info.display_size, size), info.coding))
    return Reference(one.number, *spread(one.ab, one.coverage, guide))


def _seen(frame: LumaFrame, info: FilmInfo) -> FloatPlane:
    return detail(shrink(frame.luma, _detail_size(info), info.coding))
