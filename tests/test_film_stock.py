"""Simulated film stock: the share of pictures, seeds, spectral response and defects."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from stills import colorful
from torch import Tensor

from filmcolor.train.data.film_stock import luma_and_ab, simulate_film_stock


def batch(num: int) -> Tensor:
    picture = torch.from_numpy(np.asarray(colorful(0)).copy()).permute(2, 0, 1)
    return picture.repeat(num, 1, 1, 1)


def aged(pictures: Tensor, seed: int, share: float = 0.5) -> Tensor:
    luma, _ = luma_and_ab(pictures)
    return simulate_film_stock(pictures, luma, torch.Generator().manual_seed(seed), share)


def test_lab_is_scikit_images() -> None:
    pictures = batch(1)
    luma, ab = luma_and_ab(pictures)
    expected = rgb2lab(pictures[0].permute(1, 2, 0).numpy())
    assert np.allclose(ab[0].permute(1, 2, 0), expected[..., 1:], atol=0.02)
    assert luma.shape == (1, 1, 48, 64)
    assert 0.0 <= luma.min() < luma.max() <= 1.0


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 16, 48), (1.0, 64, 64)])
def test_the_share_of_aged_pictures(share: float, low: int, high: int) -> None:
    pictures = batch(64)
    luma, _ = luma_and_ab(pictures)
    old = aged(pictures, 3, share)
    assert 0.0 <= old.min() <= old.max() <= 1.0
    num_aged = sum(not torch.equal(a, b) for a, b in zip(old, luma))
    assert low <= num_aged <= high


def test_the_same_seed_gives_the_same_luma() -> None:
    pictures = batch(16)
    assert torch.equal(aged(pictures, 3), aged(pictures, 3))
    assert not torch.equal(aged(pictures, 3), aged(pictures, 4))


def test_old_stock_is_blinder_to_red_than_to_blue() -> None:
    patches = torch.zeros(256, 3, 16, 16, dtype=torch.uint8)
    patches[:, 0, :, :8] = patches[:, 2, :, 8:] = 200  # red on the left, blue on the right
    luma, _ = luma_and_ab(patches)
    old = aged(patches, 0, share=1.0)
    ratios = old[..., :8].mean(dim=(1, 2, 3)) / old[..., 8:].mean(dim=(1, 2, 3))
    assert luma[..., :8].mean() / luma[..., 8:].mean() > 2.0
    assert ratios.median() < 1.5
    assert (ratios < 0.9).any()  # some are orthochromatic
    assert (ratios > 1.5).any()  # some are panchromatic


def test_every_defect_occurs() -> None:
    """Grain, vignetting, gamma and contrast each show in some pictures of a flat grey."""
    flat = torch.full((256, 3, 48, 48), 128, dtype=torch.uint8)
    old = aged(flat, 1, share=1.0)[:, 0]
    fine = (old[:, :, 1:] - old[:, :, :-1]).std(dim=(1, 2))
    corners = torch.stack([old[:, y, x] for y in (slice(6), slice(-6, None)) for x in (slice(6),)])
    middle = old[:, 18:30, 18:30].mean(dim=(1, 2))
    assert fine.max() > 0.05
    assert fine.min() < 0.01
    assert (corners.mean(dim=(0, 2, 3)) - middle).abs().max() > 0.04
    means = old.mean(dim=(1, 2))
    assert means.max() - means.min() > 0.3  # gamma and contrast
