"""Scores of a network on held-back pictures while it trains.

They measure what ships: the network through `Predictor`, folded and in the machine's dtype.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from filmcolor.errors import InputError
from filmcolor.metrics.image import Mean, ab_square_error, mean_chroma
from filmcolor.network.model import AB_SCALE
from filmcolor.train.data.dataset import read_resized
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.proxy import STRIDE

SHORT_SIDE = 256  # pixels, of the validation pictures
MIN_MEAN_CHROMA = 0.5  # CIELAB units: pictures below it have no colour to compare with


class SupportsPredict(Protocol):
    """A network to score, such as `filmcolor.network.predictor.Predictor`."""

    def predict(self, luma: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) of 8-bit luma (N, h, w)."""


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over all validation pictures in CIELAB units, with those of grey and the truth."""

    loss: float  # MSE of coded ab: the best weights have the lowest
    ab_rmse: float
    grey_ab_rmse: float
    mean_chroma: float
    true_mean_chroma: float
    unreadable: tuple[str, ...] = ()  # paths that were passed over

    @property
    def percent_under_grey(self) -> float:
        """How far ab RMSE lies below that of grey pictures, percent."""
        return 100.0 * (1.0 - self.ab_rmse / self.grey_ab_rmse)


def predict_full_size(
    net: SupportsPredict, luma: FloatPlane, is_flip_averaged: bool = False
) -> FloatPlane:
    """Return a network's output at full size, ab (H, W, 2), of luma (H, W) in 0..1.

    `is_flip_averaged`: return the mean of the predictions for the picture and its mirror image.
    """
    gray = np.rint(luma * np.float32(255.0)).astype(np.uint8)
    if is_flip_averaged:
        plain, mirrored = net.predict(np.stack([gray, gray[:, ::-1]]))
        half = (plain + mirrored[:, ::-1]) / np.float32(2.0)  # (H/2, W/2, 2)
    else:
        half = net.predict(gray[None])[0]
    return half.repeat(2, axis=0).repeat(2, axis=1)  # as at the end of ColorNet.forward


def validate(
    net: SupportsPredict,
    paths: Iterable[Path],
    short_side: int = SHORT_SIDE,
    is_flip_averaged: bool = False,
) -> Score:
    """Return a network's score on uncropped pictures, each weighted by its number of pixels.

    Raises InputError when no picture can be read, or all are grey.
    """
    error, grey, chroma, true_chroma = means = tuple(Mean() for _ in range(4))
    unreadable = []
    for path in paths:
        try:
            picture = read_resized(path, short_side, STRIDE)[None]  # (1, 3, H, W)
        except InputError:
            unreadable.append(str(path))
            continue
        luma, true_ab = luma_and_ab(picture)
        truth = np.ascontiguousarray(true_ab[0].permute(1, 2, 0).numpy())  # (H, W, 2)
        ab = predict_full_size(net, luma[0, 0].numpy(), is_flip_averaged)
        num_pixels = truth.shape[0] * truth.shape[1]
        error.add(ab_square_error(ab, truth), num_pixels)
        grey.add(ab_square_error(np.zeros_like(truth), truth), num_pixels)
        chroma.add(mean_chroma(ab), num_pixels)
        true_chroma.add(mean_chroma(truth), num_pixels)
    values = [mean.value for mean in means]
    if any(value is None for value in values):
        raise InputError("none of the validation pictures could be read; are the files complete?")
    square, grey_square, mean, true_mean = (float(value or 0.0) for value in values)
    if true_mean < MIN_MEAN_CHROMA:
        raise InputError("all of the validation pictures are grey; name others in colour")
    return Score(
        square / AB_SCALE**2, square**0.5, grey_square**0.5, mean, true_mean, tuple(unreadable)
    )
