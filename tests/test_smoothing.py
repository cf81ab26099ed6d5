"""Colour is steadied along the motion, inside a shot, over a finite window."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import HEIGHT, WIDTH, pan, proxy_frames, texture

from filmcolor.errors import SettingsError
from filmcolor.temporal.anchors import BLOCK, LEAD, MAX_GAP, REACH, every_frame, track
from filmcolor.temporal.smoothing import LEVELS, Window, smooth_ab, window_for
from filmcolor.types.frames import PredictedFrame

pytestmark = pytest.mark.usefixtures("both_ways")
WINDOW = Window(48, 32)
SHAPE = (HEIGHT // 2, WIDTH // 2, 2)


def flat(a, b):
    return np.broadcast_to(np.float32([a, b]), SHAPE)


def noise(number):
    """Return the ab of an inconsistent network for frame `number`."""
    rng = np.random.default_rng(number)
    return (np.float32([20.0, 10.0]) + rng.normal(0.0, 5.0, SHAPE)).astype(np.float32)


def flicker(number):
    """Return one colour for the whole picture, a different one for each frame."""
    return flat(*np.random.default_rng(number).normal((20.0, 10.0), 5.0))


def steadied(pictures, ab_of, window=WINDOW, first=0, cuts=()):
    frames = track(proxy_frames(pictures, first, cuts))
    frames = (PredictedFrame(f, ab_of(f.source.number) if f.is_anchor else None) for f in frames)
    return list(smooth_ab(frames, window))


def abs_of(*args, **options):
    return np.stack([f.ab for f in steadied(*args, **options)])


# ---------------------------------------------------------------- what it does


@pytest.mark.parametrize("step", [0.0, 0.5, 4.0])
def test_a_constant_color_stays(step):
    result = abs_of(pan(50, step), lambda n: flat(18.0, -23.0), cuts=(21,))
    np.testing.assert_allclose(result, np.broadcast_to(flat(18.0, -23.0), result.shape), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.0, 2.0])
def test_a_network_of_two_minds_is_steadied(step):
    pictures = pan(96, step)
    single = abs_of(pictures, flicker, window=Window(1, 1))  # anchors as they are
    result = abs_of(pictures, flicker)
    spreads = [values.mean((1, 2)).std(0) for values in (result, single)]
    assert np.hypot(*spreads[0]) < 0.6 * np.hypot(*spreads[1])
    assert np.abs(np.diff(result.mean((1, 2)), axis=0)).max() < 0.6  # without a jump


def test_exposure_flicker_takes_nothing_away():
    picture = texture()
    rng = np.random.default_rng(1)
    pictures = [picture * gain for gain in rng.uniform(0.8, 1.2, 80)]
    with_flicker, without = (abs_of(p, noise) for p in (pictures, [picture] * 80))
    middle = slice(20, 60)
    assert with_flicker[middle].std() < 1.35 * without[middle].std()


def test_color_goes_with_what_moves_and_does_not_smear():
    ground, thing = texture(2) * 0.5, texture(7) * 0.5 + 0.45
    pictures, masks = [], []
    for n in range(49):
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.circle(mask, (30 + n, 48), 18, 1.0, -1)
        shift = np.float32([[1, 0, n], [0, 1, 0]])
        moved = cv2.warpAffine(thing, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        pictures.append(ground * (1 - mask) + moved * mask)
        masks.append(mask)

    def ab_of(n):
        half = cv2.resize(masks[n], SHAPE[1::-1], interpolation=cv2.INTER_AREA)
        return np.dstack([half * 30.0, half * 0.0])

    frames = steadied(pictures, ab_of)
    assert sum(f.ab is not None for f in frames) == 49
    for frame, mask in zip(frames, masks, strict=True):
        half = cv2.resize(mask, SHAPE[1::-1], interpolation=cv2.INTER_AREA)
        inside = cv2.erode(half, np.ones((7, 7))) > 0.99
        outside = cv2.dilate(half, np.ones((9, 9))) < 0.01
        assert frame.ab[inside][:, 0].mean() > 27.0
        assert np.abs(frame.ab[outside]).mean() < 1.5


def test_means_of_unlike_hues_are_not_pale():
    def ab_of(n):
        return flat(*((24.0, 0.0) if n // MAX_GAP % 2 else (0.0, 24.0)))

    result = abs_of([texture()] * 192, ab_of)[64:128]
    chroma = np.hypot(result[..., 0], result[..., 1])
    assert chroma.mean() > 0.85 * 24.0  # the plain mean keeps 0.71 to 0.75
    assert chroma.max() <= 24.0 * 1.01


def test_frames_come_back_with_everything_but_ab_unchanged():
    frames = proxy_frames(pan(40, 1.0), first=7, cuts=(30,))
    results = list(steadied([f.luma / 255.0 for f in frames], noise, first=7, cuts=(30,)))
    for frame, result in zip(frames, results, strict=True):
        assert result.source.number == frame.source.number
        np.testing.assert_array_equal(result.guide, frame.guide)
        assert result.is_cut == frame.is_cut
        assert result.ab.dtype == np.float32 and result.ab.shape == SHAPE


def test_a_single_frame_stays():
    np.testing.assert_allclose(abs_of([texture()], noise)[0], noise(0), rtol=1e-5)


# ---------------------------------------------------------------- cuts


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 13, 16, 37])
@pytest.mark.parametrize("step", [0.0, 3.0])
def test_a_shot_begins_bit_for_bit_as_it_would_alone(cut, step):
    before, shot = pan(cut, step, seed=1), pan(100, step, seed=2)
    whole = abs_of([*before, *shot], lambda n: noise(n - cut + 1000), cuts=(cut,))[cut:]
    alone = abs_of(shot, lambda n: noise(n + 1000))
    np.testing.assert_array_equal(whole[0], alone[0])
    assert np.abs(whole[:LEAD] - alone[:LEAD]).mean() < 1.0  # then blocks may differ


def test_what_follows_a_cut_has_no_say_before_it():
    pictures = [texture()] * 60
    first, second = (
        abs_of(pictures, lambda n, c=color: noise(n) if n < 37 else flat(c, c), cuts=(37,))
        for color in (0.0, 50.0)
    )
    np.testing.assert_array_equal(first[:37], second[:37])
    assert (first[37:] != second[37:]).all()
    without = abs_of(pictures, lambda n: noise(n) if n < 37 else flat(50.0, 50.0))
    assert np.abs(without[:37] - second[:37]).max() > 5.0  # the check above can fail


def test_colours_of_a_dissolve_do_not_stay_in_its_shot():
    """The first anchor of a shot that begins by a dissolve is in the colours of two shots."""
    frames = [replace(f, is_mixture=f.source.number < 10) for f in proxy_frames([texture()] * 60)]
    guided = [
        PredictedFrame(f, flat(40.0, 40.0 if f.is_mixture else 0.0) if f.is_anchor else None)
        for f in track(frames)
    ]
    assert guided[0].ab is not None and guided[0].tracked.is_mixture
    steady = [f.ab for f in smooth_ab(guided, WINDOW)]
    np.testing.assert_allclose(steady[20], flat(40.0, 0.0), atol=4.0)
    alone = [f.ab for f in smooth_ab(guided[:10], WINDOW)]  # without others its colours count
    np.testing.assert_allclose(alone[5], flat(40.0, 40.0), atol=1e-3)


# ---------------------------------------------------------------- the window


@pytest.mark.slow
@pytest.mark.parametrize("window", [Window(16, 16), Window(48, 32)])
def test_an_anchor_beyond_the_window_has_no_influence(window):
    changed = 160
    pictures = [texture()] * 300
    first = abs_of(pictures, noise, window)
    second = abs_of(pictures, lambda n: noise(n) + np.float32(50.0 * (n == changed)), window)
    differs = [n for n in range(300) if not np.array_equal(first[n], second[n])]
    # frames between two anchors blend both
    assert differs[0] == changed - window.future // MAX_GAP * MAX_GAP - MAX_GAP + 1
    assert differs[-1] == changed + window.past // MAX_GAP * MAX_GAP + MAX_GAP - 1


@pytest.mark.slow
def test_a_wider_window_holds_still_more():
    pictures = [texture()] * 200
    windows = [window_for(level, Fraction(24)) for level in ("light", "normal", "strong")]
    spreads = [abs_of(pictures, flicker, w)[60:140].std(0).mean() for w in windows]
    assert spreads[0] > spreads[1] > spreads[2]


def test_off_leaves_every_frame_its_own_color():
    frames = every_frame(proxy_frames(pan(20, 1.0)))
    window = window_for("off", Fraction(24))
    assert window.is_off
    results = list(smooth_ab((PredictedFrame(f, noise(f.source.number)) for f in frames), window))
    for n, result in enumerate(results):
        np.testing.assert_array_equal(result.ab, noise(n))


REEL = [p[32:64, 32:80] for p in (*[texture(1)] * 250, *pan(40, 3.0, 2), *[texture(3)] * 60)]


def with_context(first, stop, cuts, window):
    """Return ab of a part, steadied with no more of the film than its context."""
    past, future = window.context
    start = max(0, first - past)
    frames = proxy_frames(REEL[start : stop + future], start, cuts)
    tracked = track(frames, first - past + REACH)
    guided = (PredictedFrame(f, noise(f.source.number)[:16, :24]) for f in tracked)
    return [f.ab for f in smooth_ab(guided, window) if first <= f.source.number < stop]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    first=st.integers(0, len(REEL) - 3),
    cuts=st.sets(st.integers(1, len(REEL) - 1), max_size=3),
    level=st.sampled_from(["light", "normal", "strong"]),
)
def test_the_context_is_all_that_a_part_needs(first, cuts, level):
    window, cuts = window_for(level, Fraction(24)), (*cuts, 250, 290)
    part = with_context(first, first + 3, cuts, window)
    whole = with_context(0, len(REEL), cuts, window)[first : first + 3]
    np.testing.assert_array_equal(part, whole)


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(60, 170, 14))
def test_a_cut_long_before_a_part_is_known(cut):
    """Blocks are counted from a cut until LEAD frames after it."""
    window = window_for("normal", Fraction(24))
    part = with_context(240, 243, (cut, 250, 290), window)
    whole = with_context(0, len(REEL), (cut, 250, 290), window)[240:243]
    np.testing.assert_array_equal(part, whole)


def test_frames_come_out_before_the_film_ends():
    num_taken = 0

    def frames():
        nonlocal num_taken
        for frame in proxy_frames([texture()] * 300):
            num_taken += 1
            yield frame

    guided = (PredictedFrame(f, noise(f.source.number)) for f in track(frames()))
    for done, _ in enumerate(smooth_ab(guided, WINDOW)):
        assert num_taken - done <= WINDOW.future + 3 * BLOCK + 1


@pytest.mark.parametrize("rate", [Fraction(8), Fraction(24000, 1001), Fraction(25), Fraction(120)])
def test_windows_last_seconds_within_bounds(rate):
    normal = window_for("normal", rate)
    assert normal.past == max(BLOCK, min(144, -(-4 * rate // 1)))
    assert normal.future == max(BLOCK, min(LEAD, -(-rate * Fraction(4, 3) // 1)))


def test_an_unknown_level_is_named():
    with pytest.raises(SettingsError, match=r"'much'.*off, light, normal, strong"):
        window_for("much", Fraction(24))
    assert set(LEVELS) == {"off", "light", "normal", "strong"}
