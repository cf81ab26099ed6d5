"""Reads the frames of a film, or of a film and its truth, as renditions with cuts marked."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import cv2
import numpy as np

from filmcolor.errors import InputError
from filmcolor.metrics.comparison import (
    FILM,
    GREY,
    TRUTH,
    Rendition,
    comparison_size,
    normalize_luma,
    resize_area,
)
from filmcolor.shots.detector import mark_cuts
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import LumaFrame, ProxyFrame
from filmcolor.video.decoder import read_rgb
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import proxy_frame

_MAX_ASPECT_DIFFERENCE = 0.02  # relative, between a film and its truth


@dataclass(frozen=True, slots=True, eq=False)
class PairedFrame:
    """A frame in all its renditions: grey, the film's, and the truth's where there is one."""

    seconds: float  # from the film's first frame
    renditions: Mapping[str, Rendition]  # by GREY, FILM, TRUTH; all of one size
    proxy: ProxyFrame  # of the luma in which cuts and motion are found
    is_cut: bool = False


def read_paired_frames(sources: Sequence[FilmInfo], part: Part) -> Iterator[PairedFrame]:
    """Yield the frames of a film, or of a film and its truth, in display order.

    Grey, cuts and motion come from the luma of the last source. Raises InputError when the two
    differ in their number of frames or in shape.
    """
    return _mark_cuts(_read(sources, part))


def _read(sources: Sequence[FilmInfo], part: Part) -> Iterator[PairedFrame]:
    """Yield the frames without their cuts."""
    indexes = [FrameIndex.read(info) for info in sources]
    _check_match(sources, indexes)
    size = min((comparison_size(i.width, i.height) for i in sources), key=lambda s: s[0] * s[1])
    readers = [
        read_rgb(info, part.first, part.stop, index)
        for info, index in zip(sources, indexes, strict=True)
    ]
    info = sources[0]
    for frames in zip_longest(*readers):
        if None in frames:
            shorter = frames.index(None)
            raise InputError(
                f"{sources[shorter].path} ends before {sources[shorter - 1].path}; "
                "they must have the same frames"
            )
        pictures = [resize_area(frame.rgb.astype(np.float32) / 255.0, size) for frame in frames]
        luma = resize_area(normalize_luma(frames[-1].luma, sources[-1].coding), size)
        renditions = {GREY: Rendition.from_luma(luma)}
        for name, picture in zip((FILM, TRUTH), pictures, strict=False):
            renditions[name] = Rendition.from_rgb(picture)
        number, pts = frames[0].number, frames[0].pts
        source = LumaFrame(number, renditions[GREY].rgb[..., 0], pts, 0)
        guide = cv2.convertScaleAbs(luma.clip(0.0, 1.0), alpha=255.0)
        yield PairedFrame(float(info.seconds(pts)), renditions, proxy_frame(source, guide))


def _mark_cuts(frames: Iterator[PairedFrame]) -> Iterator[PairedFrame]:
    """Yield the same frames with their cuts marked, which takes a few frames of look-ahead."""
    pending: deque[PairedFrame] = deque()

    def proxies() -> Iterator[ProxyFrame]:
        for frame in frames:
            pending.append(frame)
            yield frame.proxy

    for proxy in mark_cuts(proxies()):
        yield replace(pending.popleft(), proxy=proxy, is_cut=proxy.is_cut)


def _check_match(sources: Sequence[FilmInfo], indexes: Sequence[FrameIndex]) -> None:
    """Raise InputError when a film and its truth cannot have the same frames."""
    first, last = sources[0], sources[-1]
    nums = [len(index.pts) for index in indexes]
    if all(index.is_exact for index in indexes) and nums[0] != nums[-1]:
        raise InputError(
            f"{first.path} has {nums[0]} frames, {last.path} has {nums[-1]}; they must have "
            "the same number: cut one of them to the length of the other"
        )
    aspects = [info.display_size[0] / info.display_size[1] for info in sources]
    is_same_aspect = abs(aspects[0] / aspects[-1] - 1.0) <= _MAX_ASPECT_DIFFERENCE
    if not is_same_aspect or not first.orientation.is_shown_as(last.orientation):
        raise InputError(
            f"{first.path} is {first.width}×{first.height}, {last.path} {last.width}×"
            f"{last.height} and of another shape; name the same film in true colours"
        )
