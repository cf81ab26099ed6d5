"""Losses, bins, colour frequencies and the weights of rare colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stills import save_stills
from torch import Tensor

from filmcolor.color.spaces import lab_from_rgb, rgb_from_lab
from filmcolor.errors import InputError
from filmcolor.network.model import NUM_BINS, ColorNet, FilmNet, encode_ab
from filmcolor.train.losses import Loss, bin_centers, color_frequencies, rarity_weights

EVEN = torch.ones(23, 23)


@pytest.fixture(scope="module")
def film_net() -> FilmNet:
    net = FilmNet()
    net.centers.copy_(bin_centers())
    return net


def constant(a: float, b: float, size: int = 16) -> Tensor:
    return torch.tensor([a, b]).reshape(1, 2, 1, 1).expand(1, 2, size, size).contiguous()


def random_ab(seed: int, height: int, width: int, num: int = 1) -> Tensor:
    return torch.randn(num, 2, height, width, generator=torch.Generator().manual_seed(seed)) * 30.0


def dense_targets(loss: Loss, ab: Tensor) -> Tensor:
    """Return the target distributions (P, NUM_BINS) of ab (N, 2, h, w)."""
    numbers, shares = loss._targets(ab)
    return torch.zeros(len(numbers), NUM_BINS).scatter_add_(1, numbers, shares)


def pytorch_loss(targets: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    """Return PyTorch's cross entropy with soft targets, weighted per pixel."""
    rows = logits.permute(0, 2, 3, 1).reshape(-1, NUM_BINS)
    return (torch.nn.functional.cross_entropy(rows, targets, reduction="none") * weights).mean()


# ---------------------------------------------------------------- bins


def test_the_bins_are_the_corners_of_the_cells_with_colours_of_srgb() -> None:
    centers = bin_centers()
    assert centers.shape == (NUM_BINS, 2)
    assert (centers % 10 == 0).all()
    assert len({tuple(c) for c in centers.tolist()}) == NUM_BINS
    for a, b in ((0.0, 0.0), (80.0, 60.0), (-80.0, 80.0), (80.0, -90.0), (100.0, -60.0)):
        assert [a, b] in centers.tolist()
    for a, b in ((-90.0, -90.0), (-90.0, 0.0), (0.0, -90.0), (100.0, 100.0)):
        assert [a, b] not in centers.tolist()


def test_the_target_of_every_colour_of_srgb_is_that_colour() -> None:
    """The mean of the bins by their shares is the colour; blues below b = -90 are clipped."""
    values = np.linspace(0.0, 1.0, 86)  # every third 8-bit code
    _, a, b = lab_from_rgb(*np.meshgrid(values, values, values, indexing="ij"))
    ab = torch.from_numpy(np.stack([a.reshape(86, -1), b.reshape(86, -1)])).float()[None]
    loss = Loss(EVEN)
    numbers, shares = loss._targets(ab)
    assert shares.min() >= -1e-6
    assert torch.allclose(shares.sum(dim=1), torch.ones(len(shares)), atol=1e-5)
    mean = (bin_centers()[numbers] * shares[..., None]).sum(dim=1)
    expected = ab.permute(0, 2, 3, 1).reshape(-1, 2)
    is_clipped = expected[:, 1] < -90.0
    assert 0 < is_clipped.float().mean() < 0.02
    expected[:, 1].clamp_(min=-90.0)
    assert (mean - expected).abs().max() < 0.1  # a corner of one cell is beyond the sampled colours


def test_a_mean_of_colours_outside_of_srgb_gets_bins_nearby() -> None:
    corners = torch.tensor(
        [[80.1, 67.2], [-21.6, 94.5], [-86.2, 83.2], [-48.1, -14.1], [79.2, -107.9], [98.2, -60.8]]
    )  # red, yellow, green, cyan, blue, magenta
    means = torch.stack([(first + second) / 2.0 for first in corners for second in corners])
    loss = Loss(EVEN)
    numbers, shares = loss._targets(means.T[None, :, :, None])
    mean = (bin_centers()[numbers] * shares[..., None]).sum(dim=1)
    means[:, 1].clamp_(min=-90.0)
    assert (mean - means).norm(dim=1).max() < 15.0


# ---------------------------------------------------------------- cross entropy


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_the_cross_entropy_is_that_of_pytorch(strength: float) -> None:
    frequencies = torch.rand(23, 23, generator=torch.Generator().manual_seed(3)) ** 4
    weights = rarity_weights(frequencies / frequencies.sum(), strength)
    loss, ab = Loss(weights), random_ab(1, 96, 104, num=4)
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(4, NUM_BINS, 48, 52, generator=generator).requires_grad_()  # two chunks
    small = torch.nn.functional.avg_pool2d(ab, 2)
    cells = (small / 10.0).round().long() + 11
    pixel_weights = weights[cells[:, 0], cells[:, 1]].flatten()
    expected = pytorch_loss(dense_targets(loss, small), logits, pixel_weights)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    value = loss(logits, ab)
    (gradient,) = torch.autograd.grad(2.0 * value, logits)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient, 2.0 * expected_gradient, rtol=1e-4, atol=1e-9)


def test_the_gradient_is_that_of_finite_differences() -> None:
    loss, ab = Loss(EVEN * 2.0), random_ab(4, 8, 8)
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(1, NUM_BINS, 2, 2, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, ab), logits)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(logits.shape, generator=generator)
        up, down = (loss(logits.detach() + step * direction, ab) for step in (0.01, -0.01))
        expected = (up - down).item() / 0.02
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=0.01, abs=1e-3)


