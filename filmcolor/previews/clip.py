"""Ranges to look at: before/after clips and contact sheets, with the very frames of a run."""

import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from filmcolor.files import check_target
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.writer import FilmWriter
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import Report, describe_chroma_classes
from filmcolor.pipeline.run import Progress
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import ColorFrame, Plane
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

CLIP_SECONDS = Fraction(5)


def preview(
    film: str | Path,
    output: str | Path | None = None,
    *,
    time_range: TimeRange | None = None,
    options: ColorOptions | None = None,
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
    options = options or ColorOptions()
    info = replace(probe(film), is_deinterlaced=options.deinterlace)
    index = FrameIndex(info)
    part = resolve(info, time_range or TimeRange(end_seconds=CLIP_SECONDS), index)
    wide = replace(info, width=2 * _even(info.width))
    plan = plan_output(wide, None if output is None else Path(output), encoding or Encoding())
    if output is None:
        stem = info.path.with_suffix("").name
        plan = replace(plan, path=plan.path.with_name(f"{stem}.{label}{plan.path.suffix}"))
    check_target(plan.path, info.path, force)
    total = None if part.stop is None else part.stop - part.first
    numbers: list[tuple[int, int]] = []  # and times
    kinds: list[str] = []
    guidance = options.read_guidance(info, index)
    colored = Colorizer(options).frames(
        info, part, target=plan.coding, index=index, guidance=guidance
    )
    with closing(colored), FilmWriter(wide, plan, part) as writer:
        for frame in colored:
            writer.write(side_by_side(frame, plan.coding))
            numbers.append((frame.number, frame.pts))
            kinds.append(frame.chroma_class)
            if progress:
                progress(len(numbers), total)
        writer.finish()
        writer.keep()
    seconds = float(len(numbers) / info.frame_rate)
    notes = (*plan.notes, *describe_chroma_classes(info, numbers, kinds, options.kept_classes))
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


def moment(seconds: Fraction) -> TimeRange:
    """Return the span of a preview clip around a moment of the film."""
    start = max(Fraction(0), seconds - CLIP_SECONDS / 2)
    return TimeRange(start_seconds=start, end_seconds=start + CLIP_SECONDS)


def _even(width: int) -> int:
    return width + width % 2


def _beside_neutral(plane: Plane, coding: Coding) -> Plane:
    return np.hstack([np.full_like(plane, coding.chroma_offset), plane])
