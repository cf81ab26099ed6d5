"""Compares weights with the true colours of a film."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

import filmcolor.weights as weights_store
from filmcolor.color.chroma import ChromaPlan, add_chroma, rgb_picture
from filmcolor.errors import InputError
from filmcolor.images.sheet import check_sheet, choose_evenly
from filmcolor.metrics.comparison import (
    Rendition,
    add_renditions,
    downscale_to_comparison,
    normalize_luma,
)
from filmcolor.metrics.temporal import MotionTracker
from filmcolor.network.onnx_file import is_model
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.timecodes import format_timecode
from filmcolor.train.evaluation.options import Evaluation, EvaluationOptions, Progress
from filmcolor.train.evaluation.pictures import has_color
from filmcolor.train.evaluation.sheet import SheetBuilder, SheetOptions
from filmcolor.train.evaluation.table import GREY, TRUTH, Accumulators, RowKey, make_rows
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import AbFrame, RgbFrame
from filmcolor.types.yuv import SUBSAMPLING_420
from filmcolor.video.decoder import read_rgb, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

_NUM_SAMPLED = 12  # frames that are searched for colour before all frames are compared


def evaluate_film(
    film: Path,
    options: EvaluationOptions,
    time_range: TimeRange = WHOLE,
    sheet: SheetOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the figures of weights on a film, coloured from its luma.

    The frames are those of a run before the encoder (4:2:0): finished at full size, and then
    compared at the size of `filmcolor.metrics.comparison`. Figures are means over frames or over
    their pixels; pairs of frames across a cut are left out. Memory does not grow with the film.
    """
    info = probe(film)
    if sheet is not None:
        check_sheet(sheet.path, info.path, sheet.force)
    part = resolve(info, TimeRange(first=0) if time_range.is_whole else time_range)
    assert part.stop is not None  # a range that is not the whole film has both ends
    index, num_frames = FrameIndex.read(info), part.stop - part.first
    _check_colors(info, part, index)
    sheet_builder, accumulators = SheetBuilder(sheet, num_frames), Accumulators()
    num_compared = num_colored = 0
    tracker = MotionTracker()
    # the saturation is applied afterwards
    runs = [
        ColorOptions(
            device=options.device,
            batch_size=options.batch_size,
            size=size,
            surfaces=options.surfaces,
            cast=options.cast,
            weights=weights_store.DEFAULT if is_model(name) else name,
            model=name if is_model(name) else "",
            anchors=options.anchors,
        )
        for name in options.weights
        for size in options.sizes
    ]
    with ExitStack() as stack:
        frames = stack.enter_context(
            Prefetch(read_rgb(info, part.first, part.stop, index), options.batch_size)
        )
        colored_runs = [
            stack.enter_context(
                Prefetch(Colorizer(run).ab_frames(info, part, index), run.batch_size)
            )
            for run in runs
        ]
        for frame, *colored in zip(frames, *colored_runs, strict=True):
            renditions = _render(frame, dict(zip(runs, colored)), options.saturations, info)
            grey, *_, truth = renditions.values()
            motion = tracker.add(grey.rgb[..., 0], colored[0].is_cut)
            add_renditions(accumulators, renditions)
            for key, rendition in renditions.items():
                accumulators[key].add_motion(rendition, motion)
            seconds = float(info.seconds(frame.pts))
            caption = f"{format_timecode(seconds)}   frame {frame.number}"
            sheet_builder.offer(num_compared, caption, renditions, info.orientation)
            num_compared += 1
            num_colored += has_color(truth)
            if progress:
                progress(num_compared, num_frames)
    if not num_colored:
        raise _no_color_error(info)
    sheet_builder.save()
    return Evaluation(info.path, True, num_compared, make_rows(accumulators))


def _render(
    frame: RgbFrame,
    colored: Mapping[ColorOptions, AbFrame],
    saturations: tuple[float, ...],
    info: FilmInfo,
) -> dict[RowKey, Rendition]:
    """Return a frame's renditions, from grey to the truth."""
    luma, coding = next(iter(colored.values())).source.luma, info.coding
    grey = Rendition.from_luma(downscale_to_comparison(normalize_luma(luma, coding)))
    renditions = {RowKey(GREY): grey}
    plan = ChromaPlan(coding, coding, SUBSAMPLING_420)
    for options, ab_frame in colored.items():
        for saturation in saturations:
            saturated = replace(ab_frame, ab=ab_frame.ab * np.float32(saturation))
            rgb = rgb_picture(add_chroma(saturated, plan), coding)
            key = RowKey(options.model or options.weights, options.size, saturation)
            renditions[key] = Rendition.from_rgb(rgb)
    return renditions | {RowKey(TRUTH): _true_rendition(frame)}


def _true_rendition(frame: RgbFrame) -> Rendition:
    return Rendition.from_rgb(frame.rgb.astype(np.float32) / 255.0)


def _check_colors(info: FilmInfo, part: Part, index: FrameIndex) -> None:
    """Raise InputError when a sample of a film's frames has no colour."""
    if not index.is_exact:  # without seeking, each frame would be decoded from the beginning
        return
    assert part.stop is not None
    for offset in choose_evenly(part.stop - part.first, _NUM_SAMPLED):
        number = part.first + offset
        if any(has_color(_true_rendition(f)) for f in read_rgb(info, number, number + 1, index)):
            return
    raise _no_color_error(info)


def _no_color_error(info: FilmInfo) -> InputError:
    return InputError(
        f"{info.path} has no colour in the frames asked for, so there is nothing to compare "
        "with; name a film in colour"
    )
