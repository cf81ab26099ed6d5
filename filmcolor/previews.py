"""Ranges to look at: before/after clips and contact sheets, with the very frames of a run."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from filmcolor.chroma import rgb_picture
from filmcolor.color import Coding
from filmcolor.decode import FrameIndex, resolve
from filmcolor.direction import Direction
from filmcolor.encode import FilmWriter
from filmcolor.errors import InputError, SettingsError
from filmcolor.frames import ColorFrame, FilmInfo, Part, Plane, Span
from filmcolor.pipeline import Colorizer, Look, Progress, Report
from filmcolor.plan import Encoding, plan_output
from filmcolor.probing import probe
from filmcolor.sheets import GAP, TEXT_HEIGHT, check_sheet, save_sheet, write_text
from filmcolor.targets import check_target
from filmcolor.timecodes import timecode
from filmcolor.tints import notes_of

CLIP_SECONDS = Fraction(5)
_THUMB_WIDTH = 384  # pixels, of each of the two pictures of a frame


def preview(
    film: str | Path,
    output: str | Path | None = None,
    *,
    span: Span | None = None,
    look: Look | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    progress: Progress | None = None,
    label: str = "preview",
) -> Report:
    """Write a clip of a span, grey on the left and coloured on the right, with its sound.

    `span` None takes the first five seconds; `output` None is NAME.LABEL.* beside the
    film. The right half holds what `colorize` would give for those frames before encoding.
    """
    started = time.monotonic()
    look = look or Look()
    info = replace(probe(film), is_deinterlaced=look.deinterlace)
    index = FrameIndex(info)
    part = resolve(info, span or Span(end_seconds=CLIP_SECONDS), index)
    wide = replace(info, width=2 * _even(info.width))
    plan = plan_output(wide, None if output is None else Path(output), encoding or Encoding())
    if output is None:
        stem = info.path.with_suffix("").name
        plan = replace(plan, path=plan.path.with_name(f"{stem}.{label}{plan.path.suffix}"))
    check_target(plan.path, info.path, force)
    total = None if part.stop is None else part.stop - part.first
    numbers: list[tuple[int, int]] = []  # and times
    kinds: list[str] = []
    direction = look.direction(info, index)
    colored = Colorizer(look).frames(info, part, plan.coding, index=index, direction=direction)
    with closing(colored), FilmWriter(wide, plan, part) as writer:
        for frame in colored:
            writer.write(side_by_side(frame, plan.coding))
            numbers.append((frame.number, frame.pts))
            kinds.append(frame.kind)
            if progress:
                progress(len(numbers), total)
        writer.finish()
        writer.keep()
    seconds = float(len(numbers) / info.frame_rate)
    notes = (*plan.notes, *notes_of(info, numbers, kinds, look.left))
    return Report(plan.path, len(numbers), seconds, time.monotonic() - started, notes)


def side_by_side(frame: ColorFrame, coding: Coding) -> ColorFrame:
    """Return a frame twice as wide: without its colour, then with it (4:2:0)."""
    width = frame.luma.shape[1]
    luma = cv2.copyMakeBorder(frame.luma, 0, 0, 0, _even(width) - width, cv2.BORDER_REPLICATE)
    return replace(
        frame,
        luma=np.hstack([luma, luma]),
        cb=_beside_neutral(frame.cb, coding),
        cr=_beside_neutral(frame.cr, coding),
    )


def contact_sheet(
    film: str | Path,
    output: str | Path | None = None,
    *,
    num_frames: int = 12,
    span: Span | None = None,
    at_seconds: Sequence[Fraction] = (),
    look: Look | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one PNG of frames before and after, each with its timecode; return its path.

    Frames are those at `at_seconds`, or `num_frames` spread over the span.
    """
    look = look or Look()
    info = replace(probe(film), is_deinterlaced=look.deinterlace)
    target = info.path.with_suffix(".sheet.png") if output is None else Path(output)
    check_sheet(target, info.path, force)
    numbers = _choose_frames(info, span or Span(), at_seconds, num_frames)
    index = FrameIndex(info)
    direction, colorizer = look.direction(info, index), Colorizer(look)
    pairs = []
    for done, number in enumerate(numbers, 1):
        frame = _frame_at(number, info, index, colorizer, direction)
        if frame is not None:
            is_left = frame.kind in colorizer.look.left
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
    number: int, info: FilmInfo, index: FrameIndex, colorizer: Colorizer, direction: Direction
) -> ColorFrame | None:
    """Return a finished frame, the next one where it cannot be decoded; None after the last."""
    for part in (Part(number, number + 1), Part(number)):
        with closing(colorizer.frames(info, part, index=index, direction=direction)) as frames:
            frame = next(frames, None)
        if frame is not None:
            return frame
    return None


def moment(seconds: Fraction) -> Span:
    """Return the span of a preview clip around a moment of the film."""
    start = max(Fraction(0), seconds - CLIP_SECONDS / 2)
    return Span(start_seconds=start, end_seconds=start + CLIP_SECONDS)


def _even(width: int) -> int:
    return width + width % 2


def _beside_neutral(plane: Plane, coding: Coding) -> Plane:
    return np.hstack([np.full_like(plane, coding.chroma_offset), plane])


def _choose_frames(
    info: FilmInfo, span: Span, at_seconds: Sequence[Fraction], num_frames: int
) -> list[int]:
    if at_seconds:
        return [resolve(info, Span(start_seconds=s)).first for s in at_seconds]
    if num_frames < 1:
        raise SettingsError(f"a sheet of {num_frames} frames: ask for 1 or more")
    part = resolve(info, Span(first=0) if span.is_whole else span)
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
    seconds = float((frame.pts - info.start_pts) * info.time_base)
    caption = f"{timecode(seconds)}   frame {frame.number}{told}"
    write_text(pair, (2, height + 2), caption, pair.width - 2)
    return pair


def _thumb(frame: ColorFrame, info: FilmInfo) -> Image.Image:
    rgb = np.rint(rgb_picture(frame, info.coding) * 255.0).astype(np.uint8)
    width, height = info.display_size
    size = (_THUMB_WIDTH, max(1, round(_THUMB_WIDTH * height / width)))
    turns = round(info.rotation / 90) % 4
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
