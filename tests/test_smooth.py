"""Colour is steadied inside a shot, over a finite window, and not where things move."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from filmcolor.frames import AbFrame, LumaFrame
from filmcolor.smooth import steady, window_radius

HEIGHT, WIDTH = 32, 48  # of small; ab is half of it
RADIUS = 4


def picture(seed=0):
    """Return small luma (h, w) in 0..1 that does not change between frames."""
    rng = np.random.default_rng(seed)
    return (0.3 + 0.4 * rng.random((HEIGHT, WIDTH))).astype(np.float32)


def noisy_ab(num_frames, seed=0, mean=(20.0, 10.0), spread=6.0):
    rng = np.random.default_rng(seed)
    shape = num_frames, HEIGHT // 2, WIDTH // 2, 2
    return (np.float32(mean) + rng.normal(0.0, spread, shape)).astype(np.float32)


def frames_of(smalls, abs_, cuts=(), first=0):
    luma = np.zeros((2, 2), np.uint8)
    return [
        AbFrame(LumaFrame(first + n, luma, first + n, 1), small, first + n in cuts, ab)
        for n, (small, ab) in enumerate(zip(smalls, abs_, strict=True))
    ]


def steadied(frames, radius=RADIUS):
    return np.stack([f.ab for f in steady(frames, radius)])


# ---------------------------------------------------------------- what it does


def test_a_constant_color_stays():
    ab = np.zeros((12, HEIGHT // 2, WIDTH // 2, 2), np.float32)
    ab[..., 0], ab[:, 4:9, :, 1] = 18.0, -23.0
    frames = frames_of([picture(n) for n in range(12)], ab)  # whatever the luma does
    np.testing.assert_allclose(steadied(frames), ab, atol=1e-4)


def test_noise_in_color_is_reduced():
    num = 30
    ab = noisy_ab(num)
    result = steadied(frames_of([picture()] * num, ab))
    inner = slice(RADIUS, num - RADIUS)
    before, after = (values[inner].std(axis=0).mean() for values in (ab, result))
    assert after < 0.45 * before  # nine frames, weighted
    assert abs(result[inner].mean() - ab[inner].mean()) < 0.2


def test_flicker_between_frames_is_reduced_under_grain():
    num = 30
    rng = np.random.default_rng(1)
    smalls = [
        (picture() + rng.normal(0.0, 0.03, (HEIGHT, WIDTH))).clip(0, 1).astype(np.float32)
        for _ in range(num)
    ]
    ab = noisy_ab(num)
    result = steadied(frames_of(smalls, ab))
    assert np.abs(np.diff(result, axis=0)).mean() < 0.4 * np.abs(np.diff(ab, axis=0)).mean()


def test_colors_stay_between_those_of_the_neighbours():
    num = 15
    ab = noisy_ab(num)
    result = steadied(frames_of([picture(n % 3) for n in range(num)], ab))
    for n in range(num):
        window = ab[max(0, n - RADIUS) : n + RADIUS + 1]
        assert (result[n] >= window.min(axis=0) - 1e-3).all()
        assert (result[n] <= window.max(axis=0) + 1e-3).all()


def test_frames_come_back_with_everything_but_ab_unchanged():
    ab = noisy_ab(10)
    before = ab.copy()
    frames = frames_of([picture()] * 10, ab, cuts=(4,))
    results = list(steady(frames, RADIUS))
    for frame, result in zip(frames, results, strict=True):
        assert result.frame is frame.frame
        assert result.small is frame.small
        assert result.is_cut == frame.is_cut
        assert result.ab.dtype == np.float32
    np.testing.assert_array_equal(ab, before)  # neighbours still need it


def test_a_single_frame_stays():
    ab = noisy_ab(1)
    np.testing.assert_allclose(steadied(frames_of([picture()], ab)), ab, rtol=1e-6)


# ---------------------------------------------------------------- cuts


@pytest.mark.parametrize("cuts", [(6,), (1,), (15,), (5, 7), (3, 4, 5)])
def test_a_shot_is_bit_for_bit_what_it_is_alone(cuts):
    num = 16
    smalls, ab = [picture()] * num, noisy_ab(num)
    whole = steadied(frames_of(smalls, ab, cuts))
    edges = [0, *cuts, num]
    alone = [steadied(frames_of(smalls[a:b], ab[a:b], cuts, first=a)) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(whole, np.concatenate(alone))


def test_without_a_cut_the_same_frames_do_mix():
    smalls, ab = [picture()] * 16, noisy_ab(16)
    with_cut, without = (steadied(frames_of(smalls, ab, cuts)) for cuts in ((8,), ()))
    assert np.abs(with_cut[7] - without[7]).max() > 0.1
    assert np.abs(with_cut[8] - without[8]).max() > 0.1


def test_colors_do_not_cross_a_cut():
    ab = np.zeros((12, HEIGHT // 2, WIDTH // 2, 2), np.float32)
    ab[6:] = 40.0
    result = steadied(frames_of([picture()] * 12, ab, cuts=(6,)))
    np.testing.assert_allclose(result, ab, atol=1e-4)


# ---------------------------------------------------------------- the window


@pytest.mark.parametrize("radius", [1, 3, 4])
def test_a_frame_beyond_the_window_has_no_influence(radius):
    num, changed = 20, 10
    smalls, ab = [picture()] * num, noisy_ab(num)
    other = ab.copy()
    other[changed] += 50.0
    first, second = (steadied(frames_of(smalls, a), radius) for a in (ab, other))
    differs = [n for n in range(num) if not np.array_equal(first[n], second[n])]
    assert differs == list(range(changed - radius, changed + radius + 1))


@pytest.mark.parametrize("start", [0, 2, 5, 9, 14])
def test_a_part_with_context_is_bit_for_bit_the_whole(start):
    num, cuts = 24, (7, 15)
    smalls, ab = [picture(n // 5) for n in range(num)], noisy_ab(num)
    whole = steadied(frames_of(smalls, ab, cuts))
    stop = start + 8
    first, last = max(0, start - RADIUS), min(num, stop + RADIUS)
    part = steadied(frames_of(smalls[first:last], ab[first:last], cuts, first))
    np.testing.assert_array_equal(part[start - first :][: stop - start], whole[start:stop])


def test_no_more_than_the_window_is_read_ahead():
    read = []

    def reading():
        for frame in frames_of([picture()] * 20, noisy_ab(20)):
            read.append(frame.frame.number)
            yield frame

    for frame in steady(reading(), RADIUS):
        assert len(read) <= frame.frame.number + RADIUS + 1
    assert len(read) == 20


@pytest.mark.parametrize(
    ("rate", "radius"),
    [(Fraction(24), 8), (Fraction(24000, 1001), 8), (Fraction(30), 10), (Fraction(120), 16),
     (Fraction(1), 1), (Fraction(1, 10), 1)],
)  # fmt: skip
def test_the_window_is_a_third_of_a_second_on_either_side(rate, radius):
    assert window_radius(rate) == radius


# ---------------------------------------------------------------- motion


def test_the_color_of_a_moving_thing_does_not_smear():
    num, side = 20, 8  # a bright red square goes over a dark neutral ground, 2 pixels a frame
    smalls, abs_ = [], []
    for n in range(num):
        small = np.full((HEIGHT, WIDTH), 0.2, np.float32)
        ab = np.zeros((HEIGHT // 2, WIDTH // 2, 2), np.float32)
        small[8 : 8 + 2 * side, 2 * n : 2 * n + 2 * side] = 0.7
        ab[4 : 4 + side, n : n + side] = 40.0, 20.0
        smalls.append(small)
        abs_.append(ab)
    result = steadied(frames_of(smalls, abs_))
    for n in range(num):
        inside = abs_[n][..., 0] > 0.0
        # the guide is blurred over 3x3: look one pixel away from the edge
        ring = np.zeros_like(inside)
        ring[3 : 5 + side, max(0, n - 1) : n + side + 1] = True
        core = np.zeros_like(inside)
        core[5 : 3 + side, n + 1 : n + side - 1] = True
        assert np.abs(result[n][~ring]).max() < 0.1
        np.testing.assert_allclose(result[n][core], [[40.0, 20.0]] * core.sum(), atol=0.5)


def test_the_same_without_luma_would_smear():
    num, side = 20, 8
    ab = np.zeros((num, HEIGHT // 2, WIDTH // 2, 2), np.float32)
    for n in range(num):
        ab[n, 4 : 4 + side, n : n + side] = 40.0
    result = steadied(frames_of([np.full((HEIGHT, WIDTH), 0.2, np.float32)] * num, ab))
    assert result[10][8, 8] == pytest.approx(ab[6:15, 8, 8].mean(axis=0), rel=0.5)
    assert (result[10][8, 8] > 10.0).all()
