"""References: pictures that give the colours of some of a film's frames.

Everything about them that can be refused is refused here, before the first frame. Pictures of an
exported folder that nobody has painted are left out (`exported.json` has their digests), or a run
would propagate automatic colours as if they had been given. A reference's digest covers its colours
and frame, not its file, so a picture may be renamed or saved again.

A picture without a time or number is located by the correlation of detail: luma less its blur, over
its local contrast, at a short side of 128. On films of fifteen kinds the same frame scores 0.6 to
1.0 whatever was done to hues, exposure, contrast and sharpness, and 0.3 where half of it is painted
over flat; the next frame 0.5 on average; frames of other films 0.14 at most. Plain correlation of
luma scores 0.5 for other films. Strokes are not compared: they hold no luma.
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

from filmcolor.color.spaces import lab_from_rgb, luma_from_rgb
from filmcolor.errors import InputError, RangeError, SettingsError
from filmcolor.images.image_file import REFERENCE_SUFFIXES, read_rgba
from filmcolor.timecodes import ROUNDING, parse_timecode
from filmcolor.types.film import FilmInfo, TimeRange
from filmcolor.types.frames import FloatPlane, Gray, LumaFrame
from filmcolor.video.decoder import read_luma, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import downscale, halve, proxy_size

EXPORT_MANIFEST = "exported.json"  # in an exported folder: the pictures' digests, by name
GREY_SUFFIX = ".grey.png"
_NUMBER_NAME = re.compile(r"frame-(\d+)", re.IGNORECASE)
_TIME_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)((?:[.,]\d+)?)(?![\w-])")
_MAX_STRETCH = 1.02  # of a picture's aspect relative to the film's
_MIN_OPAQUE = 0.9  # mean opacity of a whole picture; below it a picture holds strokes
_MIN_OPACITY = 0.02  # of a painted sample
_MIN_CHROMA = 3.0  # CIELAB: the maximum of a picture in colour
_BAND = 64  # rows of a picture that are converted at a time
_MIN_CORRELATION = 0.2  # of detail
_DETAIL_SIZE = 128  # short side, pixels
_DETAIL_SIGMA = 6.0  # pixels: detail is finer
_CONTRAST_FLOOR = 5.0  # 8-bit codes of contrast below which detail is mostly noise


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A frame with given colours."""

    number: int  # of the frame in the film
    ab: FloatPlane  # (h/2, w/2, 2), CIELAB, at the size of the frames' `guide`
    coverage: FloatPlane  # (h/2, w/2), 0..1: the share of each sample with a given colour


@dataclass(slots=True, eq=False)
class _Picture:
    """A picture as far as it is known without the film's frames."""

    path: Path
    number: int | None  # of its frame; None until it is found
    is_hint: bool
    ab: FloatPlane
    coverage: FloatPlane
    detail: FloatPlane | None  # of a whole picture; None for strokes


def read_references(
    sources: Sequence[str],
    info: FilmInfo,
    index: FrameIndex,
    size: int,
    hints: Sequence[str] = (),
) -> list[Reference]:
    """Return the references that pictures hold, by frame number.

    A source is a picture, `PICTURE@TIMECODE`, or a folder of pictures. The frame of a picture is
    given by the time, else by its name (`frame-001234.png`, `00-01-23.456.png`), else it is
    searched by its luma in one pass over the film. Pictures are upright, of any size, with the
    aspect of the film as shown or of its frames as coded. Transparent pixels give no colour.
    `hints`: sources of strokes on transparency, which are propagated to edges. `size`: short side
    that the network sees, pixels.

    A folder's grey pictures (`*.grey.png`) and unpainted exports are left out. Raises an InputError
    that names the picture when one does not fit the film.
    """
    pictures = [
        _read(path, seconds, is_hint, info, index, size)
        for group, is_hint in ((sources, False), (hints, True))
        for source in group
        for path, seconds in _list_pictures(source)
    ]
    _find_frames(pictures, info, index)
    paths: dict[int | None, Path] = {}
    for picture in pictures:
        if picture.number in paths:
            raise InputError(
                f"{paths[picture.number]} and {picture.path} are both of frame {picture.number}; "
                "leave one out"
            )
        paths[picture.number] = picture.path
    references = [_check(picture, info, index, size) for picture in pictures]
    return sorted(references, key=lambda reference: reference.number)


