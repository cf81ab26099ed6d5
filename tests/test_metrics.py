"""Metrics have known answers, and equal independent computations."""

import tracemalloc
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial.distance import jensenshannon
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from filmcolor.metrics.image import Mean, ab_square_error, colorfulness, mean_chroma, psnr
from filmcolor.metrics.temporal import (
    CDC_STEPS,
    LONG_EVERY,
    LONG_STEP,
    Cdc,
    Motion,
    MotionTracker,
    WarpErrors,
    distributions,
    divergence,
    find_motion,
    warp_error,
)


def noise(seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def scene(seed: int, size: tuple[int, int] = (160, 200), channels: int = 1) -> np.ndarray:
    """Return a texture of soft blobs, 8 bits (H, W, channels)."""
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
    """Signs count: with absolute values the deviation would be 0."""
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0] = (90, 10, 50)
    picture[1] = (10, 90, 50)
    assert colorfulness(picture) == pytest.approx(80.0)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_psnr_is_that_of_skimage(seed: int) -> None:
    first, second = noise(seed), noise(seed + 1)
    expected = peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr(first, second) == pytest.approx(expected)
    assert psnr(second, first) == pytest.approx(expected)  # unsigned differences would wrap


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
    for channel, value in enumerate(divergence(first, second)):
        expected = jensenshannon(first[channel], second[channel]) ** 2  # natural logarithm
        assert value == pytest.approx(expected)


def test_divergence_has_bounds() -> None:
    black, white = (distributions(np.full((2, 2, 3), v, np.uint8)) for v in (0, 255))
    assert np.all(divergence(black, black) == 0.0)
    assert divergence(black, white) == pytest.approx(np.log(2.0))


def cdc_by_hand(frames: list[np.ndarray]) -> float:
    """Return CDC as it is defined: channels outermost, then steps, then pairs."""
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
    result = Cdc()
    for number, frame in enumerate(frames):
        result.add(frame, number in cuts)
    return result.value


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
    expected = np.mean(divergence(distributions(first), distributions(second)))
    assert cdc([first, second]) == pytest.approx(expected)


def test_cdc_leaves_pairs_across_a_cut_out() -> None:
    frames = [noise(8)] * 5 + [noise(9)] * 5
    assert cdc(frames, cuts=(5,)) == 0.0
    assert cdc(frames) > 0.0


# ---------------------------------------------------------------- warp error

SHIFTS = [(0, 0), (3, 0), (-2, 4)]  # pixels to the right, down


@pytest.mark.parametrize("shift", SHIFTS)
def test_motion_of_a_shift_is_the_shift(shift: tuple[int, int]) -> None:
    luma = scene(1)[..., 0]
    motion = find_motion(luma[20:120, 20:160], luma[20 - shift[1] :, 20 - shift[0] :][:100, :140])
    inner = motion.forward[10:-10, 10:-10]
    assert np.abs(inner - np.array(shift)).mean() < 0.1
    assert motion.is_visible[10:-10, 10:-10].mean() > 0.98
    assert motion.num_visible == motion.is_visible.sum()


@pytest.mark.parametrize("shift", SHIFTS)
def test_colours_that_move_with_the_picture_have_no_warp_error(shift: tuple[int, int]) -> None:
    luma, ab = scene(1)[..., 0], ab_of(scene(2, channels=3))
    later = np.s_[20 - shift[1] : 120 - shift[1], 20 - shift[0] : 160 - shift[0]]
    earlier = np.s_[20:120, 20:160]
    motion = find_motion(luma[earlier], luma[later])
    assert warp_error(ab[earlier], ab[later], motion) < 0.3
    if shift != (0, 0):
        assert warp_error(ab[later], ab[earlier], motion) > 3.0  # the wrong way round


def test_warp_error_is_the_distance_that_colours_jump() -> None:
    luma = scene(3)[..., 0]
    ab = np.zeros((*luma.shape, 2), np.float32)
    motion = find_motion(luma, luma)
    assert warp_error(ab, ab + np.float32([3.0, 4.0]), motion) == pytest.approx(5.0)
    assert warp_error(ab, ab, motion) == 0.0