def test_the_cross_entropy_of_16_bit_logits_is_computed_in_32_bits() -> None:
    loss, ab = Loss(EVEN), random_ab(6, 32, 32, num=2)
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, NUM_BINS, 8, 8, generator=generator).bfloat16()
    short, long = logits.clone().requires_grad_(), logits.float().requires_grad_()
    values = loss(short, ab), loss(long, ab)
    assert values[0].dtype == torch.float32
    assert torch.equal(*values)
    gradients = torch.autograd.grad(values[0], short)[0], torch.autograd.grad(values[1], long)[0]
    assert gradients[0].dtype == torch.bfloat16
    torch.testing.assert_close(gradients[0].float(), gradients[1], rtol=0.01, atol=1e-8)


def test_the_loss_is_least_for_the_bin_of_the_colour() -> None:
    loss, ab = Loss(EVEN), constant(20.0, 30.0, 8)
    centers = bin_centers()
    here = int((centers - torch.tensor([20.0, 30.0])).norm(dim=1).argmin())
    assert centers[here].tolist() == [20.0, 30.0]
    costs = []
    for bin_number in range(NUM_BINS):
        logits = torch.zeros(1, NUM_BINS, 2, 2)
        logits[:, bin_number] = 4.0
        costs.append(loss(logits, ab).item())
    assert int(np.argmin(costs)) == here


def test_colours_are_the_mean_of_the_bins_or_decoded(film_net: FilmNet) -> None:
    loss, ab = Loss(EVEN), random_ab(8, 4, 4).clamp(-40.0, 40.0)
    targets = dense_targets(loss, ab).reshape(1, 4, 4, NUM_BINS).permute(0, 3, 1, 2)
    logits = targets.clamp(min=1e-9).log()
    torch.testing.assert_close(loss.colors(film_net, logits), ab, rtol=0.0, atol=0.01)
    coded = encode_ab(ab)
    torch.testing.assert_close(loss.colors(ColorNet(), coded), ab, rtol=0.0, atol=0.01)


def test_the_difference_of_two_outputs_is_in_the_unit_of_the_loss(film_net: FilmNet) -> None:
    loss, first = Loss(EVEN), constant(10.0, -20.0)
    second = first + 5.0
    coded = loss.difference(ColorNet(), encode_ab(first), encode_ab(second))
    assert coded.item() == pytest.approx((5.0 / 255.0) ** 2, rel=1e-4)
    logits = [
        dense_targets(loss, ab).clamp(min=1e-9).log().reshape(1, 16, 16, NUM_BINS)
        for ab in (first, second)
    ]
    binned = loss.difference(film_net, *(values.permute(0, 3, 1, 2) for values in logits))
    assert binned.item() == pytest.approx(0.25, rel=1e-3)


# ---------------------------------------------------------------- the tutorial's loss


def test_the_mse_is_zero_for_the_truth_and_grows_with_the_square_of_the_error() -> None:
    loss, ab = Loss(EVEN), constant(10.0, -5.0)
    assert loss(encode_ab(ab), ab).item() == pytest.approx(0.0, abs=1e-9)
    near, far = (loss(encode_ab(ab + error), ab).item() for error in (3.0, 6.0))
    assert near == pytest.approx((3 / 255) ** 2, rel=1e-4)
    assert far == pytest.approx(4 * near, rel=1e-4)


def test_an_output_of_half_the_size_is_compared_with_the_mean_colour() -> None:
    ab = random_ab(0, 16, 16)
    small = torch.nn.functional.avg_pool2d(ab, 2)
    assert Loss(EVEN)(encode_ab(small), ab).item() == pytest.approx(0.0, abs=1e-9)


# ---------------------------------------------------------------- rarity


def test_rare_colours_weigh_more_and_the_mean_weight_is_1() -> None:
    frequencies = torch.zeros(23, 23)
    frequencies[11, 11], frequencies[11, 13], frequencies[5, 5] = 0.9, 0.09, 0.01
    for strength in (0.0, 0.25, 1.0):
        weights = rarity_weights(frequencies, strength)
        assert (weights * frequencies).sum().item() == pytest.approx(1.0, rel=1e-5)
        ratio = (weights[5, 5] / weights[11, 11]).item()
        assert ratio == pytest.approx(1.0) if strength == 0.0 else ratio > 1.5
    weights = rarity_weights(frequencies, 1.0)
    logits = torch.zeros(1, NUM_BINS, 4, 4)  # equally likely bins cost the same for every colour
    rare, common = constant(-60.0, -60.0), constant(0.0, 0.0)
    costs = [Loss(weights)(logits, ab).item() for ab in (rare, common)]
    assert costs[0] / costs[1] == pytest.approx((weights[5, 5] / weights[11, 11]).item(), rel=1e-3)


def test_frequencies_count_colours(tmp_path: Path) -> None:
    red, green, blue = rgb_from_lab(np.float64(60.0), np.float64(40.0), np.float64(-30.0))
    color = tuple(round(255 * c) for c in (red, green, blue))
    for n in range(3):
        Image.new("RGB", (40, 40), color).save(tmp_path / f"{n}.png")
    frequencies = color_frequencies(sorted(tmp_path.iterdir()))
    assert frequencies.sum().item() == pytest.approx(1.0)
    assert frequencies[11 + 4, 11 - 3].item() == pytest.approx(1.0)


def test_frequencies_leave_out_unreadable_pictures(tmp_path: Path) -> None:
    save_stills(tmp_path, 2)
    (tmp_path / "broken.png").write_bytes(b"broken")
    paths = sorted(tmp_path.iterdir())
    assert torch.equal(
        color_frequencies(paths), color_frequencies([p for p in paths if p.stem != "broken"])
    )
    with pytest.raises(InputError, match="could be read"):
        color_frequencies([tmp_path / "broken.png"])
