"""What a network is told of its colours: MSE, weighted Huber, or a choice among bins.

Rare colours weigh more (Zhang et al. 2016, section 2.2): a plain mean over all pixels is
won by answering the brown that is never far from anything.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import InputError
from filmcolor.network.model import AB_SCALE, NUM_BINS, ColorNet, encode_ab
from filmcolor.train.data.dataset import whole_picture
from filmcolor.train.data.film_stock import luma_and_ab

LOSSES = ("mse", "huber", "bins")
BIN_STEP = 10.0  # CIELAB units between bins, Zhang et al. 2016
_REACH = 11  # bins from neutral to the edge of the table: sRGB ends at 108
_SIDE = 2 * _REACH + 1
_HUBER_DELTA = 30.0  # CIELAB units from which an error grows no faster than its size
_UNIFORM_SHARE = 0.5  # Zhang et al. 2016, lambda
_NEIGHBOURS, _SIGMA = 5, 5.0  # of a colour's soft code, the same; CIELAB units
_SURVEY_SIZE = 32  # pixels: enough to count colours by
_GREY_CHROMA = 2.0  # CIELAB units of mean chroma below which a picture teaches no colour


def bin_centers() -> Tensor:
    """Return ab (NUM_BINS, 2) of the bins: the grid points nearest the sRGB gamut."""
    grid = np.arange(-_REACH, _REACH + 1)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2) * BIN_STEP
    steps = np.linspace(0.0, 1.0, 33)
    red, green, blue = np.meshgrid(steps, steps, steps, indexing="ij")
    _, a, b = lab_from_rgb(red, green, blue)
    colors = np.unique(np.rint(np.stack([a, b], axis=-1).reshape(-1, 2)), axis=0)
    distances = [np.square(colors - point).sum(axis=1).min() for point in points]
    nearest = np.sort(np.argsort(distances, kind="stable")[:NUM_BINS])
    return torch.from_numpy(points[nearest]).float()


def survey(paths: Sequence[Path], num: int = 1000) -> Tensor:
    """Return how often each colour of the table stands in the pictures, summing to 1.

    At most `num` pictures are read, evenly spread; (23, 23) by a and b in tens.
    Raises InputError when none of them can be read, or all are grey.
    """
    counts = torch.zeros(_SIDE * _SIDE, dtype=torch.float64)
    num_read = 0
    for path in list(paths)[:: -(-len(paths) // num)]:
        try:
            picture = whole_picture(path, _SURVEY_SIZE, 8)
        except InputError:
            continue
        num_read += 1
        _, ab = luma_and_ab(picture[None])
        if ab.norm(dim=1).mean() >= _GREY_CHROMA:
            counts += torch.bincount(_cell(ab).flatten(), minlength=_SIDE * _SIDE)
    if not num_read:
        raise InputError(f"none of {len(paths)} pictures could be read; are the files complete?")
    if not counts.sum():
        raise InputError(f"all of {num_read} pictures looked at are grey; give pictures in colour")
    return (counts / counts.sum()).float().reshape(_SIDE, _SIDE)


def rarity_weights(frequencies: Tensor, strength: float) -> Tensor:
    """Return a weight a colour (23, 23), 1 in the mean over the pictures.

    `strength` 0 weighs all alike, 1 as Zhang et al. 2016 do.
    """
    smooth = nn.functional.avg_pool2d(
        nn.functional.pad(frequencies[None, None], (1, 1, 1, 1)), 3, stride=1
    )[0, 0]
    smooth = smooth / smooth.sum()
    weights = ((1.0 - _UNIFORM_SHARE) * smooth + _UNIFORM_SHARE / NUM_BINS) ** -strength
    return weights / (weights * frequencies).sum()


class Loss(nn.Module):
    """Tells how wrong a network's answer is, and what colours the answer means.

    `name`: one of LOSSES. `weights`: (23, 23) of `rarity_weights`, for all but "mse".
    """

    weights: Tensor  # (23 · 23)
    centers: Tensor  # (NUM_BINS, 2) of "bins", else none

    def __init__(self, name: str, weights: Tensor) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("weights", weights.flatten())
        self.register_buffer("centers", bin_centers() if name == "bins" else torch.zeros(0, 2))

    def answer(self, net: ColorNet, luma: Tensor) -> Tensor:
        """Return what the loss judges: coded ab, or logits of the bins."""
        if self.name == "bins":
            return net.logits_of(net.features(luma))  # (N, NUM_BINS, H/4, W/4)
        return net(luma) if self.name == "mse" else net.forward_half(luma)

    def forward(self, answer: Tensor, ab: Tensor) -> Tensor:
        """Return the mean loss of an answer to pictures whose colours are ab (N, 2, H, W)."""
        answer = answer.float()
        ab = nn.functional.avg_pool2d(ab, ab.shape[2] // answer.shape[2])
        if self.name == "mse":
            return nn.functional.mse_loss(answer, encode_ab(ab))
        weights = self.weights[_cell(ab)]  # (N, h, w)
        if self.name == "huber":
            delta = _HUBER_DELTA / AB_SCALE
            errors = nn.functional.huber_loss(answer, encode_ab(ab), reduction="none", delta=delta)
            return (errors.mean(dim=1) * weights).mean() * 2.0  # small errors: the square
        return (_cross_entropy(answer, ab, self.centers) * weights).mean()


def _cell(ab: Tensor) -> Tensor:
    """Return the number of each colour's place in the table: (N, H, W) of ab (N, 2, H, W)."""
    places = (ab / BIN_STEP).round().clamp(-_REACH, _REACH).long() + _REACH
    return places[:, 0] * _SIDE + places[:, 1]


def _cross_entropy(logits: Tensor, ab: Tensor, centers: Tensor) -> Tensor:
    """Return (N, h, w): cross entropy with the soft code of ab over its nearest bins."""
    pixels = ab.permute(0, 2, 3, 1).reshape(-1, 2)  # (P, 2)
    distances, nearest = torch.cdist(pixels, centers).topk(_NEIGHBOURS, dim=1, largest=False)
    shares = torch.exp(-0.5 * (distances / _SIGMA) ** 2) + 1e-12
    shares = shares / shares.sum(dim=1, keepdim=True)
    chances = logits.log_softmax(dim=1).permute(0, 2, 3, 1).reshape(-1, centers.shape[0])
    entropy = -(chances.gather(1, nearest) * shares).sum(dim=1)
    return entropy.reshape(ab.shape[0], ab.shape[2], ab.shape[3])