def test_what_is_covered_is_not_seen() -> None:
    """A square slides over a texture: the pixels that it covers next are in no later frame."""
    first = scene(4)[..., 0]
    second = first.copy()
    patch = scene(5, (60, 60))[..., 0]
    first[50:110, 40:100] = patch
    second[50:110, 48:108] = patch
    motion = find_motion(first, second)
    covered = motion.is_visible[55:105, 101:107]
    assert covered.mean() < 0.5 < motion.is_visible[:, 120:].mean()
    left = motion.is_visible[55:105, 50:90]  # the square itself goes on
    assert left.mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (2, 64), (64, 9), (15, 16)])
def test_small_pictures_have_motion_too(size: tuple[int, int]) -> None:
    luma = scene(7, (64, 64))[: size[0], : size[1], 0]
    motion = find_motion(luma, luma)
    assert motion.forward.shape == (*size, 2)
    assert np.abs(motion.forward).max() < 0.01
    assert motion.is_visible.all()


def test_without_a_pixel_in_common_there_is_no_warp_error() -> None:
    luma = scene(6)[..., 0]
    motion = find_motion(luma, luma)
    motion.is_visible[:] = False
    ab = np.zeros((*luma.shape, 2), np.float32)
    assert warp_error(ab, ab, motion) is None


# ---------------------------------------------------------------- over a second

SIDE = 64  # pixels, of a film's frames
NUM_FRAMES = 2 * LONG_STEP + LONG_EVERY + 2


