"""Contact sheets: one PNG of frames before and after colouring."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import InputError, SettingsError
from filmcolor.guidance.guidance import Guidance
from filmcolor.images.sheet import (
    GAP,
    add_caption,
    arrange_grid,
    check_sheet,
    choose_evenly,
    place_side_by_side,
    save_sheet,
)
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import Progress
from filmcolor.previews.neutral import remove_color
from filmcolor.timecodes import Seconds, format_timecode
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

_THUMBNAIL_WIDTH = 384  # pixels, of each of the two pictures of a frame
_NUM_COLUMNS = 2


def contact_sheet(
    film: str | Path,
    output: str | Path | None = None,
    *,
    num_frames: int = 12,
    time_range: TimeRange | None = None,
    at_seconds: Sequence[Seconds] = (),
    options: ColorOptions | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one PNG of frames before and after colouring, with their timecodes; return its path.

    The frames are those at `at_seconds` (numbers or timecodes, as in TimeRange), or `num_frames`
    spread evenly over the range. `output` None is NAME.sheet.png beside the film.
    Raises a FilmcolorError when the film cannot be read or the sheet cannot be written.
    """
    options = options or ColorOptions()
    info = options.probe(film)
    target = info.beside(".sheet.png") if output is None else Path(output)
    check_sheet(target, info.path, force)
    numbers = _choose_frames(info, time_range or TimeRange(), at_seconds, num_frames)
    index = FrameIndex.read(info)
    guidance, colorizer = options.read_guidance(info, index), Colorizer(options)
    pairs = []
    for done, number in enumerate(numbers, 1):
        frame = _color_frame(number, info, index, colorizer, guidance)
        if frame is not None:
            is_kept = frame.chroma_class in colorizer.options.kept_classes
            pairs.append(_captioned_pair(frame, info, "   left as it is" if is_kept else ""))
        if progress:
            progress(done, len(numbers))
    if not pairs:
        raise InputError(
            f"{info.path}: nothing from there on can be decoded; choose earlier frames"
        )
    num_columns = min(_NUM_COLUMNS, len(pairs))
    save_sheet(arrange_grid(pairs, num_columns, column_gap=2 * GAP), target)
    return target


def _color_frame(
    number: int, info: FilmInfo, index: FrameIndex, colorizer: Colorizer, guidance: Guidance
) -> ColorFrame | None:
    """Return a finished frame, or the next one that can be decoded; None after the last."""
    for part in (Part(number, number + 1), Part(number)):
        with closing(colorizer.frames(info, part, index=index, guidance=guidance)) as frames:
            frame = next(frames, None)
        if frame is not None:
            return frame
    return None


def _choose_frames(
    info: FilmInfo, time_range: TimeRange, at_seconds: Sequence[Seconds], num_frames: int
) -> list[int]:
    if at_seconds:
        return [resolve(info, TimeRange(start_seconds=s)).first for s in at_seconds]
    if num_frames < 1:
        raise SettingsError(f"a sheet of {num_frames} frames: ask for 1 or more")
    part = resolve(info, TimeRange(first=0) if time_range.is_whole else time_range)
    assert part.stop is not None  # a part that is not the whole film has both ends
    return [part.first + n for n in choose_evenly(part.stop - part.first, num_frames)]


def _captioned_pair(frame: ColorFrame, info: FilmInfo, note: str) -> Image.Image:
    """Return a frame without and with its colour, above its timecode, number and a note."""
    grey = remove_color(frame, info.coding)
    pair = place_side_by_side([_thumbnail(f, info) for f in (grey, frame)])
    timecode = format_timecode(float(info.seconds(frame.pts)))
    return add_caption(pair, f"{timecode}   frame {frame.number}{note}", indent=2)


def _thumbnail(frame: ColorFrame, info: FilmInfo) -> Image.Image:
    """Return a frame as a small upright picture with square pixels."""
    rgb = np.rint(rgb_picture(frame, info.coding) * 255.0).astype(np.uint8)
    width, height = info.display_size
    size = (_THUMBNAIL_WIDTH, max(1, round(_THUMBNAIL_WIDTH * height / width)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return Image.fromarray(info.orientation.upright(small))
