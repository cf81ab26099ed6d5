"""Flow finds known motion, and is uncertain about occlusions."""

import numpy as np
import pytest
from scenes import texture

from filmcolor.kernels.ops import compose, warp
from filmcolor.temporal.flow import (
    COARSE,
    FINE,
    GLANCE,
    compose_flow,
    find_flow,
    find_tracked_flows,
)

pytestmark = pytest.mark.usefixtures("both_ways")
WIDE = (texture(3, 96, 200) * 255).astype(np.uint8)


def view(left: int) -> np.ndarray:
    """Return a window of the wide picture: objects move left as the window moves right."""
    return WIDE[:, left : left + 128]


@pytest.mark.parametrize("effort", [GLANCE, COARSE, FINE])
@pytest.mark.parametrize("shift", [0, 2, 5])
def test_a_shift_is_found(effort, shift):
    forward, backward = find_tracked_flows(view(20), view(20 + shift), effort)
    inner = slice(10, -10), slice(16, -16)
    assert np.abs(forward[inner][..., 0] + shift).mean() < 0.15
    assert np.abs(backward[inner][..., 0] - shift).mean() < 0.15
    assert forward[inner][..., 2].max() < 0.1  # and certain


def test_what_leaves_the_picture_is_uncertain():
    forward, _ = find_tracked_flows(view(20), view(28), FINE)
    assert forward[:, :6, 2].min() > 5.0


def test_what_is_hidden_is_uncertain():
    before, after = view(20).copy(), view(20).copy()
    patch = (texture(9, 30, 30) * 255).astype(np.uint8)
    before[30:60, 30:60], after[30:60, 38:68] = patch, patch
    forward, _ = find_tracked_flows(before, after, FINE)
    assert np.median(forward[35:55, 35:55, 0]) == pytest.approx(8.0, abs=0.3)
    assert np.exp(-forward[35:55, 35:45, 2]).mean() > 0.9
    assert np.exp(-forward[35:55, 61:67, 2]).mean() < 0.3  # the patch covers it


def test_an_unrelated_picture_is_uncertain():
    other = (texture(4, 96, 128) * 255).astype(np.uint8)
    forward, _ = find_tracked_flows(view(20), other, COARSE)
    assert np.exp(-forward[..., 2]).mean() < 0.8


def test_courses_that_are_composed_add_up():
    first, _ = find_tracked_flows(view(20), view(22), FINE)
    second, _ = find_tracked_flows(view(22), view(25), FINE)
    both = compose(first, second)
    inner = slice(10, -10), slice(16, -16)
    assert np.abs(both[inner][..., 0] + 5.0).mean() < 0.2
    np.testing.assert_allclose(
        both[..., :2], compose_flow(first[..., :2], second[..., :2]), atol=0.02
    )  # remap rounds by channels
    assert (both[..., 2] >= first[..., 2] - 1e-5).all()


def test_a_search_begins_where_it_is_told():
    """The shift is more than half the picture: found from a nearby start, not from zero."""
    far = np.zeros((96, 128, 2), np.float32)
    far[..., 0] = -68.0
    begun = find_flow(view(0), view(70), FINE, far)
    inner = slice(10, -10), slice(80, -10)
    assert np.abs(begun[inner][..., 0] + 70.0).mean() < 0.5
    assert np.abs(find_flow(view(0), view(70), FINE)[inner][..., 0] + 70.0).mean() > 10.0


def test_a_beginning_is_forgotten_by_the_next_search():
    before = find_flow(view(20), view(23), FINE)
    find_flow(view(20), view(23), FINE, np.full((96, 128, 2), 30.0, np.float32))
    np.testing.assert_array_equal(find_flow(view(20), view(23), FINE), before)


def test_begun_courses_lead_there_and_back():
    begin = np.zeros((96, 128, 2), np.float32)
    begin[..., 0] = -38.0
    forward, backward = find_tracked_flows(view(20), view(60), FINE, begin)
    assert np.abs(forward[10:-10, 50:-10, 0] + 40.0).mean() < 0.5
    assert np.abs(backward[10:-10, 10:-50, 0] - 40.0).mean() < 0.5
    assert np.exp(-forward[10:-10, 50:-10, 2]).mean() > 0.95
    assert np.exp(-forward[:, :30, 2]).mean() < 0.1  # it has left the picture


@pytest.mark.parametrize(("height", "width"), [(4, 6), (12, 40)])
def test_a_search_of_a_tiny_picture_begins_too(height, width):
    picture = view(0)[:height, :width]
    begun = find_flow(picture, picture, FINE, np.zeros((height, width, 2), np.float32))
    assert begun.shape == (height, width, 2)
    assert np.abs(begun).max() < 0.5


def test_values_are_fetched_along_a_flow():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    flow = np.zeros((3, 4, 2), np.float32)
    flow[..., 0] = 1.0
    np.testing.assert_array_equal(warp(values, flow), values[:, [1, 2, 3, 3]])
    flow[..., 0] = 0.5
    np.testing.assert_array_equal(warp(values, flow)[:, :3], values[:, :3] + 0.5)


def test_courses_serve_pictures_of_another_size():
    values = np.arange(64, dtype=np.float32).reshape(4, 16)
    flow = np.zeros((2, 8, 4), np.float32)
    flow[..., 0], flow[..., 2] = 1.5, 7.0
    np.testing.assert_allclose(warp(values, flow)[:, :13], values[:, 3:])


@pytest.mark.parametrize("size", [(4, 4), (12, 40), (40, 12)])
def test_tiny_pictures_have_flow_too(size):
    luma = (texture(1, *size) * 255).astype(np.uint8)
    assert find_flow(luma, luma).shape == (*size, 2)
    forward, backward = find_tracked_flows(luma, luma, FINE)
    assert forward.shape == backward.shape == (*size, 4)
    assert np.abs(forward[..., :2]).max() < 0.1


def test_an_exposure_that_changes_is_no_motion():
    darker = (view(20) * 0.8).astype(np.uint8)
    forward, _ = find_tracked_flows(view(20), darker, FINE)
    assert np.abs(forward[..., :2]).mean() < 0.3


def test_flow_does_not_depend_on_what_was_asked_before():
    """OpenCV changes its settings for small pictures and does not restore them."""
    large = (texture(5, 128, 172) * 255).astype(np.uint8)
    moved = np.roll(large, 1, axis=1)
    efforts = (GLANCE, COARSE, FINE)
    first = [find_flow(large, moved, effort) for effort in efforts]
    for effort in efforts:
        for side in (16, 24, 32):
            small = (texture(1, side, side) * 255).astype(np.uint8)
            find_flow(small, small, effort)
    for effort, flow in zip(efforts, first, strict=True):
        np.testing.assert_array_equal(find_flow(large, moved, effort), flow)
