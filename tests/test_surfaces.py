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
LEFT, RIGHT = slice(0, WIDTH // 2), slice(WIDTH // 2, WIDTH)


def halves(left, right):
    """A picture (1, C, HEIGHT, WIDTH) whose halves have one value each."""
    maps = torch.empty(1, len(left), HEIGHT, WIDTH)
    maps[..., LEFT] = torch.tensor(left)[:, None, None]
    maps[..., RIGHT] = torch.tensor(right)[:, None, None]
    return maps


def noise(num=1, strength=1.5, size=(HEIGHT, WIDTH)):
    generator = torch.Generator().manual_seed(0)
    return strength * torch.randn(num, NUM, *size, generator=generator)


FLAT = np.full((1, 4 * HEIGHT, 4 * WIDTH), 0.5, np.float32)
SAME = halves([1.0, 0.0], [1.0, 0.0])
OTHER = halves([1.0, 0.0], [0.0, 1.0])
# 9 bins are likelier than the others, by as much in both
ONE, ANOTHER = [1.0] * 9 + [0.0] * (NUM - 9), [0.0] * (NUM - 9) + [1.0] * 9


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


def test_two_noisy_surfaces_get_one_colour_each():
    red = 0.03 * CENTERS[:, 0]
    logits = noise() + halves(red.tolist(), (-red).tolist())
    off, on = (surface_ab(logits, CENTERS, FLAT, OTHER, strength)[0] for strength in (0.0, 1.0))
    for half in (LEFT, RIGHT):
        assert spread(on[:, half]) < 0.5 * spread(off[:, half])
    colors = on[:, LEFT].mean(axis=(0, 1)), on[:, RIGHT].mean(axis=(0, 1))
    assert colors[0][0] > 20.0 and colors[1][0] < -20.0


def test_a_vote_does_not_mute_colours():
    """Pixels that disagree would get the grey between their colours."""
    logits = noise(strength=2.5)
    off, on = (surface_ab(logits, CENTERS, FLAT, SAME, strength)[0] for strength in (0.0, 1.0))
    own, muted = np.linalg.norm(off, axis=2).mean(), np.linalg.norm(off.mean(axis=(0, 1)))
    assert np.linalg.norm(on, axis=2).mean() > 1.3 * muted
    assert np.linalg.norm(on, axis=2).mean() < 1.1 * own


@pytest.mark.parametrize("border", ["luma", "thin line", "features"])
def test_colours_do_not_cross_from_one_surface_to_another(border):
    luma, features = FLAT.copy(), OTHER if border == "features" else SAME
    if border == "luma":
        luma[..., 2 * WIDTH :] = 0.9
    elif border == "thin line":
        luma[..., 2 * WIDTH - 4 : 2 * WIDTH - 1] = 0.1
    alone = [surface_ab(halves(v, v), CENTERS, FLAT, SAME, 1.0)[0, 0, 0] for v in (ONE, ANOTHER)]
    ab = surface_ab(halves(ONE, ANOTHER), CENTERS, luma, features, 1.0)[0]
    np.testing.assert_allclose(ab[:, LEFT] - alone[0], 0.0, atol=1e-3)
    np.testing.assert_allclose(ab[:, RIGHT] - alone[1], 0.0, atol=1e-3)
    joined = surface_ab(halves(ONE, ANOTHER), CENTERS, FLAT, SAME, 1.0)[0]
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


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 5)])
def test_pictures_of_odd_sizes(size):
    height, width = size
    luma = np.random.default_rng(0).random((2, 4 * height, 4 * width), np.float32)
    features = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    ab = surface_ab(noise(2, size=size), CENTERS, luma, features, 1.0)
    assert ab.shape == (2, *size, 2) and np.isfinite(ab).all()


def test_edges_have_the_distance_of_their_ends():
    values = np.arange(6, dtype=np.float32).reshape(2, 3, 1) ** 2
    weights = ops.edge_weights(values, 2.0)
    assert weights[0].tolist() == [[2, 0, 18, 32], [6, 16, 30, 48], [0, 24, 42, 0]]
    assert weights[1].tolist() == [[14, 0, 0, 0], [18, 0, 0, 0], [0, 0, 0, 0]]
    assert ops.edge_weights(values, 1e9).max() == 65535


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2), (13, 5)])
def test_segments_are_numbered_and_connected_by_light_edges(shape):
    weights = np.full((*shape, 4), 50_000, np.uint16)
    num = shape[0] * shape[1]
    scales = np.array([1.0, 1e6, 1.0], np.float32)
    labels = ops.segment(weights, scales, 1).reshape(3, num)
    np.testing.assert_array_equal(labels[0], np.arange(num))
    np.testing.assert_array_equal(labels[2] - labels[2, 0], np.arange(num))
    assert (labels[1] == num).all() and labels[2, 0] == num + 1
    assert not ops.segment(weights, scales[:1], 1000).any()  # all are too small
    assert not ops.segment(weights * 0, scales[:1], 1).any()


def test_a_large_segment_takes_in_less_than_a_small_one():
    """The threshold falls with the size: Felzenszwalb and Huttenlocher's scale / size."""
    weights = np.zeros((1, 12, 4), np.uint16)
    weights[0, 5, 0] = 100  # between two segments of six pixels
    labels = ops.segment(weights, np.array([599.0, 600.0], np.float32), 1)
    assert [len(np.unique(scale)) for scale in labels] == [2, 1]
