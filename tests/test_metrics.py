"""The figures of merit: known answers, and the same as independent computations."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from filmcolor.metrics import (
    CDC_STEPS,
    Cdc,
    Mean,
    ab_square_error,
    colorfulness,
    distributions,
    divergence,
    mean_chroma,
    motion,
    psnr,
    warp_error,
)


def noise(seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def scene(seed: int, size: tuple[int, int] = (160, 200), channels: int = 1) -> np.ndarray:
    """A texture of soft blobs, 8 bits (H, W, channels)."""
    values = np.random.default_rng(seed).normal(size=(*size, channels)).astype(np.float32)
    soft = cv2.GaussianBlur(values, (0, 0), 3.0).reshape(*size, channels)
    return np.rint((128 + 60 * soft / soft.std()).clip(0, 255)).astype(np.uint8)


def ab_of(rgb: np.ndarray) -> np.ndarray:
    return rgb2lab(rgb)[..., 1:].astype(np.float32)


def test_a_mean_is_weighted_and_none_at_first() -> None:
    mean = Mean()
    assert mean.value is None
    mean.add(1.0, 3.0)
    mean.add(5.0, 1.0)
    assert mean.value == 2.0


# ---------------------------------------------------------------- one picture


def test_grey_has_no_colourfulness() -> None:
    grey = np.repeat(noise(0)[..., :1], 3, axis=2)
    assert colorfulness(grey) == 0.0


def test_colourfulness_of_one_colour_is_its_mean_alone() -> None:
    flat = np.full((4, 5, 3), (200, 100, 50), np.uint8)
    assert colorfulness(flat) == pytest.approx(0.3 * (100**2 + 100**2) ** 0.5)


def test_colourfulness_of_two_opposite_colours_is_their_spread_alone() -> None:
    """Signs count: with absolute values the spread would be 0."""
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0] = (90, 10, 50)
    picture[1] = (10, 90, 50)
    assert colorfulness(picture) == pytest.approx(80.0)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_psnr_is_that_of_skimage(seed: int) -> None:
    first, second = noise(seed), noise(seed + 1)
    wanted = peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr(first, second) == pytest.approx(wanted)
    assert psnr(second, first) == pytest.approx(wanted)  # unsigned differences would wrap


def test_psnr_has_known_answers() -> None:
    black, white = np.zeros((3, 4, 3), np.uint8), np.full((3, 4, 3), 255, np.uint8)
    assert psnr(black, white) == 0.0
    assert psnr(black, np.ones_like(black)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(white, white) == float("inf")


def test_ab_error_and_chroma_are_sums_over_pixels() -> None:
    ab, truth = ab_of(noise(1)), ab_of(noise(2))
    pixels = list(zip(ab.reshape(-1, 2).tolist(), truth.reshape(-1, 2).tolist(), strict=True))
    squares = [((a - c) ** 2 + (b - d) ** 2) / 2 for (a, b), (c, d) in pixels]
    assert ab_square_error(ab, truth) == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    chroma = [(a * a + b * b) ** 0.5 for (a, b), _ in pixels]
    assert mean_chroma(ab) == pytest.approx(sum(chroma) / len(chroma), rel=1e-5)


# ---------------------------------------------------------------- CDC


def test_divergence_is_the_square_of_scipys_distance() -> None:
    first, second = distributions(noise(3)), distributions(noise(4))
    for channel, found in enumerate(divergence(first, second)):
        wanted = jensenshannon(first[channel], second[channel]) ** 2  # natural logarithm
        assert found == pytest.approx(wanted)


def test_divergence_has_bounds() -> None:
    black, white = (distributions(np.full((2, 2, 3), v, np.uint8)) for v in (0, 255))
    assert np.all(divergence(black, black) == 0.0)
    assert divergence(black, white) == pytest.approx(np.log(2.0))


def cdc_by_hand(frames: list[np.ndarray]) -> float:
    """As the definition reads: channels outside, then steps, then pairs."""
    channels = []
    for channel in range(3):
        shares = [np.histogram(f[..., channel], 256, (0, 256))[0] / f[..., 0].size for f in frames]
        steps = [
            np.mean([jensenshannon(a, b) ** 2 for a, b in zip(shares, shares[step:])])
            for step in (1, 2, 4)
        ]
        channels.append(sum(steps) / 3)
    return float(np.mean(channels))


def cdc(frames: list[np.ndarray], cuts: tuple[int, ...] = ()) -> float | None:
    found = Cdc()
    for number, frame in enumerate(frames):
        found.add(frame, number in cuts)
    return found.value


@pytest.mark.parametrize("num_frames", [5, 6, 11])
def test_cdc_is_the_definition(num_frames: int) -> None:
    frames = [scene(n, (40, 50), 3) for n in range(num_frames)]
    assert cdc(frames) == pytest.approx(cdc_by_hand(frames))


def test_cdc_of_a_still_is_zero_and_one_frame_has_none() -> None:
    assert cdc([noise(5)] * 6) == 0.0
    assert cdc([noise(5)]) is None
    assert cdc([]) is None
    assert CDC_STEPS == (1, 2, 4)


def test_cdc_of_few_frames_is_over_the_steps_there_are() -> None:
    first, second = noise(6), noise(7)
    wanted = np.mean(divergence(distributions(first), distributions(second)))
    assert cdc([first, second]) == pytest.approx(wanted)


def test_cdc_leaves_pairs_across_a_cut_out() -> None:
    frames = [noise(8)] * 5 + [noise(9)] * 5
    assert cdc(frames, cuts=(5,)) == 0.0
    assert cdc(frames) > 0.0


# ---------------------------------------------------------------- warp error

SHIFTS = [(0, 0), (3, 0), (-2, 4)]  # pixels to the right, down


@pytest.mark.parametrize("shift", SHIFTS)
def test_motion_of_a_shift_is_the_shift(shift: tuple[int, int]) -> None:
    luma = scene(1)[..., 0]
    moved = motion(luma[20:120, 20:160], luma[20 - shift[1] :, 20 - shift[0] :][:100, :140])
    inner = moved.flow[10:-10, 10:-10]
    assert np.abs(inner - np.array(shift)).mean() < 0.1
    assert moved.is_seen[10:-10, 10:-10].mean() > 0.98
    assert moved.num_seen == moved.is_seen.sum()


@pytest.mark.parametrize("shift", SHIFTS)
def test_colours_that_move_with_the_picture_have_no_warp_error(shift: tuple[int, int]) -> None:
    luma, ab = scene(1)[..., 0], ab_of(scene(2, channels=3))
    there = np.s_[20 - shift[1] : 120 - shift[1], 20 - shift[0] : 160 - shift[0]]
    here = np.s_[20:120, 20:160]
    moved = motion(luma[here], luma[there])
    assert warp_error(ab[here], ab[there], moved) < 0.3
    if shift != (0, 0):
        assert warp_error(ab[there], ab[here], moved) > 3.0  # the wrong way round


def test_warp_error_is_the_distance_that_colours_jump() -> None:
    luma = scene(3)[..., 0]
    ab = np.zeros((*luma.shape, 2), np.float32)
    moved = motion(luma, luma)
    assert warp_error(ab, ab + np.float32([3.0, 4.0]), moved) == pytest.approx(5.0)
    assert warp_error(ab, ab, moved) == 0.0


def test_what_is_covered_is_not_seen() -> None:
    """A square slides over a texture: what it covers next has no place to go to."""
    first = scene(4)[..., 0]
    second = first.copy()
    patch = scene(5, (60, 60))[..., 0]
    first[50:110, 40:100] = patch
    second[50:110, 48:108] = patch
    moved = motion(first, second)
    covered = moved.is_seen[55:105, 101:107]
    assert covered.mean() < 0.5 < moved.is_seen[:, 120:].mean()
    left = moved.is_seen[55:105, 50:90]  # the square itself goes on
    assert left.mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (2, 64), (64, 9), (15, 16)])
def test_small_pictures_have_motion_too(size: tuple[int, int]) -> None:
    luma = scene(7, (64, 64))[: size[0], : size[1], 0]
    moved = motion(luma, luma)
    assert moved.flow.shape == (*size, 2)
    assert np.abs(moved.flow).max() < 0.01
    assert moved.is_seen.all()


def test_without_a_pixel_in_common_there_is_no_warp_error() -> None:
    luma = scene(6)[..., 0]
    moved = motion(luma, luma)
    moved.is_seen[:] = False
    ab = np.zeros((*luma.shape, 2), np.float32)
    assert warp_error(ab, ab, moved) is None
