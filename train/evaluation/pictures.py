"""Compares weights with the true colours of pictures."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

import filmcolor.weights as weights_store
from filmcolor.color.gamut import chroma_from_lab
from filmcolor.color.spaces import rgb_from_ycc
from filmcolor.color.upsampling import resize_ab
from filmcolor.errors import InputError, OutputError
from filmcolor.guidance.cast import REDUCE, reduce_cast
from filmcolor.images.sheet import check_sheet
from filmcolor.metrics.comparison import Rendition, add_renditions, to_8_bits
from filmcolor.metrics.image import mean_chroma
from filmcolor.network.onnx_file import is_model
from filmcolor.network.onnx_model import OnnxColorizer
from filmcolor.network.onnx_net import KIND, OnnxNet
from filmcolor.network.predictor import Predictor
from filmcolor.train.data.dataset import find_stills, read_resized
from filmcolor.train.data.film_stock import luma_and_ab, simulate_film_stock
from filmcolor.train.evaluation.options import Evaluation, EvaluationOptions, Progress
from filmcolor.train.evaluation.sheet import SheetBuilder, SheetOptions
from filmcolor.train.evaluation.table import GREY, TRUTH, Accumulators, RowKey, make_rows
from filmcolor.train.validation import MIN_MEAN_CHROMA, SupportsPredict, predict_full_size
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.types.yuv import Coding
from filmcolor.video.proxy import STRIDE

_FILM_STOCK_SEED = 20  # plus the picture's index: each is aged in the same way every time
_SRGB = Coding(1, True, 8)  # pictures: BT.709's luma, full range


def evaluate_pictures(
    folder: Path,
    options: EvaluationOptions,
    sheet: SheetOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the figures of weights on every colour picture below a folder.

    Pictures are compared at the network's size. ab RMSE and chroma are of the network's full
    output, including its nearest-neighbour upsampling, times the saturation; each picture is
    weighted by its pixels. Colourfulness and PSNR are means over finished pictures: with their own
    Y', ab inside the gamut, 8 bits. Pictures without colour are left out.
    """
    paths = find_stills(folder)
    if sheet is not None:
        if sheet.path.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{sheet.path} would lie among the pictures; name another folder")
        check_sheet(sheet.path, folder, sheet.force)
    sheet_builder = SheetBuilder(sheet, len(paths))
    predictors = {name: _make_predictor(name, options) for name in options.weights}
    groups: dict[int, Accumulators] = {size: {} for size in options.sizes}
    unreadable: list[str] = []
    colorless: list[str] = []
    for index, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        try:
            by_size = {
                size: _render(path, index, size, options, predictors) for size in options.sizes
            }
        except InputError:
            unreadable.append(name)
        else:
            if has_color(by_size[options.sizes[0]][RowKey(TRUTH, options.sizes[0])]):
                all_renditions: dict[RowKey, Rendition] = {}
                for size, renditions in by_size.items():
                    add_renditions(groups[size], renditions)
                    all_renditions |= renditions
                sheet_builder.offer(index, name, all_renditions)
            else:
                colorless.append(name)
        if progress:
            progress(index + 1, len(paths))
    num_compared = len(paths) - len(unreadable) - len(colorless)
    if not num_compared:
        raise InputError(
            f"{folder} holds no picture in colour ({len(colorless)} grey, "
            f"{len(unreadable)} unreadable); name a folder of colour pictures"
        )
    sheet_builder.save()
    rows = [row for accumulators in groups.values() for row in make_rows(accumulators)]
    return Evaluation(folder, False, num_compared, rows, tuple(unreadable), tuple(colorless))


def has_color(truth: Rendition) -> bool:
    """Return whether a picture has enough colour to compare with."""
    return mean_chroma(truth.ab) >= MIN_MEAN_CHROMA


def finish(luma: FloatPlane, ab: FloatPlane) -> Rendition:
    """Return a picture of luma (H, W) in 0..1 with as much of ab (H, W, 2) as the gamut holds."""
    cb, cr = chroma_from_lab(luma, ab[..., 0], ab[..., 1], _SRGB)
    return Rendition(to_8_bits(np.dstack(rgb_from_ycc(luma, cb, cr, _SRGB))), ab)


class _CastReducer:
    """A network with the casts of its pictures reduced."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, luma: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) of 8-bit luma (N, h, w)."""
        return np.stack(
            [reduce_cast(*p) for p in zip(self._predictor.predict(luma), luma, strict=True)]
        )


class _ModelPredictor:
    """A model of others, for batches of pictures."""

    def __init__(self, model: OnnxColorizer) -> None:
        self._model = model

    def predict(self, luma: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) of 8-bit luma (N, h, w)."""
        height, width = luma.shape[1:]
        size = width // 2, height // 2
        return np.stack([resize_ab(self._model.predict(picture), size) for picture in luma])


def _make_predictor(name: str, options: EvaluationOptions) -> SupportsPredict:
    predictor: SupportsPredict
    if is_model(name):
        model = OnnxColorizer.load(name, options.device)
        if model.kind != KIND:
            return _ModelPredictor(model)
        predictor = Predictor(OnnxNet(model.session), surfaces=options.surfaces)
    else:
        predictor = Predictor(weights_store.load(name), options.device, options.surfaces)
    return _CastReducer(predictor) if options.cast == REDUCE else predictor


def _render(
    path: Path,
    index: int,
    size: int,
    options: EvaluationOptions,
    predictors: Mapping[str, SupportsPredict],
) -> dict[RowKey, Rendition]:
    """Return a picture's renditions for the rows of a size, from grey to the truth."""
    picture = read_resized(path, size, STRIDE)[None]  # (1, 3, H, W)
    clean, true_ab = luma_and_ab(picture)
    seen = clean
    if options.is_old_stock:
        generator = torch.Generator().manual_seed(_FILM_STOCK_SEED + index)
        seen = simulate_film_stock(picture, clean, generator, share=1.0)
    luma, seen_luma = clean[0, 0].numpy(), seen[0, 0].numpy()
    renditions = {RowKey(GREY, size): Rendition.from_luma(luma)}
    for name, predictor in predictors.items():
        ab = predict_full_size(predictor, seen_luma, options.is_flip_averaged)
        for saturation in options.saturations:
            saturated = ab * np.float32(saturation)
            renditions[RowKey(name, size, saturation)] = finish(luma, saturated)
    truth = Rendition(
        np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy()),
        np.ascontiguousarray(true_ab[0].permute(1, 2, 0).numpy()),
    )
    return renditions | {RowKey(TRUTH, size): truth}