def digest_of(references: Sequence[Reference]) -> str:
    """Return a digest of references' frames and colours, "" for none."""
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
    """Return the digests of the pictures that an export wrote into a folder, by name."""
    with suppress(OSError, ValueError):
        digests = json.loads((folder / EXPORT_MANIFEST).read_text(encoding="utf-8"))
        if isinstance(digests, dict):
            return digests
    return {}


def correlation(first: FloatPlane, second: FloatPlane) -> float:
    """Return how similar two `detail` pictures are: 1 for the same, about 0 for unrelated ones."""
    return float(np.vdot(first, second))


def detail(gray: Gray) -> FloatPlane:
    """Return the detail (h, w) of 8-bit luma, of length 1; 0 for a blank picture.

    Exposure, contrast and paint change it little.
    """
    values = gray.astype(np.float32)
    values -= _blur(values)
    values /= np.sqrt(_blur(values * values) + _CONTRAST_FLOOR**2)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


# ---------------------------------------------------------------- sources


def _list_pictures(source: str) -> Iterator[tuple[Path, Fraction | None]]:
    """Yield the pictures of a source, each with its time where one was typed."""
    path, seconds = Path(source), None
    name, at, time = source.rpartition("@")
    if at and not path.exists() and Path(name).exists():
        path = Path(name)
        try:
            seconds = parse_timecode(time)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from error
    if not path.is_dir():
        yield path, seconds
        return
    if seconds is not None:
        raise SettingsError(f"{source}: {path} is a folder; only a picture can have a time")
    pictures = [p for p in sorted(path.iterdir()) if _is_color_picture(p)]
    if not pictures:
        raise InputError(
            f"{path} holds no pictures in colour; put some there, "
            "or begin with: filmcolor shots FILM --export DIR"
        )
    digests = exported_digests(path)
    painted = [p for p in pictures if digests.get(p.name) != file_digest(p)]
    if not painted:
        raise InputError(
            f"{path}: all pictures are unchanged since their export; paint some, "
            "or name those that shall stay as they are"
        )
    yield from ((p, None) for p in painted)


def _is_color_picture(path: Path) -> bool:
    is_visible = not path.name.startswith(".") and path.is_file()
    is_grey = path.name.lower().endswith(GREY_SUFFIX)
    return is_visible and path.suffix.lower() in REFERENCE_SUFFIXES and not is_grey