def pan(num_frames: int, step: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Return views (H, W) of one texture, each `step` pixels right and down of the previous one."""
    size = SIDE + num_frames * step[1], SIDE + num_frames * step[0]
    whole = scene(seed, size)[..., 0]
    return [
        whole[n * step[1] : n * step[1] + SIDE, n * step[0] : n * step[0] + SIDE]
        for n in range(num_frames)
    ]


def flat(a: float, b: float = 0.0) -> np.ndarray:
    return np.tile(np.float32([a, b]), (SIDE, SIDE, 1))


def errors(
    lumas: list[np.ndarray], abs_: list[np.ndarray], cuts: tuple[int, ...] = ()
) -> WarpErrors:
    tracker, result = MotionTracker(), WarpErrors()
    for number, (luma, ab) in enumerate(zip(lumas, abs_, strict=True)):
        result.add(ab, tracker.add(luma, number in cuts))
    return result


def test_long_pairs_are_a_second_of_sound_film_apart() -> None:
    tracker = MotionTracker()
    steps = [tracker.add(luma) for luma in pan(NUM_FRAMES, (0, 0), 1)]
    assert (LONG_STEP, LONG_EVERY) == (24, 6)
    assert [s.number for s in steps if s.long is not None] == [24, 30, 36, 42, 48, 54]
    assert [s.number for s in steps if s.short is None] == [0]


@pytest.mark.parametrize("step", [(0, 0), (1, 0), (1, -1)], ids=str)
def test_colours_that_go_with_the_picture_are_steady_over_a_second(step: tuple[int, int]) -> None:
    across, down = step[0], abs(step[1])
    lumas, colors = (pan(NUM_FRAMES, (across, down), seed) for seed in (1, 2))
    abs_ = [np.dstack([c, 255 - c]).astype(np.float32) / 4 for c in colors]
    if step[1] < 0:
        lumas, abs_ = ([f[::-1] for f in frames] for frames in (lumas, abs_))
        abs_ = [np.ascontiguousarray(ab) for ab in abs_]
    result = errors(lumas, abs_)
    assert result.long_value < 1.5
    still = np.abs(abs_[LONG_STEP] - abs_[0])
    assert step == (0, 0) or np.hypot(*np.moveaxis(still, 2, 0)).mean() > 10.0  # without the flow


def test_motion_over_a_second_is_the_sum_of_its_steps() -> None:
    tracker = MotionTracker()
    *_, last = [tracker.add(luma) for luma in pan(LONG_STEP + 1, (1, 0), 3)]
    seen = last.long.is_visible
    assert np.abs(last.long.forward[seen] - np.float32([-24, 0])).mean() < 0.5
    assert np.abs(last.long.backward[:, :-30] - np.float32([24, 0])).mean() < 0.5
    assert not seen[:, :22].any()  # has left the picture
    assert seen[:, 28:].mean() > 0.9


def test_what_left_the_picture_on_the_way_is_not_seen_when_it_is_back() -> None:
    outward = pan(LONG_STEP // 2 + 1, (2, 0), 4)
    lumas = [*outward, *outward[-2::-1]]  # and back: the last frame equals the first
    tracker = MotionTracker()
    *_, last = [tracker.add(luma) for luma in lumas]
    assert np.array_equal(lumas[0], lumas[-1])
    assert not last.long.is_visible[:, :22].any()
    assert last.long.is_visible[:, 28:-28].mean() > 0.9


def test_drift_is_its_slope_from_frame_to_frame_and_24_times_that_over_a_second() -> None:
    lumas = pan(NUM_FRAMES, (1, 1), 5)
    result = errors(lumas, [flat(0.3 * n, 0.4 * n) for n in range(NUM_FRAMES)])
    assert result.value == pytest.approx(0.5, rel=1e-4)
    assert result.long_value == pytest.approx(0.5 * 24, rel=1e-4)


def test_flicker_is_seen_from_frame_to_frame_alone() -> None:
    lumas = pan(NUM_FRAMES, (1, 0), 6)
    result = errors(lumas, [flat(2.0 * (-1) ** n) for n in range(NUM_FRAMES)])
    assert result.value == pytest.approx(4.0)
    assert result.long_value == pytest.approx(0.0, abs=1e-6)


def test_pairs_across_a_cut_are_left_out_of_both() -> None:
    first, second = pan(LONG_STEP + 8, (1, 0), 7), pan(LONG_STEP + 8, (0, 0), 8)
    abs_ = [flat(0.0)] * len(first) + [flat(30.0)] * len(second)
    result = errors(first + second, abs_, cuts=(len(first),))
    assert (result.value, result.long_value) == (0.0, 0.0)
    short = errors(first[:20] + second[:20], abs_[20:60], cuts=(20,))
    assert (short.value > 0.0, short.long_value) == (True, None)


def test_nothing_is_known_of_one_frame() -> None:
    result = errors(pan(1, (0, 0), 9), [flat(1.0)])
    assert (result.value, result.long_value) == (None, None)


def warp_error_by_hand(first: np.ndarray, second: np.ndarray, motion: Motion) -> tuple[float, int]:
    """Return the sum over visible pixels as it is defined, by SciPy, and their number."""
    rows, columns = np.nonzero(motion.is_visible)
    flow = motion.forward[rows, columns].astype(np.float64)
    points = rows + flow[:, 1], columns + flow[:, 0]
    warped = [map_coordinates(second[..., c], points, order=1, mode="nearest") for c in (0, 1)]
    jumps = np.hypot(*(f - first[rows, columns, c] for c, f in enumerate(warped)))
    return float(jumps.sum()), len(rows)


def test_both_warp_errors_are_the_definition() -> None:
    """A square slides over a texture; the colours are soft noise."""
    lumas = [np.ascontiguousarray(f) for f in pan(NUM_FRAMES, (1, 0), 10)]
    for number, luma in enumerate(lumas):
        luma[10:34, number // 4 + 10 : number // 4 + 34] = scene(11, (24, 24))[..., 0]
    abs_ = [ab_of(scene(20 + n, (SIDE, SIDE), 3)) for n in range(NUM_FRAMES)]
    tracker, result = MotionTracker(), WarpErrors()
    steps = [tracker.add(luma) for luma in lumas]
    each = [result.add(ab, step) for ab, step in zip(abs_, steps, strict=True)]
    near = [
        warp_error_by_hand(abs_[a], abs_[b], steps[b].short) for a, b in pairwise(range(len(abs_)))
    ]
    far = [
        warp_error_by_hand(abs_[s.number - LONG_STEP], abs_[s.number], s.long)
        for s in steps
        if s.long is not None
    ]
    # remap points its samples to 1/32 of a pixel
    for expected, value in ((near, result.value), (far, result.long_value)):
        sums, nums = zip(*expected, strict=True)
        assert len(set(nums)) > 1  # so that weights matter
        assert value == pytest.approx(sum(sums) / sum(nums), rel=0.01)
    assert each[0] is None
    assert each[1:] == pytest.approx([total / num for total, num in near], rel=0.02)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film() -> None:
    lumas = pan(3, (0, 0), 12)
    tracker, result = MotionTracker(), WarpErrors()

    def held_after(num_frames: int) -> int:
        for number in range(num_frames):
            result.add(flat(float(number)), tracker.add(lumas[number % 3]))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early, late = held_after(2 * LONG_STEP), held_after(4 * LONG_STEP)
    finally:
        tracemalloc.stop()
    frame = flat(0.0).nbytes
    assert late - early < frame
    assert early < 40 * frame
