"""Weights against true colours: pictures or a film, each row beside grey's and the truth's."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import filmcolor.weights as weights_store
from filmcolor.color.chroma import ChromaPlan, add_chroma, rgb_picture
from filmcolor.color.gamut import chroma_from_lab
from filmcolor.color.spaces import rgb_from_ycc
from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.images.image_file import STILL_SUFFIXES
from filmcolor.images.sheet import check_sheet
from filmcolor.metrics.comparison import (
    Shown,
    add_views,
    eight_bits,
    reduced,
    scaled_luma,
    show_luma,
    show_rgb,
)
from filmcolor.metrics.image import mean_chroma
from filmcolor.metrics.temporal import Track
from filmcolor.network.predictor import Predictor
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import Progress
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.timecodes import format_timecode
from filmcolor.train.data.dataset import find_stills, whole_picture
from filmcolor.train.data.film_stock import luma_and_ab, old_stock
from filmcolor.train.evaluation.sheet import Columns, SheetWish, spread
from filmcolor.train.evaluation.table import GREY, TRUTH, Key, Row, Tallies, rows_of
from filmcolor.train.validation import LEAST_CHROMA, predict_whole
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import AbFrame, FloatPlane, RgbFrame
from filmcolor.types.yuv import SUBSAMPLING_420, Coding
from filmcolor.video.decoder import read_rgb, resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import STRIDE

_NUM_LOOKED_AT = 12  # frames of a film that are searched for colour before all are compared
_OLD_STOCK_SEED = 20  # and the picture's number: each is aged in the same way every time
_SRGB = Coding(1, True, 8)  # pictures: BT.709's luma, full range
_DEFAULTS = ColorOptions()


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: every combination of weights, network size and saturation.

    `is_flip_averaged`: the answer is the mean of a picture's and its mirror image's.
    `is_old_stock`: the network sees luma as old film stock would have recorded it; what it
    is compared with stays clean. Both are for pictures only.
    """

    weights: tuple[str, ...]
    sizes: tuple[int, ...] = (_DEFAULTS.size,)  # short sides, pixels
    saturations: tuple[float, ...] = (_DEFAULTS.saturation,)
    device: str = _DEFAULTS.device
    batch_size: int = _DEFAULTS.batch_size
    is_flip_averaged: bool = False
    is_old_stock: bool = False

    def __post_init__(self) -> None:
        for name in ("weights", "sizes", "saturations"):
            given = getattr(self, name)
            if not given:
                raise SettingsError(f"{name}: name at least one")
            object.__setattr__(self, name, tuple(dict.fromkeys(given)))
        for size in self.sizes:
            for saturation in self.saturations:
                ColorOptions(
                    size=size, batch_size=self.batch_size, saturation=saturation
                )  # checks them

    @property
    def all_options(self) -> list[ColorOptions]:
        """One look for each run of a network; saturation changes what comes out of it."""
        return [
            ColorOptions(name, self.device, self.batch_size, size)
            for name in self.weights
            for size in self.sizes
        ]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a trial: rows by size, from grey to the truth."""

    data: Path
    is_film: bool
    num_pictures: int  # or frames, that were compared
    rows: list[Row]
    unreadable: tuple[str, ...] = ()  # names of pictures that were left out
    colorless: tuple[str, ...] = ()  # the same


def evaluate(
    data: str | Path,
    trial: Trial,
    *,
    time_range: TimeRange = WHOLE,
    sheet: SheetWish | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare weights with the true colours of a folder of pictures, or of a film.

    `span`: of a film. `progress(done, total)` is called after every picture or frame.
    Raises InputError when there is no such data or nothing in it has colour, SettingsError
    when a wish has no meaning for it, OutputError when the sheet cannot be written.
    """
    path = Path(data)
    if path.is_dir():
        if not time_range.is_whole:
            raise SettingsError(f"{path} holds pictures: a range is of a film; leave it out")
        return evaluate_pictures(path, trial, sheet, progress)
    if path.is_file() and path.suffix.lower() in STILL_SUFFIXES:
        raise InputError(f"{path} is one picture; name the folder that holds it")
    if trial.is_flip_averaged or trial.is_old_stock:
        raise SettingsError(f"{path} is a film: old stock and flips are for folders of pictures")
    return evaluate_film(path, trial, time_range, sheet, progress)


