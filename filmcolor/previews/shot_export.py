"""One good frame of each shot as a picture in colour, to be painted and handed back.

DIR/
    frame-001234.png        in colour, as a run would give it: paint on this one
    frame-001234.grey.png   the same frame without colour, for whoever begins anew
    exported.json           digests, by which pictures that nobody painted are known
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, make_folder
from filmcolor.guidance.references import (
    EXPORT_MANIFEST,
    GREY_SUFFIX,
    exported_digests,
    file_digest,
)
from filmcolor.images.sheet import save_sheet
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.shots.detector import CUT, DISSOLVE, FADE
from filmcolor.shots.listing import START, Shot, iter_shots
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import DAMAGED, ColorFrame, FloatPlane, ProxyFrame
from filmcolor.types.yuv import SUBSAMPLING_444
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

# frames beside a shot's ends that show the other shot too, or a splice
_MARGINS = {START: 0, CUT: 4, DISSOLVE: 16, FADE: 16}
_MAX_CANDIDATES = 240  # of a shot
_MAX_DISTANCE = 1.5  # of a frame from its shot's mean, times the median one
_GRAIN = 2.0  # codes from the mean that say nothing
_TINY = (24, 18)  # (width, height) of the pictures that are compared with a shot's mean


def export_shots(
    film: str | Path,
    folder: str | Path,
    *,
    time_range: TimeRange = WHOLE,
    options: ColorOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[tuple[Shot, Path | None]]:
    """Write one good frame of each shot into a folder; return each shot with its picture.

    A frame that is sharp and like most of its shot, not beside a cut, in a dissolve or a fade:
    in colour as `frame-NUMBER.png`, and grey beside it. Both have the film's own frame size,
    upright. A folder that is handed back as it is, painted, names the frames again. Of a shot
    that cannot be decoded there is no picture, so None. Raises an OutputError where a picture
    is there already, unless `force`. `progress` is told the frames that are looked at, then the
    pictures.
    """
    options = options or ColorOptions()
    info = replace(probe(film), is_deinterlaced=options.deinterlace)
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file, and pictures go into a folder; name another")
    chosen = choose_frames(info, time_range, progress)
    numbers = [number for _, number in chosen if number is not None]
    if not force:
        _check_free(target, numbers)
    index = FrameIndex(info)
    guidance, colorizer = options.read_guidance(info, index), Colorizer(options)
    make_folder(target)
    digests = exported_digests(target)
    paths: dict[int, Path] = {}
    for done, number in enumerate(numbers, 1):
        colored = colorizer.frames(
            info,
            Part(number, number + 1),
            subsampling=SUBSAMPLING_444,
            index=index,
            guidance=guidance,
        )
        for frame in colored:
            paths[number] = _written(frame, info, target)
            digests[paths[number].name] = file_digest(paths[number])
            _write_digests(target, digests)
        if progress:
            progress(done, len(numbers))
    return [(shot, None if number is None else paths.get(number)) for shot, number in chosen]


def choose_frames(
    info: FilmInfo,
    time_range: TimeRange = WHOLE,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[tuple[Shot, int | None]]:
    """Return each shot with the number of its best frame, in one pass over the film's luma.

    None where no frame is whole.
    """
    candidates = _Candidates()
    shots = list(iter_shots(info, time_range, candidates, progress))
    kinds = [*(shot.transition for shot in shots[1:]), CUT]  # by which each ends
    return [
        (shot, _best(shot, ending, candidates.of_shots.get(shot.number, [])))
        for shot, ending in zip(shots, kinds, strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    number: int
    sharpness: float
    tiny: FloatPlane


class _Candidates:
    """What is known of the frames of shots: of long ones every second, or fourth, and so on."""

    def __init__(self) -> None:
        self.of_shots: dict[int, list[_Candidate]] = {}
        self._every = 1

    def add(self, number: int, _kind: str, position: int, frame: ProxyFrame) -> None:
        """Look at the frame at a position of a shot."""
        if position == 0:
            self._every = 1
        if position % self._every or frame.source.fault == DAMAGED:
            return
        guide = frame.guide.astype(np.float32)
        tiny = cv2.resize(guide, _TINY, interpolation=cv2.INTER_AREA)
        tiny -= tiny.mean()
        sharpness = float(cv2.Laplacian(guide, cv2.CV_32F).std() / (guide.std() + 4.0))
        found = self.of_shots.setdefault(number, [])
        found.append(_Candidate(frame.source.number, sharpness, tiny))
        if len(found) > _MAX_CANDIDATES:
            self._every *= 2
            del found[1::2]


def _best(shot: Shot, ending: str, candidates: Sequence[_Candidate]) -> int | None:
    """Return the sharpest of those frames which are most like their shot's mean."""
    if not candidates:
        return None
    first, stop = shot.first + _MARGINS[shot.transition], shot.stop - _MARGINS[ending]
    inside = [c for c in candidates if first <= c.number < stop]
    inside = inside or [candidates[len(candidates) // 2]]
    mean = np.mean([c.tiny for c in inside], axis=0)
    distances = [float(np.abs(c.tiny - mean).mean()) for c in inside]
    furthest = max(_GRAIN, _MAX_DISTANCE * float(np.median(distances)))
    typical = [c for c, distance in zip(inside, distances, strict=True) if distance <= furthest]
    return max(typical, key=lambda c: c.sharpness).number


def _names(number: int) -> tuple[str, str]:
    return f"frame-{number:06}.png", f"frame-{number:06}{GREY_SUFFIX}"


def _check_free(folder: Path, numbers: Sequence[int]) -> None:
    there = [folder / name for n in numbers for name in _names(n) if (folder / name).exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise OutputError(
            f"{there[0]}{more} exists, and may have been painted; "
            "choose another folder, or overwrite with --force"
        )


def _written(frame: ColorFrame, info: FilmInfo, folder: Path) -> Path:
    """Write a frame in colour and in grey; return the path of the former."""
    neutral = np.full_like(frame.cb, info.coding.chroma_offset)
    grey = replace(frame, cb=neutral, cr=neutral)
    path, grey_path = (folder / name for name in _names(frame.number))
    turns = info.quarter_turns
    for shown, target in ((grey, grey_path), (frame, path)):
        rgb = np.rint(np.rot90(rgb_picture(shown, info.coding), turns) * 255.0).astype(np.uint8)
        save_sheet(Image.fromarray(rgb if shown is frame else rgb[..., 1]), target)
    return path


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    with atomic_write(folder / EXPORT_MANIFEST) as partial:
        partial.write_text(json.dumps(digests, indent=1), encoding="utf-8")
