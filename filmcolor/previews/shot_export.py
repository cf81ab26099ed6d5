"""Exports one good frame of each shot in colour, to be painted on and used as references.

DIR/
    frame-001234.png        in colour, as a run gives it: paint on this one
    frame-001234.grey.png   the same frame without colour, to start from scratch
    exported.json           digests, which identify pictures that nobody has painted on
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import OutputError
from filmcolor.files import atomic_write, make_folder
from filmcolor.guidance.reference_sources import (
    EXPORT_MANIFEST,
    GREY_SUFFIX,
    exported_digests,
    file_digest,
)
from filmcolor.images.sheet import save_sheet
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.neutral import remove_color
from filmcolor.shots.key_frames import choose_key_frames
from filmcolor.shots.listing import Shot
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import ColorFrame, Picture
from filmcolor.types.yuv import SUBSAMPLING_444
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex


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

    A good frame is sharp and typical of its shot, and neither beside a cut nor in a dissolve or a
    fade. It is written in colour as `frame-NUMBER.png`, with the grey frame beside it; both have
    the film's frame size, upright. The folder, painted, can be passed as references: file names
    give the frames. The path is None for a shot that cannot be decoded. `progress(done, total)`
    counts the frames that are searched, then the pictures.
    Raises OutputError where a picture exists, unless `force`, and for a folder that cannot be made.
    """
    options = options or ColorOptions()
    info = options.probe(film)
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file, and pictures go into a folder; name another")
    chosen = choose_key_frames(info, time_range, progress)
    numbers = [number for _, number in chosen if number is not None]
    if not force:
        _check_free(target, numbers)
    index = FrameIndex.read(info)
    colorizer = Colorizer(options)
    guidance = colorizer.plan(
        options.read_guidance(info, index), info, resolve(info, time_range, index), index
    )
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
            paths[number] = _write_pair(frame, info, target)
            digests[paths[number].name] = file_digest(paths[number])
            _write_digests(target, digests)
        if progress:
            progress(done, len(numbers))
    return [(shot, None if number is None else paths.get(number)) for shot, number in chosen]


def _file_names(number: int) -> tuple[str, str]:
    """Return the names of a frame's pictures, in colour and in grey."""
    return f"frame-{number:06}.png", f"frame-{number:06}{GREY_SUFFIX}"


def _check_free(folder: Path, numbers: Sequence[int]) -> None:
    """Raise OutputError when a picture of these frames exists."""
    paths = [folder / name for n in numbers for name in _file_names(n)]
    existing = [path for path in paths if path.exists()]
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise OutputError(
            f"{existing[0]}{more} exists, and may have been painted; "
            "choose another folder, or overwrite with --force"
        )


def _write_pair(frame: ColorFrame, info: FilmInfo, folder: Path) -> Path:
    """Write a frame in colour and in grey; return the path of the coloured one."""
    path, grey_path = (folder / name for name in _file_names(frame.number))
    save_sheet(
        Image.fromarray(_upright_rgb(remove_color(frame, info.coding), info)[..., 1]), grey_path
    )
    save_sheet(Image.fromarray(_upright_rgb(frame, info)), path)
    return path


def _upright_rgb(frame: ColorFrame, info: FilmInfo) -> Picture:
    upright = info.orientation.upright(rgb_picture(frame, info.coding))
    return np.rint(upright * 255.0).astype(np.uint8)


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    with atomic_write(folder / EXPORT_MANIFEST) as partial:
        partial.write_text(json.dumps(digests, indent=1), encoding="utf-8")
