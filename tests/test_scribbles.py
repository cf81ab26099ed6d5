"""Strokes propagate to the edges of their objects, and no further."""

import numpy as np
import pytest

from filmcolor.guidance.scribbles import propagate

SIZE = 64, 96  # of the guide
DISC, SKY, GROUND = 1, 2, 3  # objects in the picture
LUMA = {DISC: 150.0, SKY: 200.0, GROUND: 90.0}
BLUE, GREEN = (-5.0, -35.0), (-30.0, 30.0)


def scene(grain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return luma and the object of each sample: a disc before a sky over a ground."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    things = np.where(y < 32, SKY, GROUND)
    things[np.hypot(y - 32, x - 30) < 16] = DISC
    luma = np.vectorize(LUMA.get)(things)
    noise = np.random.default_rng(0).normal(0.0, grain, SIZE)
    return np.rint((luma + noise).clip(0, 255)).astype(np.uint8), things


def strokes(*drawn: tuple[int, int, tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return ab and coverage of short strokes, each (row, column, ab)."""
    ab, coverage = np.zeros((*SIZE, 2), np.float32), np.zeros(SIZE, np.float32)
    for row, column, color in drawn:
        place = slice(row, row + 2), slice(column - 4, column + 4)
        ab[place], coverage[place] = color, 0.8
    return ab, coverage


@pytest.mark.parametrize("grain", [0.0, 3.0])
def test_a_color_fills_its_object_and_stays_in_it(grain: float) -> None:
    guide, things = scene(grain)
    ab, coverage = propagate(*strokes((32, 30, BLUE)), guide)
    assert (ab.dtype, coverage.dtype, ab.shape) == (np.float32, np.float32, (*SIZE, 2))
    assert np.mean(coverage[things == DISC]) > 0.95
    assert np.allclose(ab[(things == DISC) & (coverage > 0)], BLUE, atol=0.01)
    assert np.mean(coverage[things != DISC]) < 0.01


def test_two_strokes_color_two_objects() -> None:
    guide, things = scene()
    ab, coverage = propagate(*strokes((32, 30, BLUE), (50, 70, GREEN)), guide)
    for thing, color in ((DISC, BLUE), (GROUND, GREEN)):
        assert coverage[things == thing].min() > 0.7
        assert np.abs(ab[things == thing] - color).mean() < 0.5
    assert coverage[things == SKY].mean() < 0.01
    assert not ab[coverage == 0.0].any()


def test_a_grey_stroke_says_that_a_thing_has_no_color() -> None:
    guide, things = scene()
    ab, coverage = propagate(*strokes((32, 30, (0.0, 0.0)), (50, 70, GREEN)), guide)
    assert coverage[things == DISC].min() > 0.7
    assert np.abs(ab[things == DISC]).max() < 1.0


def test_colors_blend_between_strokes_on_one_thing() -> None:
    guide = np.full(SIZE, 120, np.uint8)
    ab, coverage = propagate(*strokes((32, 10, BLUE), (32, 86, GREEN)), guide)
    assert coverage.min() > 0.5
    row = ab[32, 14:82, 1]
    assert np.all(np.diff(row) > 0)  # from blue's b to green's, smoothly


def test_confidence_falls_over_a_weak_edge() -> None:
    luma = np.full(SIZE, 100.0)
    luma[:, 48:] += 7.0
    _, coverage = propagate(*strokes((32, 20, BLUE)), luma.astype(np.uint8))
    assert 0.0 < coverage[:, 52:].mean() < 0.9 < coverage[:, :44].mean()


def test_without_strokes_nothing_is_covered() -> None:
    ab, coverage = propagate(*strokes(), scene()[0])
    assert not ab.any()
    assert not coverage.any()
