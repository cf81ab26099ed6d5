"""Surfaces: pixels of one segment agree on a colour; sure pixels and other objects keep theirs."""

import numpy as np
import pytest
import torch

from filmcolor.kernels import ops
from filmcolor.network.surfaces import surface_ab

pytestmark = pytest.mark.usefixtures("both_ways")

HEIGHT, WIDTH = 16, 24
NUM = 300  # bins: with few, every pixel would be sure
CENTERS = torch.randn(NUM, 2, generator=torch.Generator().manual_seed(1)) * 40.0


def halves(left, right):
    """A picture (1, C, HEIGHT, WIDTH) whose halves have one value each."""
    maps = torch.empty(1, len(left), HEIGHT, WIDTH)
    maps[..., : WIDTH // 2] = torch.tensor(left)[:, None, None]
    maps[..., WIDTH // 2 :] = torch.tensor(right)[:, None, None]
    return maps


def noise(num=1, strength=1.5):
    generator = torch.Generator().manual_seed(0)
    return strength * torch.randn(num, NUM, HEIGHT, WIDTH, generator=generator)


FLAT = np.full((1, 4 * HEIGHT, 4 * WIDTH), 0.5, np.float32)
SAME = halves([1.0, 0.0], [1.0, 0.0])
OTHER = halves([1.0, 0.0], [0.0, 1.0])


def spread(ab):
    """The mean distance of ab (h, w, 2) from the mean."""
    return np.linalg.norm(ab - ab.mean(axis=(0, 1)), axis=2).mean()


def test_strength_0_is_the_plain_mean():
    logits = noise(2)
    luma, features = np.repeat(FLAT, 2, axis=0), SAME.repeat(2, 1, 1, 1)
    ab = surface_ab(logits, CENTERS, luma, features, 0.0)
    expected = torch.einsum("nqhw,qc->nhwc", logits.softmax(dim=1), CENTERS).numpy()
    np.testing.assert_allclose(ab, expected, atol=1e-4)


def test_more_strength_makes_a_surface_more_even():
    logits = noise()
    spreads = [
        spread(surface_ab(logits, CENTERS, FLAT, SAME, strength)[0])
        for strength in (0.0, 0.01, 0.5, 1.0)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[1] == pytest.approx(spreads[0], rel=0.02)
    assert spreads[3] < 0.6 * spreads[0]


@pytest.mark.parametrize("divides", ["luma", "features"])
def test_colours_do_not_cross_from_one_surface_to_another(divides):
    left, right = [1.0] * 9 + [0.0] * (NUM - 9), [0.0] * (NUM - 9) + [1.0] * 9
    luma, features = FLAT.copy(), OTHER if divides == "features" else SAME
    if divides == "luma":
        luma[..., 2 * WIDTH :] = 0.9
    alone = [surface_ab(halves(v, v), CENTERS, FLAT, SAME, 1.0)[0, 0, 0] for v in (left, right)]
    ab = surface_ab(halves(left, right), CENTERS, luma, features, 1.0)[0]
    np.testing.assert_allclose(ab[:, : WIDTH // 2] - alone[0], 0.0, atol=1e-3)
    np.testing.assert_allclose(ab[:, WIDTH // 2 :] - alone[1], 0.0, atol=1e-3)
    joined = surface_ab(halves(left, right), CENTERS, FLAT, SAME, 1.0)[0]
    assert np.abs(joined - ab).max() > 0.1  # they would mix without an edge


def test_a_sure_pixel_keeps_its_colour():
    logits = noise()
    logits[:, 7, 5, 6] = 30.0
    ab = surface_ab(logits, CENTERS, FLAT, SAME, 1.0)[0]
    np.testing.assert_allclose(ab[5, 6], CENTERS[7].numpy(), atol=1.0)
    assert np.linalg.norm(ab[5, 7] - CENTERS[7].numpy()) > 10.0


def test_a_picture_does_not_depend_on_its_batch():
    logits = noise(3)
    luma = np.random.default_rng(0).random((3, 4 * HEIGHT, 4 * WIDTH), np.float32)
    features = torch.cat([SAME, OTHER, SAME])
    batch = surface_ab(logits, CENTERS, luma, features, 1.0)
    alone = surface_ab(logits[1:2], CENTERS, luma[1:2], features[1:2], 1.0)
    np.testing.assert_array_equal(batch[1], alone[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2), (13, 5)])
def test_segments_are_numbered_from_0_and_connected_by_light_edges(shape):
    weights = np.full((*shape, 4), 50_000, np.uint16)
    assert len(np.unique(ops.segment(weights, 1.0, 1))) == shape[0] * shape[1]
    assert not ops.segment(weights, 1.0, 1000).any()  # all are too small
    assert not ops.segment(weights * 0, 1.0, 1).any()
    labels = ops.segment(weights, 1.0, 1).ravel()
    np.testing.assert_array_equal(labels, np.arange(labels.size))


def test_a_large_segment_takes_in_less_than_a_small_one():
    """The threshold falls with the size: Felzenszwalb and Huttenlocher's scale / size."""
    weights = np.zeros((1, 12, 4), np.uint16)
    weights[0, 5, 0] = 100  # between two segments of six pixels
    assert len(np.unique(ops.segment(weights, 599.0, 1))) == 2
    assert len(np.unique(ops.segment(weights, 600.0, 1))) == 1