def evaluate_pictures(
    folder: Path,
    trial: Trial,
    sheet: SheetWish | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare weights with every colour picture below a folder, at the network's size.

    ab RMSE and chroma are of the network's full output, its nearest-neighbour doubling
    included, times the saturation; each picture weighs by its pixels. Colourfulness and
    PSNR are means over pictures as they are finished: Y' kept, ab in gamut, 8 bits. FrameBuilder
    without colour are left out.
    """
    paths = find_stills(folder)
    if sheet is not None:
        if sheet.path.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{sheet.path} would lie among the pictures; name another folder")
        check_sheet(sheet.path, folder, sheet.force)
    columns = Columns(sheet, len(paths))
    predictors = {name: Predictor(weights_store.load(name), trial.device) for name in trial.weights}
    groups: dict[int, Tallies] = {size: {} for size in trial.sizes}
    unreadable: list[str] = []
    colorless: list[str] = []
    for number, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        try:
            views = {
                size: _views_of_picture(path, number, size, trial, predictors)
                for size in trial.sizes
            }
        except InputError:
            unreadable.append(name)
        else:
            if _has_color(views[trial.sizes[0]][Key(TRUTH, trial.sizes[0])]):
                shown: dict[Key, Shown] = {}
                for size, views_at_size in views.items():
                    add_views(groups[size], views_at_size)
                    shown |= views_at_size
                columns.offer(number, name, shown)
            else:
                colorless.append(name)
        if progress:
            progress(number + 1, len(paths))
    num_compared = len(paths) - len(unreadable) - len(colorless)
    if not num_compared:
        raise InputError(
            f"{folder} holds no picture in colour ({len(colorless)} grey, "
            f"{len(unreadable)} unreadable); name a folder of colour pictures"
        )
    columns.save()
    rows = [row for tallies in groups.values() for row in rows_of(tallies)]
    return Evaluation(folder, False, num_compared, rows, tuple(unreadable), tuple(colorless))


def evaluate_film(
    film: Path,
    trial: Trial,
    time_range: TimeRange = WHOLE,
    sheet: SheetWish | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare a film as it is coloured from its luma with its own true colours.

    Frames are those of a run before the encoder (4:2:0). They are finished at full size and
    then compared at the size of `views`. Every figure is a mean over frames or their pixels;
    pairs of frames across a cut are left out. Memory does not grow with the film.
    """
    info = probe(film)
    if sheet is not None:
        check_sheet(sheet.path, info.path, sheet.force)
    part = resolve(info, TimeRange(first=0) if time_range.is_whole else time_range)
    assert part.stop is not None  # a span that is not the whole film has both ends
    index, num_frames = FrameIndex(info), part.stop - part.first
    _check_colors(info, part, index)
    columns, tallies, all_options = Columns(sheet, num_frames), Tallies(), trial.all_options
    turns, num_compared, num_colored = info.quarter_turns, 0, 0
    track = Track()
    with ExitStack() as stack:
        frames = stack.enter_context(
            Prefetch(read_rgb(info, part.first, part.stop, index), trial.batch_size)
        )
        runs = [
            stack.enter_context(Prefetch(Colorizer(k).ab_frames(info, part, index), k.batch_size))
            for k in all_options
        ]
        for frame, *colored in zip(frames, *runs, strict=True):
            views = _views_of_frame(frame, dict(zip(all_options, colored)), trial, info)
            grey, *_, truth = views.values()
            step = track.add(grey.rgb[..., 0], colored[0].is_cut)
            add_views(tallies, views)
            for key, view in views.items():
                tallies[key].follow(view, step)
            seconds = float(info.seconds(frame.pts))
            caption = f"{format_timecode(seconds)}   frame {frame.number}"
            columns.offer(num_compared, caption, views, turns)
            num_compared += 1
            num_colored += _has_color(truth)
            if progress:
                progress(num_compared, num_frames)
    if not num_colored:
        raise _no_colors(info)
    columns.save()
    return Evaluation(info.path, True, num_compared, rows_of(tallies))


# ---------------------------------------------------------------- what is shown


def _views_of_picture(
    path: Path, number: int, size: int, trial: Trial, predictors: Mapping[str, Predictor]
) -> dict[Key, Shown]:
    """Return a picture as each row of a size shows it, from grey to the truth."""
    picture = whole_picture(path, size, STRIDE)[None]  # (1, 3, H, W)
    clean, true_ab = luma_and_ab(picture)
    seen = clean
    if trial.is_old_stock:
        generator = torch.Generator().manual_seed(_OLD_STOCK_SEED + number)
        seen = old_stock(picture, clean, generator, share=1.0)
    luma, seen_luma = clean[0, 0].numpy(), seen[0, 0].numpy()
    views = {Key(GREY, size): show_luma(luma)}
    for name, predictor in predictors.items():
        ab = predict_whole(predictor, seen_luma, trial.is_flip_averaged)
        for saturation in trial.saturations:
            views[Key(name, size, saturation)] = _finished(luma, ab * np.float32(saturation))
    truth = Shown(
        np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy()),
        np.ascontiguousarray(true_ab[0].permute(1, 2, 0).numpy()),
    )
    return views | {Key(TRUTH, size): truth}


