"""How good a network is on whole pictures, while it learns."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from filmcolor.errors import InputError
from filmcolor.model import STRIDE, decode_ab, encode_ab
from filmcolor.predict import choose_dtype
from filmcolor.train.dataset import whole_picture
from filmcolor.train.stock import luma_and_ab


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over whole pictures, in Lab units, with grey's and the truth's beside them."""

    loss: float  # MSE of coded ab, what the best weights have least of
    ab_rmse: float
    grey_ab_rmse: float
    mean_chroma: float
    true_mean_chroma: float

    @property
    def percent_under_grey(self) -> float:
        """How far ab RMSE lies under grey's, percent."""
        return 100.0 * (1.0 - self.ab_rmse / self.grey_ab_rmse)


def validate(
    net: nn.Module, paths: Iterable[Path], short_side: int = 256, is_flip_averaged: bool = False
) -> Score:
    """Score a network on whole pictures; each picture weighs by its pixels.

    `is_flip_averaged`: the answer is the mean of a picture's and its mirror image's.
    Raises InputError when no picture can be read.
    """
    net.eval()
    parameter = next(net.parameters(), torch.zeros(1))
    device = parameter.device
    dtype = choose_dtype(device)
    is_narrow = dtype is not torch.float32
    sums = torch.zeros(6, dtype=torch.float64)
    for path in paths:
        try:
            picture = whole_picture(path, short_side, STRIDE)[None].to(device)
        except InputError:
            continue
        luma, ab = luma_and_ab(picture)
        luma = luma.contiguous(memory_format=torch.channels_last)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype if is_narrow else None, enabled=is_narrow),
        ):
            coded = net(luma).float()
            if is_flip_averaged:
                coded = (coded + net(luma.flip(3)).float().flip(3)) / 2.0
        guess = decode_ab(coded)
        pixels = (
            (coded - encode_ab(ab)).square().mean(dim=1),
            (guess - ab).square().mean(dim=1),
            ab.square().mean(dim=1),
            guess.norm(dim=1),
            ab.norm(dim=1),
            torch.ones_like(luma),
        )
        sums += torch.stack([p.sum(dtype=torch.float64) for p in pixels]).cpu()
    if not sums[-1]:
        raise InputError("none of the pictures to judge by could be read")
    loss, error, grey, chroma, true_chroma, _ = (sums / sums[-1]).tolist()
    return Score(loss, error**0.5, grey**0.5, chroma, true_chroma)
