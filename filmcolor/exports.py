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

from filmcolor.chroma import SUBSAMPLING_444, rgb_picture
from filmcolor.decode import FrameIndex
from filmcolor.errors import OutputError
from filmcolor.frames import (
    DAMAGED,
    WHOLE,
    ColorFrame,
    FilmInfo,
    FloatPlane,
    Part,
    SmallFrame,
    Span,
)
from filmcolor.pipeline import Colorizer, Look
from filmcolor.probing import probe
from filmcolor.references import AS_EXPORTED, GREY_SUFFIX, exported_digests, file_digest
from filmcolor.sheets import save_sheet
from filmcolor.shot_list import START, Shot, each_shot
from filmcolor.shots import CUT, DISSOLVE, FADE
from filmcolor.targets import make_folder

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
    span: Span = WHOLE,
    look: Look | None = None,
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
    look = look or Look()
    info = replace(probe(film), is_deinterlaced=look.deinterlace)
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file, and pictures go into a folder; name another")
    chosen = choose_frames(info, span, progress)
    numbers = [number for _, number in chosen if number is not None]
    if not force:
        _check_free(target, numbers)
    index = FrameIndex(info)
    direction, colorizer = look.direction(info, index), Colorizer(look)
    make_folder(target)
    digests = exported_digests(target)
    paths: dict[int, Path] = {}
    for done, number in enumerate(numbers, 1):
        colored = colorizer.frames(
            info,
            Part(number, number + 1),
            subsampling=SUBSAMPLING_444,
            index=index,
            direction=direction,
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
    span: Span = WHOLE,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[tuple[Shot, int | None]]:
    """Return each shot with the number of its best frame, in one pass over the film's luma.

    None where no frame is whole.
    """
    candidates = _Candidates()
    shots = list(each_shot(info, span, candidates, progress))
    kinds = [*(shot.kind for shot in shots[1:]), CUT]  # by which each ends
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

    def add(self, number: int, _kind: str, position: int, frame: SmallFrame) -> None:
        """Look at the frame at a position of a shot."""
        if position == 0:
            self._every = 1
        if position % self._every or frame.frame.fault == DAMAGED:
            return
        guide = frame.guide.astype(np.float32)
        tiny = cv2.resize(guide, _TINY, interpolation=cv2.INTER_AREA)
        tiny -= tiny.mean()
        sharpness = float(cv2.Laplacian(guide, cv2.CV_32F).std() / (guide.std() + 4.0))
        found = self.of_shots.setdefault(number, [])
        found.append(_Candidate(frame.frame.number, sharpness, tiny))
        if len(found) > _MAX_CANDIDATES:
            self._every *= 2
            del found[1::2]


def _best(shot: Shot, ending: str, candidates: Sequence[_Candidate]) -> int | None:
    """Return the sharpest of those frames which are most like their shot's mean."""
    if not candidates:
        return None
    first, stop = shot.first + _MARGINS[shot.kind], shot.stop - _MARGINS[ending]
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
    turns = round(info.rotation / 90) % 4
    for shown, target in ((grey, grey_path), (frame, path)):
        rgb = np.rint(np.rot90(rgb_picture(shown, info.coding), turns) * 255.0).astype(np.uint8)
        save_sheet(Image.fromarray(rgb if shown is frame else rgb[..., 1]), target)
    return path


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    partial = folder / f".{AS_EXPORTED}.partial"
    try:
        partial.write_text(json.dumps(digests, indent=1), encoding="utf-8")
        partial.replace(folder / AS_EXPORTED)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{folder / AS_EXPORTED} cannot be written: {error.strerror}") from error
