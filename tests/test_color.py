"""Colour conversions against scikit-image, the standards' numbers, and laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from filmcolor.color.gamut import chroma_from_gray, chroma_from_lab, shrink_into_gamut
from filmcolor.color.spaces import (
    LUMA_601,
    LUMA_709,
    lab_from_rgb,
    lightness_from_luma,
    linear_from_srgb,
    luma_from_rgb,
    rgb_from_lab,
    rgb_from_ycc,
    srgb_from_linear,
)
from filmcolor.types.yuv import (
    RGB_MATRIX,
    UNSPECIFIED,
    Coding,
    convert_luma,
    default_matrix,
    is_known_matrix,
)

MATRICES = (1, 4, 5, 6, 7, 9)  # ITU-T H.273, all that Coding knows
CODINGS = [Coding(m, is_full, depth) for m in MATRICES for is_full in (0, 1) for depth in (8, 10)]

unit = st.floats(0.0, 1.0)
rgb_colors = st.tuples(unit, unit, unit).map(lambda c: tuple(np.float64(v) for v in c))
chromas = st.floats(-0.5, 0.5).map(np.float64)
codings = st.sampled_from(CODINGS)
law = settings(max_examples=150, derandomize=True, database=None, deadline=None)


def weights_of(coding):
    kr, kb = coding.kr_kb
    return kr, 1.0 - kr - kb, kb


def ycc_from_rgb(red, green, blue, coding):
    """The definition of ITU-R BT.601-7, item 2.5.1, as the standard writes it."""
    kr, kb = coding.kr_kb
    luma = kr * red + (1.0 - kr - kb) * green + kb * blue
    return luma, (blue - luma) / (2.0 - 2.0 * kb), (red - luma) / (2.0 - 2.0 * kr)


def color_grid(steps):
    axis = np.linspace(0.0, 1.0, steps)
    return tuple(c.ravel() for c in np.meshgrid(axis, axis, axis))


def random_rgb(seed=0):
    return np.random.default_rng(seed).random((3, 64, 64))


# ---------------------------------------------------------------- CIELAB


def test_lab_from_rgb_agrees_with_scikit_image():
    rgb = random_rgb()
    ours = np.stack(lab_from_rgb(*rgb), axis=-1)
    # scikit-image rounds CIELAB's constants to four digits
    np.testing.assert_allclose(ours, rgb2lab(np.moveaxis(rgb, 0, -1)), atol=5e-4)


def test_dark_colors_agree_with_scikit_image():
    rgb = random_rgb(1) * 0.05
    ours = np.stack(lab_from_rgb(*rgb), axis=-1)
    np.testing.assert_allclose(ours, rgb2lab(np.moveaxis(rgb, 0, -1)), atol=5e-4)


def test_rgb_from_lab_agrees_with_scikit_image():
    lab = rgb2lab(np.moveaxis(random_rgb(2), 0, -1))
    ours = np.stack(rgb_from_lab(*np.moveaxis(lab, -1, 0)), axis=-1)
    np.testing.assert_allclose(ours, lab2rgb(lab), atol=2e-5)


def test_colors_outside_the_gamut_are_not_clipped():
    red, green, blue = rgb_from_lab(np.float64(50.0), np.float64(-120.0), np.float64(100.0))
    assert red < 0.0 and blue < 0.0 and 0.0 < green < 1.0


@law
@given(rgb_colors)
def test_rgb_to_lab_and_back(rgb):
    np.testing.assert_allclose(rgb_from_lab(*lab_from_rgb(*rgb)), rgb, atol=1e-6)


def test_rgb_to_lab_and_back_in_float32():
    rgb = random_rgb(3).astype(np.float32)
    back = np.stack(rgb_from_lab(*lab_from_rgb(*rgb)))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rgb, atol=2e-5)


@law
@given(unit.map(np.float64))
def test_srgb_transfer_and_back(value):
    assert srgb_from_linear(linear_from_srgb(value)) == pytest.approx(value, abs=1e-7)


@law
@given(unit.map(np.float64))
def test_lightness_from_luma_is_that_of_the_grey(luma):
    lightness, _, _ = lab_from_rgb(luma, luma, luma)
    assert lightness_from_luma(luma) == pytest.approx(lightness, abs=2e-3)


def test_lightness_of_black_and_white():
    black_white = lightness_from_luma(np.array([0.0, 1.0]))
    np.testing.assert_allclose(black_white, [0.0, 100.0], atol=1e-9)


def test_tensors_and_arrays_give_the_same():
    rgb = random_rgb(4)
    tensors = [torch.from_numpy(c) for c in rgb]
    for ours, theirs in zip(lab_from_rgb(*rgb), lab_from_rgb(*tensors)):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-10)
    lab = lab_from_rgb(*rgb)
    for ours, theirs in zip(rgb_from_lab(*lab), rgb_from_lab(*map(torch.from_numpy, lab))):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-10)


# ---------------------------------------------------------------- codings


@pytest.mark.parametrize(
    ("is_full_range", "depth", "black", "white", "neutral", "highest_chroma"),
    [
        (False, 8, 16, 235, 128, 240),  # ITU-R BT.601-7, BT.709-6
        (False, 10, 64, 940, 512, 960),
        (False, 12, 256, 3760, 2048, 3840),
        (True, 8, 0, 255, 128, 255.5),  # ITU-T H.273, equations 30 to 35
        (True, 10, 0, 1023, 512, 1023.5),
    ],
)
def test_code_values_are_the_standards(is_full_range, depth, black, white, neutral, highest_chroma):
    coding = Coding(1, is_full_range, depth)
    assert coding.luma_offset == black
    assert coding.luma_offset + coding.luma_scale == white
    assert coding.chroma_offset == neutral
    assert coding.chroma_offset + 0.5 * coding.chroma_scale == highest_chroma


@pytest.mark.parametrize(("matrix", "kr_kb"), [(1, (0.2126, 0.0722)), (6, (0.299, 0.114))])
def test_luma_weights_are_the_standards(matrix, kr_kb):
    assert Coding(matrix, False, 8).kr_kb == kr_kb


@pytest.mark.parametrize(("matrix", "weights"), [(1, LUMA_709), (5, LUMA_601), (6, LUMA_601)])
def test_named_luma_weights_are_the_matrices(matrix, weights):
    assert weights_of(Coding(matrix, False, 8)) == pytest.approx(weights)


@pytest.mark.parametrize("matrix", [RGB_MATRIX, UNSPECIFIED, 8, 99])
def test_a_matrix_without_luma_weights_is_refused(matrix):
    assert not is_known_matrix(matrix)
    with pytest.raises(ValueError, match=f"matrix {matrix}"):
        Coding(matrix, False, 8)


@pytest.mark.parametrize("matrix", MATRICES)
def test_known_matrices_are_known(matrix):
    assert is_known_matrix(matrix)


@pytest.mark.parametrize(
    ("size", "matrix"),
    [
        ((320, 240), 6),
        ((640, 480), 6),
        ((720, 480), 6),
        ((720, 576), 5),
        ((352, 288), 5),
        ((1280, 536), 1),
        ((1280, 720), 1),
        ((960, 720), 1),
        ((1920, 1080), 1),
    ],
)
def test_untagged_sd_is_601_and_hd_is_709(size, matrix):
    assert default_matrix(*size) == matrix


@law
@given(rgb_colors, codings)
def test_rgb_to_ycc_and_back(rgb, coding):
    back = rgb_from_ycc(*ycc_from_rgb(*rgb, coding), coding)
    np.testing.assert_allclose(back, rgb, atol=1e-12)


@law
@given(unit.map(np.float64), chromas, chromas, codings)
def test_luma_of_decoded_chroma_is_the_luma(luma, cb, cr, coding):
    rgb = rgb_from_ycc(luma, cb, cr, coding)
    assert luma_from_rgb(*rgb, weights_of(coding)) == pytest.approx(luma, abs=1e-12)


# ---------------------------------------------------------------- luma at another depth


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("depth", [10, 12])
def test_more_bits_and_back_lose_nothing(is_full_range, depth):
    eight, more = Coding(1, is_full_range, 8), Coding(1, is_full_range, depth)
    luma = np.arange(256, dtype=np.uint8).reshape(16, 16)  # headroom and footroom too
    wide = convert_luma(luma, eight, more)
    assert wide.dtype == np.uint16
    back = convert_luma(wide, more, eight)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, luma)


@pytest.mark.parametrize("is_full_range", [False, True])
def test_black_and_white_stay_black_and_white(is_full_range):
    eight, ten = Coding(1, is_full_range, 8), Coding(1, is_full_range, 10)
    low, high = eight.luma_offset, eight.luma_offset + eight.luma_scale
    ends = convert_luma(np.array([[low, high]], np.uint8), eight, ten)
    assert ends.tolist() == [[ten.luma_offset, ten.luma_offset + ten.luma_scale]]


def test_luma_at_the_same_depth_is_the_same_object():
    luma = np.zeros((4, 4), np.uint16)
    assert convert_luma(luma, Coding(1, False, 10), Coding(5, False, 10)) is luma


@pytest.mark.parametrize("is_full_range", [False, True])
def test_fewer_bits_round_and_stay_in_range(is_full_range):
    ten, eight = Coding(1, is_full_range, 10), Coding(1, is_full_range, 8)
    luma = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    narrow = convert_luma(luma, ten, eight)
    assert narrow.dtype == np.uint8
    exact = luma * (255 / 1023) if is_full_range else luma / 4
    assert np.abs(narrow - exact.clip(0, 255)).max() <= 0.5


# ---------------------------------------------------------------- chroma


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_neutral_ab_gives_exactly_neutral_chroma(coding):
    luma = np.linspace(0.0, 1.0, 1001, dtype=np.float32)
    for chroma in chroma_from_lab(luma, np.zeros_like(luma), np.zeros_like(luma), coding):
        codes = np.rint(chroma * coding.chroma_scale + coding.chroma_offset)
        assert (codes == coding.chroma_offset).all()


@law
@given(unit.map(np.float64), chromas, chromas, codings)
def test_shrunk_chroma_is_in_gamut(luma, cb, cr, coding):
    rgb = rgb_from_ycc(luma, *shrink_into_gamut(luma, cb, cr, coding), coding)
    assert min(rgb) >= -2e-6 and max(rgb) <= 1.0 + 2e-6


@law
@given(unit.map(np.float64), chromas, chromas, codings)
def test_shrinking_keeps_the_hue(luma, cb, cr, coding):
    small_cb, small_cr = shrink_into_gamut(luma, cb, cr, coding)
    assert small_cb * cr == pytest.approx(small_cr * cb, abs=1e-15)
    assert 0.0 <= small_cb * cb <= cb * cb and 0.0 <= small_cr * cr <= cr * cr


@law
@given(rgb_colors, codings)
def test_colors_in_gamut_are_not_shrunk(rgb, coding):
    luma, cb, cr = (np.float64(v) for v in ycc_from_rgb(*rgb, coding))
    np.testing.assert_allclose(shrink_into_gamut(luma, cb, cr, coding), (cb, cr), rtol=1e-9)


@pytest.mark.parametrize("luma", [0.0, 1.0])
def test_black_and_white_have_no_color(luma):
    extremes = np.array([-0.5, 0.5])
    chroma = shrink_into_gamut(np.full(2, luma), extremes, extremes[::-1], Coding(1, False, 8))
    assert np.abs(chroma).max() < 1e-5


def test_shrinking_goes_no_further_than_it_must():
    coding = Coding(1, False, 8)
    luma = np.full(256, 0.4)
    angles = np.linspace(0.0, 2.0 * np.pi, 256)
    chroma = shrink_into_gamut(luma, 0.5 * np.cos(angles), 0.5 * np.sin(angles), coding)
    rgb = np.stack(rgb_from_ycc(luma, *chroma, coding))
    margin = np.minimum(rgb.min(axis=0), 1.0 - rgb.max(axis=0))  # each lies on the gamut's boundary
    np.testing.assert_allclose(margin, 0.0, atol=1e-5)


@law
@given(
    st.floats(-0.1, 1.1).map(np.float64),
    st.floats(-150, 150).map(np.float64),
    st.floats(-150, 150).map(np.float64),
    codings,
)
def test_any_ab_at_any_luma_is_in_gamut(luma, a, b, coding):
    cb, cr = chroma_from_lab(luma, a, b, coding)
    rgb = rgb_from_ycc(luma.clip(0.0, 1.0), cb, cr, coding)
    assert np.isfinite(rgb).all()
    assert min(rgb) >= -2e-6 and max(rgb) <= 1.0 + 2e-6


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(
    ("chroma_up_to", "worst", "mean"),
    # measured error of one Newton step, in ab units, over sRGB colours of that chroma
    [(20, 0.6, 0.01), (30, 2.5, 0.06), (60, 8.5, 0.5)],
)
def test_ab_of_srgb_colors_survives_at_their_own_luma(matrix, chroma_up_to, worst, mean):
    coding = Coding(matrix, False, 8)
    rgb = color_grid(17)
    luma, true_cb, true_cr = ycc_from_rgb(*rgb, coding)
    _, a, b = lab_from_rgb(*rgb)
    cb, cr = chroma_from_lab(luma, a, b, coding)
    _, new_a, new_b = lab_from_rgb(*(c.clip(0.0, 1.0) for c in rgb_from_ycc(luma, cb, cr, coding)))
    chosen = np.hypot(a, b) < chroma_up_to
    error = np.hypot(new_a - a, new_b - b)[chosen]
    assert error.max() < worst
    assert error.mean() < mean
    coded = np.hypot(cb - true_cb, cr - true_cr)[chosen]
    assert coded.mean() < 0.03 * mean


def test_equal_ab_looks_equal_in_every_matrix():
    luma = np.linspace(0.2, 0.8, 61)
    a, b = np.full_like(luma, 18.0), np.full_like(luma, 22.0)  # skin
    pictures = []
    for matrix in (1, 6):
        coding = Coding(matrix, False, 8)
        rgb = rgb_from_ycc(luma, *chroma_from_lab(luma, a, b, coding), coding)
        pictures.append(np.stack(lab_from_rgb(*rgb)[1:]))
    np.testing.assert_allclose(pictures[0], np.stack([a, b]), atol=0.5)
    np.testing.assert_allclose(pictures[1], np.stack([a, b]), atol=0.5)


@pytest.mark.parametrize("matrix", MATRICES)
def test_chroma_is_what_the_plain_formulas_say(matrix):
    """One Newton step from the grey's L, written with the public functions."""
    coding = Coding(matrix, False, 8)
    rng = np.random.default_rng(0)
    luma = rng.uniform(0.001, 0.999, 5000)
    a, b = rng.normal(0.0, 40.0, (2, 5000))
    weights = weights_of(coding)
    lightness = lightness_from_luma(luma)
    slope = (lightness_from_luma(luma + 1e-6) - lightness_from_luma(luma - 1e-6)) / 2e-6
    own = luma_from_rgb(*rgb_from_lab(lightness, a, b), weights)
    red, green, blue = rgb_from_lab(lightness - slope * (own - luma), a, b)
    _, cb, cr = ycc_from_rgb(red, green, blue, coding)
    expected = shrink_into_gamut(luma, cb, cr, coding)
    difference = np.abs(np.stack(chroma_from_lab(luma, a, b, coding)) - expected)
    assert difference.mean() < 0.002 / 224
    assert difference.max() < 0.1 / 224


@pytest.mark.slow
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("matrix", MATRICES)
def test_chroma_from_gray_is_that_of_their_luma(matrix):
    coding = Coding(matrix, False, 8)
    codes = np.arange(256, dtype=np.uint8).repeat(400).reshape(256, 400)
    ab = np.random.default_rng(0).normal(0.0, 40.0, (256, 400, 2)).astype(np.float32)
    ab[:, 0] = 0.0
    chroma = np.stack(chroma_from_gray(codes, ab, coding))
    assert chroma.dtype == np.float32
    exact = np.stack(chroma_from_lab(codes / 255.0, ab[..., 0], ab[..., 1], coding))
    error = np.abs(chroma - exact) * 224.0
    assert error.mean() < 0.1 and np.quantile(error, 0.98) < 1.0
    picture = np.stack(rgb_from_ycc(codes / 255.0, *chroma, coding))
    assert picture.min() > -1e-5 and picture.max() < 1.0 + 1e-5
    assert np.abs(chroma[:, :, 0]).max() < 1e-6
