"""Losses of predicted colours: MSE, weighted Huber, or cross entropy over colour bins.

Rare colours can weigh more (Zhang et al. 2016, section 2.2): a plain mean over all pixels is
minimised by brown, which is never far from the truth.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import InputError
from filmcolor.network.model import AB_SCALE, NUM_BINS, ColorNet, encode_ab
from filmcolor.train.data.dataset import read_resized
from filmcolor.train.data.film_stock import luma_and_ab

LOSSES = ("mse", "huber", "bins")
BIN_STEP = 10.0  # CIELAB units between bins, Zhang et al. 2016

_RADIUS = 11  # cells from neutral to the edge of the table of colours: sRGB ends at 108
_SIDE = 2 * _RADIUS + 1  # cells of the table, along a and along b
_HUBER_DELTA = 30.0  # CIELAB units: beyond it the loss grows linearly
_UNIFORM_SHARE = 0.5  # Zhang et al. 2016, lambda
_NUM_NEIGHBOURS, _SIGMA = 5, 5.0  # of the soft encoding, Zhang et al. 2016; sigma in CIELAB units
_SAMPLE_SIZE = 32  # pixels, short side: enough to count colours
_GREY_CHROMA = 2.0  # mean CIELAB chroma; pictures below it are left out of the counts


def bin_centers() -> Tensor:
    """Return ab (NUM_BINS, 2) of the bins: the grid points nearest to the sRGB gamut."""
    grid = np.arange(-_RADIUS, _RADIUS + 1)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2) * BIN_STEP
    steps = np.linspace(0.0, 1.0, 33)
    red, green, blue = np.meshgrid(steps, steps, steps, indexing="ij")
    _, a, b = lab_from_rgb(red, green, blue)
    colors = np.unique(np.rint(np.stack([a, b], axis=-1).reshape(-1, 2)), axis=0)
    distances = [np.square(colors - point).sum(axis=1).min() for point in points]
    nearest = np.sort(np.argsort(distances, kind="stable")[:NUM_BINS])
    return torch.from_numpy(points[nearest]).float()


def color_frequencies(paths: Sequence[Path], num: int = 1000) -> Tensor:
    """Return the frequency of each colour in some pictures, (23, 23), summing to 1.

    The axes are a and b in steps of 10 CIELAB units. At most `num` pictures are read, evenly
    spread over `paths`. Raises InputError when none can be read, or all are grey.
    """
    counts = torch.zeros(_SIDE * _SIDE, dtype=torch.float64)
    num_read = 0
    for path in list(paths)[:: -(-len(paths) // num)]:
        try:
            picture = read_resized(path, _SAMPLE_SIZE, 8)
        except InputError:
            continue
        num_read += 1
        _, ab = luma_and_ab(picture[None])
        if ab.norm(dim=1).mean() >= _GREY_CHROMA:
            counts += torch.bincount(_cell_indices(ab).flatten(), minlength=_SIDE * _SIDE)
    if not num_read:
        raise InputError(f"none of {len(paths)} pictures could be read; are the files complete?")
    if not counts.sum():
        raise InputError(f"all of {num_read} sampled pictures are grey; give pictures in colour")
    return (counts / counts.sum()).float().reshape(_SIDE, _SIDE)


def rarity_weights(frequencies: Tensor, strength: float) -> Tensor:
    """Return a weight per colour (23, 23), 1 in the mean over the pictures.

    `strength` 0 gives all colours the same weight, 1 those of Zhang et al. 2016.
    """
    smooth = nn.functional.avg_pool2d(
        nn.functional.pad(frequencies[None, None], (1, 1, 1, 1)), 3, stride=1
    )[0, 0]
    smooth = smooth / smooth.sum()
    weights = ((1.0 - _UNIFORM_SHARE) * smooth + _UNIFORM_SHARE / NUM_BINS) ** -strength
    return weights / (weights * frequencies).sum()


class Loss(nn.Module):
    """A loss, and the form of the network's output that it compares.

    `name`: one of LOSSES. `weights`: (23, 23) from `rarity_weights`; "mse" does not use them.
    """

    weights: Tensor  # (23 · 23)
    centers: Tensor  # (NUM_BINS, 2) for "bins", else empty

    def __init__(self, name: str, weights: Tensor) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("weights", weights.flatten())
        self.register_buffer("centers", bin_centers() if name == "bins" else torch.zeros(0, 2))

    def predict(self, net: ColorNet, luma: Tensor) -> Tensor:
        """Return the output that the loss compares, of luma (N, 1, H, W).

        For "mse" coded ab (N, 2, H, W), for "huber" at half that size; for "bins" logits.
        """
        if self.name == "bins":
            return net.logits_of(net.features(luma))  # (N, NUM_BINS, H/4, W/4)
        return net(luma) if self.name == "mse" else net.forward_half(luma)

    def forward(self, output: Tensor, ab: Tensor) -> Tensor:
        """Return the mean loss of `predict`'s output for pictures with true ab (N, 2, H, W)."""
        output = output.float()
        ab = nn.functional.avg_pool2d(ab, ab.shape[2] // output.shape[2])  # (N, 2, h, w)
        if self.name == "mse":
            return nn.functional.mse_loss(output, encode_ab(ab))
        weights = self.weights[_cell_indices(ab)]  # (N, h, w)
        if self.name == "huber":
            delta = _HUBER_DELTA / AB_SCALE
            errors = nn.functional.huber_loss(output, encode_ab(ab), reduction="none", delta=delta)
            return (errors.mean(dim=1) * weights).mean() * 2.0  # small errors: the square
        return (_cross_entropy(output, ab, self.centers) * weights).mean()


def _cell_indices(ab: Tensor) -> Tensor:
    """Return the index (N, H, W) in the flattened table of colours, of ab (N, 2, H, W)."""
    cells = (ab / BIN_STEP).round().clamp(-_RADIUS, _RADIUS).long() + _RADIUS
    return cells[:, 0] * _SIDE + cells[:, 1]


def _cross_entropy(logits: Tensor, ab: Tensor, centers: Tensor) -> Tensor:
    """Return the cross entropy (N, h, w) with the soft encoding of ab over its nearest bins."""
    pixels = ab.permute(0, 2, 3, 1).reshape(-1, 2)  # (P, 2)
    distances, nearest = torch.cdist(pixels, centers).topk(_NUM_NEIGHBOURS, dim=1, largest=False)
    targets = torch.exp(-0.5 * (distances / _SIGMA) ** 2) + 1e-12
    targets = targets / targets.sum(dim=1, keepdim=True)  # (P, 5)
    log_probabilities = logits.log_softmax(dim=1).permute(0, 2, 3, 1).reshape(-1, centers.shape[0])
    entropy = -(log_probabilities.gather(1, nearest) * targets).sum(dim=1)
    return entropy.reshape(ab.shape[0], ab.shape[2], ab.shape[3])
