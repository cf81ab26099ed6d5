"""One PNG of frames before and after colouring."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import InputError, SettingsError
from filmcolor.guidance.guidance import Guidance
from filmcolor.images.sheet import GAP, TEXT_HEIGHT, check_sheet, save_sheet, write_text
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import Progress
from filmcolor.timecodes import Seconds, format_timecode
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

_THUMB_WIDTH = 384  # pixels, of each of the two pictures of a frame


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
    """Write one PNG of frames before and after, each with its timecode; return its path.

    Frames are those at `at_seconds` (numbers or timecodes, as in TimeRange), or `num_frames` spread
    over the range.
    """
    options = options or ColorOptions()
    info = replace(probe(film), is_deinterlaced=options.deinterlace)
    target = info.path.with_suffix(".sheet.png") if output is None else Path(output)
    check_sheet(target, info.path, force)
    numbers = _choose_frames(info, time_range or TimeRange(), at_seconds, num_frames)
    index = FrameIndex(info)
    guidance, colorizer = options.read_guidance(info, index), Colorizer(options)
    pairs = []
    for done, number in enumerate(numbers, 1):
        frame = _frame_at(number, info, index, colorizer, guidance)
        if frame is not None:
            is_left = frame.chroma_class in colorizer.options.kept_classes
            pairs.append(_captioned_pair(frame, info, "   left as it is" if is_left else ""))
        if progress:
            progress(done, len(numbers))
    if not pairs:
        raise InputError(
            f"{info.path}: nothing from there on can be decoded; choose earlier frames"
        )
    save_sheet(_lay_out(pairs), target)
    return target


def _frame_at(
    number: int, info: FilmInfo, index: FrameIndex, colorizer: Colorizer, guidance: Guidance
) -> ColorFrame | None:
    """Return a finished frame, the next one where it cannot be decoded; None after the last."""
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
    assert part.stop is not None  # a span that is not the whole film has both ends
    length = part.stop - part.first
    num = min(num_frames, length)
    return [part.first + length * (2 * i + 1) // (2 * num) for i in range(num)]


def _captioned_pair(frame: ColorFrame, info: FilmInfo, told: str) -> Image.Image:
    neutral = replace(
        frame,
        cb=np.full_like(frame.cb, info.coding.chroma_offset),
        cr=np.full_like(frame.cr, info.coding.chroma_offset),
    )
    thumbs = [_thumb(picture, info) for picture in (neutral, frame)]
    width, height = thumbs[0].size
    pair = Image.new("RGB", (2 * width + GAP, height + TEXT_HEIGHT), "white")
    pair.paste(thumbs[0], (0, 0))
    pair.paste(thumbs[1], (width + GAP, 0))
    seconds = float(info.seconds(frame.pts))
    caption = f"{format_timecode(seconds)}   frame {frame.number}{told}"
    write_text(pair, (2, height + 2), caption, pair.width - 2)
    return pair


def _thumb(frame: ColorFrame, info: FilmInfo) -> Image.Image:
    rgb = np.rint(rgb_picture(frame, info.coding) * 255.0).astype(np.uint8)
    width, height = info.display_size
    size = (_THUMB_WIDTH, max(1, round(_THUMB_WIDTH * height / width)))
    turns = info.quarter_turns
    return Image.fromarray(np.rot90(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), turns))


def _lay_out(pairs: list[Image.Image]) -> Image.Image:
    """Put the pairs in two columns, left to right, then down."""
    width, height = pairs[0].size
    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (columns * (width + 2 * GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        sheet.paste(pair, (GAP + column * (width + 2 * GAP), GAP + row * (height + GAP)))
    return sheet
