"""Losses, bins, colour frequencies and the weights of rare colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stills import save_stills
from torch import Tensor

from filmcolor.color.spaces import rgb_from_lab
from filmcolor.errors import InputError
from filmcolor.network.model import NUM_BINS, encode_ab
from filmcolor.train.losses import Loss, bin_centers, color_frequencies, rarity_weights

EVEN = torch.ones(23, 23)


def constant(a: float, b: float, size: int = 16) -> Tensor:
    return torch.tensor([a, b]).reshape(1, 2, 1, 1).expand(1, 2, size, size).contiguous()


def test_the_bins_are_313_around_the_gamut() -> None:
    centers = bin_centers()
    assert centers.shape == (NUM_BINS, 2)
    assert (centers % 10 == 0).all()
    assert len({tuple(c) for c in centers.tolist()}) == NUM_BINS
    for a, b in ((0.0, 0.0), (80.0, 70.0), (-80.0, 80.0), (80.0, -110.0), (70.0, 60.0)):
        assert [a, b] in centers.tolist()
    for a, b in ((-90.0, -90.0), (-110.0, 0.0), (0.0, -110.0), (110.0, 110.0)):
        assert [a, b] not in centers.tolist()


@pytest.mark.parametrize("name", ["mse", "huber"])
def test_the_loss_is_zero_for_the_truth_and_grows_with_the_error(name: str) -> None:
    loss, ab = Loss(name, EVEN), constant(10.0, -5.0)
    assert loss(encode_ab(ab), ab).item() == pytest.approx(0.0, abs=1e-9)
    near, far = (loss(encode_ab(ab + error), ab).item() for error in (3.0, 6.0))
    assert near == pytest.approx((3 / 255) ** 2, rel=1e-4)  # the tutorial's MSE
    assert far == pytest.approx(4 * near, rel=1e-4)


def test_huber_grows_slower_than_the_square_when_far_off() -> None:
    ab = constant(0.0, 0.0)
    costs = {name: Loss(name, EVEN)(encode_ab(ab + 90.0), ab).item() for name in ("mse", "huber")}
    assert costs["huber"] < 0.6 * costs["mse"]


def test_an_output_of_half_the_size_is_compared_with_the_mean_colour() -> None:
    ab = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 20
    small = torch.nn.functional.avg_pool2d(ab, 2)
    assert Loss("huber", EVEN)(encode_ab(small), ab).item() == pytest.approx(0.0, abs=1e-9)


def test_rare_colours_weigh_more_and_the_mean_weight_is_1() -> None:
    frequencies = torch.zeros(23, 23)
    frequencies[11, 11], frequencies[11, 13], frequencies[5, 5] = 0.9, 0.09, 0.01
    for strength in (0.0, 0.25, 1.0):
        weights = rarity_weights(frequencies, strength)
        assert (weights * frequencies).sum().item() == pytest.approx(1.0, rel=1e-5)
        ratio = (weights[5, 5] / weights[11, 11]).item()
        assert ratio == pytest.approx(1.0) if strength == 0.0 else ratio > 1.5
    weights = rarity_weights(frequencies, 1.0)
    loss = Loss("huber", weights)
    rare, common = constant(-60.0, -60.0), constant(0.0, 0.0)
    costs = [loss(encode_ab(ab + 5.0), ab).item() for ab in (rare, common)]
    assert costs[0] / costs[1] == pytest.approx((weights[5, 5] / weights[11, 11]).item(), rel=1e-3)


@pytest.mark.slow
def test_the_loss_is_least_for_the_bin_of_the_colour() -> None:
    loss, ab = Loss("bins", EVEN), constant(20.0, 30.0, 8)
    centers = bin_centers()
    here = int((centers - torch.tensor([20.0, 30.0])).norm(dim=1).argmin())
    assert centers[here].tolist() == [20.0, 30.0]
    costs = []
    for bin_number in range(NUM_BINS):
        logits = torch.zeros(1, NUM_BINS, 2, 2)
        logits[:, bin_number] = 4.0
        costs.append(loss(logits, ab).item())
    assert int(np.argmin(costs)) == here
    near = sorted(range(NUM_BINS), key=costs.__getitem__)[:5]
    assert (centers[near] - centers[here]).norm(dim=1).max() <= 10.0  # its neighbours


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
