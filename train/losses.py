"""Losses of predicted colours: MSE of the tutorial's network, cross entropy of the film network.

The mean of several likely colours minimises the MSE, and it is often brown. Cross entropy over ab
bins does not average: the network predicts how likely each colour is. Rare colours can weigh more
(Zhang et al. 2016, section 2.2).
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import InputError
from filmcolor.network.model import AB_SCALE, NUM_BINS, ColorNet, FilmNet, decode_ab, encode_ab
from filmcolor.train.data.dataset import read_resized
from filmcolor.train.data.film_stock import luma_and_ab

Net = ColorNet | FilmNet

BIN_STEP = 10.0  # CIELAB units between bins

_LOW, _HIGH = -9, 10  # bins of a and of b, in steps: -90 to 100; the deepest blues are clipped
_GAMUT_STEPS = 33  # of red, green and blue, where the colours of sRGB are sampled
_RADIUS = 11  # cells from neutral to the edge of the table of colours: sRGB ends at 108
_SIDE = 2 * _RADIUS + 1  # cells of the table, along a and along b
_UNIFORM_SHARE = 0.5  # Zhang et al. 2016, lambda
_SAMPLE_SIZE = 32  # pixels, short side: enough to count colours
_GREY_CHROMA = 2.0  # mean CIELAB chroma; pictures below it are left out of the counts
_CHUNK = 8192  # rows of logits that are processed at a time, so that they stay in the cache


def bin_centers() -> Tensor:
    """Return ab (NUM_BINS, 2) of the bins: grid points that the colours of sRGB lie between."""
    steps = np.linspace(0.0, 1.0, _GAMUT_STEPS)
    _, a, b = lab_from_rgb(*np.meshgrid(steps, steps, steps, indexing="ij"))
    cells = np.floor(np.stack([a, b], axis=-1).reshape(-1, 2) / BIN_STEP).astype(int)
    cells = np.unique(cells.clip(_LOW, _HIGH - 1), axis=0)
    corners = np.concatenate([cells + offset for offset in product((0, 1), repeat=2)])
    return torch.from_numpy(np.unique(corners, axis=0)).float() * BIN_STEP


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
    """The loss of a network: cross entropy of the film network's, MSE of the tutorial's.

    `weights`: (23, 23) from `rarity_weights`; without them all colours weigh the same, as in the
    MSE always.
    """

    weights: Tensor  # (23 · 23)
    bin_numbers: Tensor  # (20 · 20): the bin at each point of the grid, or the nearest

    def __init__(self, weights: Tensor | None = None) -> None:
        super().__init__()
        weights = torch.ones(_SIDE, _SIDE) if weights is None else weights
        self.register_buffer("weights", weights.flatten())
        steps = torch.arange(_LOW, _HIGH + 1) * BIN_STEP
        grid = torch.cartesian_prod(steps, steps)  # (20 · 20, 2)
        self.register_buffer("bin_numbers", torch.cdist(grid, bin_centers()).argmin(dim=1))

    @staticmethod
    def colors(net: Net, output: Tensor) -> Tensor:
        """Return ab (N, 2, h, w), CIELAB, of a network's output."""
        return net.mean_ab(output) if isinstance(net, FilmNet) else decode_ab(output)

    def difference(self, net: Net, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean square difference between the colours of two outputs.

        The unit is the step between bins or, for the tutorial's network, its coding of ab: so the
        difference is in proportion to the loss.
        """
        unit = BIN_STEP if isinstance(net, FilmNet) else AB_SCALE
        colors = [self.colors(net, output) / unit for output in (first, second)]
        return nn.functional.mse_loss(colors[0], colors[1])

    def forward(self, output: Tensor, ab: Tensor) -> Tensor:
        """Return the mean loss of a network's output for pictures with true ab (N, 2, H, W)."""
        ab = nn.functional.avg_pool2d(ab, ab.shape[2] // output.shape[2])  # (N, 2, h, w)
        if output.shape[1] != NUM_BINS:
            return nn.functional.mse_loss(output.float(), encode_ab(ab))
        weights = self.weights[_cell_indices(ab)].flatten()
        numbers, shares = self._targets(ab)
        rows = output.permute(0, 2, 3, 1).reshape(-1, NUM_BINS)
        loss: Tensor = _CrossEntropy.apply(rows, numbers, shares * weights[:, None])
        return loss

    def _targets(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Return the four bins around each colour and their shares, (N · h · w, 4) each."""
        position = ab.permute(0, 2, 3, 1).reshape(-1, 2) / BIN_STEP - _LOW
        position = position.clamp(0.0, _HIGH - _LOW - 1e-3)
        corner = position.floor()
        fraction = position - corner
        numbers, shares = [], []
        for offset in product((0, 1), repeat=2):
            upper = fraction.new_tensor(offset)
            numbers.append(self.bin_numbers[_grid_indices(corner + upper)])
            shares.append((1.0 - upper - fraction).abs().prod(dim=1))
        return torch.stack(numbers, dim=1), torch.stack(shares, dim=1)


def _grid_indices(points: Tensor) -> Tensor:
    """Return the index (P) in the flattened grid, of points (P, 2) counted from its corner."""
    a, b = points.long().unbind(dim=1)
    return a * (_HIGH - _LOW + 1) + b


def _cell_indices(ab: Tensor) -> Tensor:
    """Return the index (N, H, W) in the flattened table of colours, of ab (N, 2, H, W)."""
    cells = (ab / BIN_STEP).round().clamp(-_RADIUS, _RADIUS).long() + _RADIUS
    return cells[:, 0] * _SIDE + cells[:, 1]


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy with sparse soft targets, which computes its gradient in the same pass.

    PyTorch's own makes several passes over logits that do not fit the cache; this takes a fifth of
    a training step less on a CPU.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, numbers: Tensor, shares: Tensor) -> Tensor:
        """Return the mean loss of logits (P, NUM_BINS) and targets (P, 4)."""
        num, gradient = len(rows), torch.empty_like(rows)
        total = rows.new_zeros((), dtype=torch.float32)
        for start in range(0, num, _CHUNK):
            part = slice(start, start + _CHUNK)
            number, share = numbers[part], shares[part]
            log_probabilities = rows[part].float().log_softmax(dim=1)
            total -= (log_probabilities.gather(1, number) * share).sum()
            chunk = log_probabilities.exp_() * share.sum(dim=1, keepdim=True)
            gradient[part] = chunk.scatter_add_(1, number, -share).div_(num)
        context.save_for_backward(gradient)
        return total / num

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> Any:
        """Return the gradient of the logits."""
        (gradient,) = context.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None
