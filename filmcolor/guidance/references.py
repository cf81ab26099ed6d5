"""References: pictures that give the colours of some of a film's frames, or of what they show.

`guidance.picture_reader` compares them with their frames. A reference's digest covers its colours
and frame, not its file, so a picture may be renamed or saved again. A picture that is no frame of
the film is a *lookalike*: things that look alike take its colours (`guidance.likeness_plan`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color.spaces import lab_from_rgb, luma_from_rgb
from filmcolor.errors import InputError
from filmcolor.guidance.exemplars import Exemplar
from filmcolor.guidance.reference_frames import detail_of_picture
from filmcolor.guidance.reference_sources import frame_number
from filmcolor.images.image_file import read_rgba
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import proxy_size

_MAX_STRETCH = 1.02  # of a picture's aspect relative to the film's
MIN_OPAQUE = 0.9  # mean opacity of a whole picture; below it a picture holds strokes
MIN_OPACITY = 0.02  # of a painted sample
_MIN_CHROMA = 3.0  # CIELAB: the maximum of a picture in colour
_BAND = 64  # rows of a picture that are converted at a time
# sizes of a lookalike that are compared, relative to the film's: things in it may be larger
_SCALES = 1.0, 0.5
_MAX_ELONGATION = 2.0  # long side over short side; beyond it a lookalike is compared at less detail


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A frame with given colours."""

    number: int  # of the frame in the film
    ab: FloatPlane  # (h/2, w/2, 2), CIELAB, at the size of the frames' `guide`
    coverage: FloatPlane  # (h/2, w/2), 0..1: the share of each sample with a given colour


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What a person has given: references in order of their frames, and pictures of other things.

    A lookalike is there at several sizes, which have the same name.
    """

    references: tuple[Reference, ...]
    lookalikes: tuple[Exemplar, ...] = ()


@dataclass(slots=True, eq=False)
class Picture:
    """A picture as far as it is known without the film's frames."""

    path: Path
    number: int | None  # of its frame; None until it is found
    is_sought: bool  # whether its frame has to be found
    is_hint: bool
    ab: FloatPlane
    coverage: FloatPlane
    detail: FloatPlane | None  # of a whole picture with the film's aspect
    lookalikes: tuple[Exemplar, ...]  # what it is if it has no frame
    reference: Reference | None = None  # once its frame has been compared with it


def digest_of(references: Sequence[Reference]) -> str:
    """Return a digest of references' frames and colours, "" for none."""
    digest = hashlib.sha256()
    for reference in references:
        digest.update(str(reference.number).encode())
        digest.update(np.rint(reference.ab * 16.0).astype("<i2").tobytes())
        digest.update(np.rint(reference.coverage * 255.0).astype("u1").tobytes())
    return digest.hexdigest()[:16] if references else ""