def _views_of_frame(
    frame: RgbFrame, colored: Mapping[ColorOptions, AbFrame], trial: Trial, info: FilmInfo
) -> dict[Key, Shown]:
    """Return a film's frame as each row shows it, from grey to the truth."""
    luma, coding = next(iter(colored.values())).source.luma, info.coding
    views = {Key(GREY): show_luma(reduced(scaled_luma(luma, coding)))}
    plan = ChromaPlan(coding, coding, SUBSAMPLING_420)
    for options, ab_frame in colored.items():
        for saturation in trial.saturations:
            shown = replace(ab_frame, ab=ab_frame.ab * np.float32(saturation))
            rgb = rgb_picture(add_chroma(shown, plan), coding)
            views[Key(options.weights, options.size, saturation)] = show_rgb(rgb)
    return views | {Key(TRUTH): _shown_truth(frame)}


def _finished(luma: FloatPlane, ab: FloatPlane) -> Shown:
    """Return a picture with its own Y' and as much of ab as the gamut holds."""
    cb, cr = chroma_from_lab(luma, ab[..., 0], ab[..., 1], _SRGB)
    return Shown(eight_bits(np.dstack(rgb_from_ycc(luma, cb, cr, _SRGB))), ab)


def _shown_truth(frame: RgbFrame) -> Shown:
    return show_rgb(frame.rgb / np.float32(255.0))


def _has_color(truth: Shown) -> bool:
    return mean_chroma(truth.ab) >= LEAST_CHROMA


def _check_colors(info: FilmInfo, part: Part, index: FrameIndex) -> None:
    """Raise InputError when none of some frames has colour, before all are compared."""
    if not index.is_exact:  # each would be reached from the beginning: the end will tell
        return
    assert part.stop is not None
    for number in spread(part.stop - part.first, _NUM_LOOKED_AT):
        first = part.first + number
        if any(_has_color(_shown_truth(f)) for f in read_rgb(info, first, first + 1, index)):
            return
    raise _no_colors(info)


def _no_colors(info: FilmInfo) -> InputError:
    return InputError(
        f"{info.path} has no colour in the frames asked for, so there is nothing to compare "
        "with; name a film in colour"
    )
