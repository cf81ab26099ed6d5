"""Before/after clips of a part of a film, with exactly the frames of a run."""

import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from filmcolor.errors import ContainerError
from filmcolor.files import check_target
from filmcolor.guidance.colored_film import check_output
from filmcolor.output.image_formats import is_image_output
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.writer import FilmWriter
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import Report, describe_chroma_classes
from filmcolor.pipeline.run import Progress
from filmcolor.previews.neutral import remove_color
from filmcolor.timecodes import Seconds, exact_seconds
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex

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
    """Write a clip with the grey film on the left, the coloured one on the right, and its sound.

    `time_range` None is the first five seconds; `output` None is NAME.LABEL.* beside the film. The
    right half holds what `colorize` gives for those frames before encoding.
    Raises a FilmcolorError when the film cannot be read or the clip cannot be written.
    """
    started = time.monotonic()
    options = options or ColorOptions()
    info = options.probe(film)
    index = FrameIndex.read(info)
    part = resolve(info, time_range or TimeRange(end_seconds=CLIP_SECONDS), index)
    wide = replace(info, width=2 * _round_up_to_even(info.width))
    if output is not None and is_image_output(Path(output)):
        raise ContainerError(f"{output}: a preview is a clip of film; name it .mp4 or .mkv")
    plan = plan_output(wide, None if output is None else Path(output), encoding or Encoding())
    if output is None:
        plan = replace(plan, path=info.beside(f".{label}{plan.path.suffix}"))
    check_target(plan.path, info.path, force)
    total = None if part.stop is None else part.stop - part.first
    written: list[tuple[int, int]] = []  # (number, pts)
    classes: list[str] = []
    guidance = options.read_guidance(info, index)
    check_output(plan.path, guidance.colored_films)
    colored = Colorizer(options).frames(
        info, part, target=plan.coding, index=index, guidance=guidance
    )
    with closing(colored), FilmWriter(wide, plan, part) as writer:
        for frame in colored:
            writer.write(side_by_side(frame, plan.coding))
            written.append((frame.number, frame.pts))
            classes.append(frame.chroma_class)
            if progress:
                progress(len(written), total)
        writer.finish()
        writer.keep(plan.path)
    seconds = float(len(written) / info.frame_rate)
    chroma_notes = describe_chroma_classes(info, written, classes, options.kept_classes)
    notes = (*plan.notes, *guidance.notes, *chroma_notes)
    return Report(plan.path, len(written), seconds, time.monotonic() - started, notes)


def side_by_side(frame: ColorFrame, coding: Coding) -> ColorFrame:
    """Return a 4:2:0 frame twice as wide: without its colour on the left, with it on the right."""
    width = frame.luma.shape[1]
    padding = _round_up_to_even(width) - width
    luma = cv2.copyMakeBorder(frame.luma, 0, 0, 0, padding, cv2.BORDER_REPLICATE)
    neutral = remove_color(frame, coding)
    return replace(
        frame,
        luma=np.hstack([luma, luma]),
        cb=np.hstack([neutral.cb, frame.cb]),
        cr=np.hstack([neutral.cr, frame.cr]),
    )


def clip_around(seconds: Seconds) -> TimeRange:
    """Return the range of a preview clip around a time (a number or timecode, as in TimeRange)."""
    start = max(Fraction(0), exact_seconds(seconds) - CLIP_SECONDS / 2)
    return TimeRange(start_seconds=start, end_seconds=start + CLIP_SECONDS)


def _round_up_to_even(width: int) -> int:
    return width + width % 2