def read_picture(
    path: Path,
    seconds: Fraction | None,
    is_hint: bool,
    info: FilmInfo,
    index: FrameIndex,
    size: int,
) -> Picture:
    """Return a picture, not yet compared with its frame.

    `seconds`: the time that was typed with it. `size`: short side that the network sees, pixels.
    Raises an InputError that names the picture when it does not fit the film.
    """
    rgba = read_rgba(path)
    number = frame_number(path, seconds, info, index)
    has_films_aspect = _has_aspect(rgba.shape, info)
    if not has_films_aspect and (is_hint or number is not None):
        raise _aspect_error(path, rgba.shape, info)
    rgba = np.ascontiguousarray(info.orientation.as_coded(rgba))
    width, height = proxy_size(*info.display_size, size)
    ab, coverage = colors_at_size(rgba, (width // 2, height // 2))
    check_paint(path, ab, coverage, is_hint)
    is_whole = coverage.mean() >= MIN_OPAQUE
    if number is None and not is_whole:
        raise InputError(
            f"{path}: strokes alone do not show which frame they belong to; "
            "name the file frame-NUMBER.png, or write PICTURE@TIMECODE"
        )
    has_detail = is_whole and has_films_aspect
    picture_detail = detail_of_picture(rgba, info) if has_detail else None
    lookalikes = _lookalikes(str(path), rgba, size) if number is None else ()
    is_sought = has_detail and number is None
    return Picture(path, number, is_sought, is_hint, ab, coverage, picture_detail, lookalikes)


def _lookalikes(name: str, rgba: NDArray[np.uint8], size: int) -> tuple[Exemplar, ...]:
    """Return R'G'B' and opacity (H, W, 4) as exemplars, at sizes relative to a short side."""
    height, width = rgba.shape[:2]
    elongation = max(height, width) / min(height, width)
    short_side = size * min(1.0, (_MAX_ELONGATION / elongation) ** 0.5)
    exemplars = []
    for scale in _SCALES:
        own_size = proxy_size(width, height, max(32, round(scale * short_side)))
        small = cv2.resize(rgba, own_size, interpolation=cv2.INTER_AREA).astype(np.float32)
        luma = luma_from_rgb(*(np.ascontiguousarray(small[..., n]) for n in range(3)))
        planes = colors_at_size(rgba, (own_size[0] // 8, own_size[1] // 8))
        exemplars.append(Exemplar.make(name, np.rint(luma).astype(np.uint8), *planes))
    return tuple(exemplars)


def _has_aspect(shape: tuple[int, ...], info: FilmInfo) -> bool:
    """Return whether a picture (H, W) has the aspect of a film, as shown or as coded."""
    aspect = shape[1] / shape[0]
    is_turned = info.quarter_turns % 2 == 1
    sizes = info.display_size, (info.width, info.height)
    expected = [height / width if is_turned else width / height for width, height in sizes]
    return any(is_same_aspect(aspect, e) for e in expected)


def is_same_aspect(aspect: float, expected: float) -> bool:
    """Return whether two aspects, width over height, are of one picture at two sizes."""
    return max(aspect / expected, expected / aspect) <= _MAX_STRETCH


def _aspect_error(path: Path, shape: tuple[int, ...], info: FilmInfo) -> InputError:
    is_turned = info.quarter_turns % 2 == 1
    size = info.display_size[::-1] if is_turned else info.display_size
    shown = "×".join(str(round(side)) for side in size)
    return InputError(
        f"{path} is {shape[1]}×{shape[0]}, the film is shown as {shown}: another aspect; "
        "crop or scale the picture so that it shows the whole frame"
    )


def check_paint(path: Path, ab: FloatPlane, coverage: FloatPlane, is_hint: bool) -> None:
    """Raise InputError for a picture without colours, or hints without transparency."""
    if coverage.max() < MIN_OPACITY:
        raise InputError(f"{path}: nothing is painted on it; is it the layer with the strokes?")
    is_whole = coverage.mean() >= MIN_OPAQUE
    if is_hint and is_whole:
        raise InputError(
            f"{path} has no transparency, and hints are strokes on transparency: "
            "save their layer alone, as PNG; a whole picture in colour is for --reference"
        )
    if is_whole and np.hypot(ab[..., 0], ab[..., 1]).max() < _MIN_CHROMA:
        raise InputError(f"{path} has no colour; hand over the picture that you coloured")


def colors_at_size(rgba: NDArray[np.uint8], size: tuple[int, int]) -> tuple[FloatPlane, FloatPlane]:
    """Return ab (h, w, 2) and opacity (h, w) in 0..1 of R'G'B' and opacity (H, W, 4).

    Means over the pixels of each sample, ab weighted by opacity. Computed in bands of rows that
    are narrowed at once: at full size it would take hundreds of megabytes.
    """
    bands = []
    for top in range(0, len(rgba), _BAND):
        if not rgba[top : top + _BAND, :, 3].any():  # most of a picture with strokes
            bands.append(np.zeros((len(rgba[top : top + _BAND]), size[0], 3), np.float32))
            continue
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
