"""How good a network is on whole pictures, while it learns."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from filmcolor.errors import InputError
from filmcolor.metrics.image import Mean, ab_square_error, mean_chroma
from filmcolor.network.model import AB_SCALE
from filmcolor.train.data.dataset import whole_picture
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.proxy import STRIDE

SHORT_SIDE = 256  # pixels, of the pictures that are judged by
LEAST_CHROMA = 0.5  # mean, Lab units: below it there is no colour to compare with


class Predicts(Protocol):
    """What is judged: `predict.Predictor`, or what answers like it."""

    def predict(self, small: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) of luma (N, h, w)."""


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over whole pictures, in Lab units, with grey's and the truth's beside them."""

    loss: float  # MSE of coded ab, what the best weights have least of
    ab_rmse: float
    grey_ab_rmse: float
    mean_chroma: float
    true_mean_chroma: float
    unreadable: tuple[str, ...] = ()  # pictures that were passed over

    @property
    def percent_under_grey(self) -> float:
        """How far ab RMSE lies under grey's, percent."""
        return 100.0 * (1.0 - self.ab_rmse / self.grey_ab_rmse)


def predict_whole(net: Predicts, luma: FloatPlane, is_flip_averaged: bool = False) -> FloatPlane:
    """Return a network's full output, ab (H, W, 2), of luma (H, W) in 0..1.

    `is_flip_averaged`: the answer is the mean of a picture's and its mirror image's.
    """
    gray = np.rint(luma * np.float32(255.0)).astype(np.uint8)
    if is_flip_averaged:
        answer, mirrored = net.predict(np.stack([gray, gray[:, ::-1]]))
        half = (answer + mirrored[:, ::-1]) / np.float32(2.0)
    else:
        half = net.predict(gray[None])[0]
    return half.repeat(2, axis=0).repeat(2, axis=1)  # as ColorNet.forward ends


def validate(
    net: Predicts,
    paths: Iterable[Path],
    short_side: int = SHORT_SIDE,
    is_flip_averaged: bool = False,
) -> Score:
    """Score a network on whole pictures; each picture weighs by its pixels.

    Raises InputError when no picture can be read, or all are grey.
    """
    error, grey, chroma, true_chroma = (Mean() for _ in range(4))
    unreadable = []
    for path in paths:
        try:
            picture = whole_picture(path, short_side, STRIDE)[None]
        except InputError:
            unreadable.append(str(path))
            continue
        luma, true_ab = luma_and_ab(picture)
        truth = np.ascontiguousarray(true_ab[0].permute(1, 2, 0).numpy())
        ab = predict_whole(net, luma[0, 0].numpy(), is_flip_averaged)
        num = truth.shape[0] * truth.shape[1]
        error.add(ab_square_error(ab, truth), num)
        grey.add(ab_square_error(np.zeros_like(truth), truth), num)
        chroma.add(mean_chroma(ab), num)
        true_chroma.add(mean_chroma(truth), num)
    told = [mean.value for mean in (error, grey, chroma, true_chroma)]
    if any(value is None for value in told):
        raise InputError("none of the pictures to judge by could be read; are the files complete?")
    square, grey_square, mean, true_mean = (float(value or 0.0) for value in told)
    if true_mean < LEAST_CHROMA:
        raise InputError("all of the pictures to judge by are grey; name others in colour")
    return Score(
        square / AB_SCALE**2, square**0.5, grey_square**0.5, mean, true_mean, tuple(unreadable)
    )