def _frame_number(
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


# ---------------------------------------------------------------- pictures


def _read(
    path: Path,
    seconds: Fraction | None,
    is_hint: bool,
    info: FilmInfo,
    index: FrameIndex,
    size: int,
) -> _Picture:
    rgba = read_rgba(path)
    _check_aspect(path, rgba.shape, info)
    rgba = np.ascontiguousarray(info.orientation.as_coded(rgba))
    width, height = proxy_size(*info.display_size, size)
    ab, coverage = _at_size(rgba, (width // 2, height // 2))
    _check_paint(path, ab, coverage, is_hint)
    number = _frame_number(path, seconds, info, index)
    is_whole = coverage.mean() >= _MIN_OPAQUE
    if number is None and not is_whole:
        raise InputError(
            f"{path}: strokes alone do not show which frame they belong to; "
            "name the file frame-NUMBER.png, or write PICTURE@TIMECODE"
        )
    picture_detail = _detail_of(rgba, info) if is_whole else None
    return _Picture(path, number, is_hint, ab, coverage, picture_detail)


def _check_aspect(path: Path, shape: tuple[int, ...], info: FilmInfo) -> None:
    aspect = shape[1] / shape[0]
    is_turned = info.quarter_turns % 2 == 1
    for width, height in (info.display_size, (info.width, info.height)):
        expected = height / width if is_turned else width / height
        if max(aspect / expected, expected / aspect) <= _MAX_STRETCH:
            return
    size = info.display_size[::-1] if is_turned else info.display_size
    shown = "×".join(str(round(side)) for side in size)
    raise InputError(
        f"{path} is {shape[1]}×{shape[0]}, the film is shown as {shown}: another aspect; "
        "crop or scale the picture so that it shows the whole frame"
    )


def _check_paint(path: Path, ab: FloatPlane, coverage: FloatPlane, is_hint: bool) -> None:
    if coverage.max() < _MIN_OPACITY:
        raise InputError(f"{path}: nothing is painted on it; is it the layer with the strokes?")
    is_whole = coverage.mean() >= _MIN_OPAQUE
    if is_hint and is_whole:
        raise InputError(
            f"{path} has no transparency, and hints are strokes on transparency: "
            "save their layer alone, as PNG; a whole picture in colour is for --reference"
        )
    if is_whole and np.hypot(ab[..., 0], ab[..., 1]).max() < _MIN_CHROMA:
        raise InputError(f"{path} has no colour; hand over the picture that you coloured")


def _at_size(rgba: NDArray[np.uint8], size: tuple[int, int]) -> tuple[FloatPlane, FloatPlane]:
    """Return ab (h, w, 2) and opacity (h, w) in 0..1 of R'G'B' and opacity (H, W, 4).

    Means over the pixels of each sample, ab weighted by opacity. Computed in bands of rows that
    are narrowed at once: at full size it would take hundreds of megabytes.
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
    reduced = cv2.resize(rgba, _detail_size(info), interpolation=cv2.INTER_AREA)
    luma = luma_from_rgb(*(reduced[..., n].astype(np.float32) for n in range(3)))
    return detail(np.rint(luma).astype(np.uint8))


def _detail_size(info: FilmInfo) -> tuple[int, int]:
    return proxy_size(*info.display_size, _DETAIL_SIZE)


def _blur(values: FloatPlane) -> FloatPlane:
    blurred: FloatPlane = cv2.GaussianBlur(values, (0, 0), _DETAIL_SIGMA)
    return blurred


# ---------------------------------------------------------------- frames


def _find_frames(pictures: Sequence[_Picture], info: FilmInfo, index: FrameIndex) -> None:
    """Set the frame number of pictures without one: the frame with the highest correlation."""
    sought = [(p, p.detail) for p in pictures if p.number is None and p.detail is not None]
    best = [_MIN_CORRELATION] * len(sought)
    for frame in read_luma(info, index=index) if sought else ():
        frame_detail = _frame_detail(frame, info)
        for n, (picture, picture_detail) in enumerate(sought):
            score = correlation(picture_detail, frame_detail)
            if score > best[n]:
                best[n], picture.number = score, frame.number
    for picture, _ in sought:
        if picture.number is None:
            raise InputError(
                f"{picture.path}: no frame of {info.path} looks like it; is it of this film, "
                "uncropped? else name it frame-NUMBER.png, or write PICTURE@TIMECODE"
            )


def _check(picture: _Picture, info: FilmInfo, index: FrameIndex, size: int) -> Reference:
    """Return the reference of a picture that matches its frame; propagate a hint's strokes."""
    number = picture.number
    assert number is not None
    frame = next(read_luma(info, number, number + 1, index), None)
    if frame is None:
        raise InputError(
            f"{picture.path}: frame {number} of {info.path} does not exist or cannot be decoded; "
            "give a picture of another"
        )
    if picture.detail is not None:
        score = correlation(picture.detail, _frame_detail(frame, info))
        if score < _MIN_CORRELATION:
            raise InputError(
                f"{picture.path} does not look like frame {number} of {info.path}; is it of this "
                "film? without a number in its name its frame is searched for"
            )
    if not picture.is_hint:
        return Reference(number, picture.ab, picture.coverage)
    from filmcolor.guidance.scribbles import propagate

    guide = halve(downscale(frame.luma, proxy_size(*info.display_size, size), info.coding))
    return Reference(number, *propagate(picture.ab, picture.coverage, guide))


def _frame_detail(frame: LumaFrame, info: FilmInfo) -> FloatPlane:
    return detail(downscale(frame.luma, _detail_size(info), info.coding))
