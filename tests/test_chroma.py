"""Chroma planes: neutral stays neutral, sizes are right, colour keeps to its edges."""

import cv2
import numpy as np
import pytest

from filmcolor.chroma import (
    SUBSAMPLING_420,
    SUBSAMPLING_422,
    SUBSAMPLING_444,
    ChromaPlan,
    add_chroma,
    chroma_planes,
    rgb_picture,
)
from filmcolor.color import Coding, chroma_from_lab, lab_from_rgb, rgb_from_ycc
from filmcolor.frames import AbFrame, ColorFrame, LumaFrame

SUBSAMPLINGS = {"420": SUBSAMPLING_420, "422": SUBSAMPLING_422, "444": SUBSAMPLING_444}
SKIN = 18.0, 22.0  # CIELAB a, b
LIMITED_8 = Coding(1, False, 8)

every_subsampling = pytest.mark.parametrize("subsampling", SUBSAMPLINGS.values(), ids=SUBSAMPLINGS)
every_range = pytest.mark.parametrize("is_full_range", [False, True], ids=["limited", "full"])
every_depth = pytest.mark.parametrize("depth", [8, 10])
every_size = pytest.mark.parametrize("size", [(96, 64), (97, 65), (95, 64), (96, 63), (33, 129)])


def coded(picture, coding):
    """Return luma code values of a picture in 0..1."""
    codes = np.rint(picture * coding.luma_scale + coding.luma_offset)
    return codes.astype(np.uint8 if coding.bit_depth == 8 else np.uint16)


def texture(width, height, seed=0):
    """Return a picture in 0..1 with soft shapes, black, white and noise in it."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(
        rng.random((5, 6), np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    noisy = 1.4 * shapes - 0.2 + rng.normal(0.0, 0.05, shapes.shape).astype(np.float32)
    return noisy.clip(0.0, 1.0)


def shrunk(picture, size=(32, 24)):
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def planes_of(picture, ab, coding, subsampling):
    return chroma_planes(coded(picture, coding), shrunk(picture), ab, coding, subsampling)


def ab_everywhere(color, size=(16, 12)):
    return np.full((size[1], size[0], 2), color, np.float32)


# ---------------------------------------------------------------- neutral, sizes, types


@every_size
@every_subsampling
@every_range
@every_depth
def test_neutral_ab_is_exactly_the_neutral_code(size, subsampling, is_full_range, depth):
    coding = Coding(1, is_full_range, depth)
    planes = planes_of(texture(*size), ab_everywhere((0.0, 0.0)), coding, subsampling)
    for plane in planes:
        assert plane.min() == plane.max() == 1 << (depth - 1)


@every_size
@every_subsampling
def test_planes_are_rounded_up(size, subsampling):
    width, height = size
    planes = planes_of(texture(*size), ab_everywhere(SKIN), LIMITED_8, subsampling)
    columns, rows = {
        SUBSAMPLING_420: ((width + 1) // 2, (height + 1) // 2),
        SUBSAMPLING_422: ((width + 1) // 2, height),
        SUBSAMPLING_444: (width, height),
    }[subsampling]
    assert subsampling.plane_size(width, height) == (columns, rows)
    assert [p.shape for p in planes] == [(rows, columns)] * 2


@every_depth
def test_planes_have_the_dtype_of_luma(depth):
    coding = Coding(1, False, depth)
    for plane in planes_of(texture(96, 64), ab_everywhere(SKIN), coding, SUBSAMPLING_420):
        assert plane.dtype == (np.uint8 if depth == 8 else np.uint16)
        assert plane.flags.c_contiguous


@every_subsampling
@every_range
@every_depth
@pytest.mark.parametrize("matrix", [1, 6])
def test_a_flat_color_is_that_color(subsampling, is_full_range, depth, matrix):
    coding = Coding(matrix, is_full_range, depth)
    picture = np.full((64, 96), 0.5, np.float32)
    cb, cr = planes_of(picture, ab_everywhere(SKIN), coding, subsampling)
    assert cb.min() == cb.max() and cr.min() == cr.max()
    chroma = [(float(p[0, 0]) - coding.chroma_offset) / coding.chroma_scale for p in (cb, cr)]
    rgb = rgb_from_ycc(np.float64(0.5), *chroma, coding)
    _, a, b = lab_from_rgb(*map(np.float64, rgb))
    assert (a, b) == pytest.approx(SKIN, abs=1.0 if depth == 8 else 0.4)


@pytest.mark.parametrize("color", [(120.0, 90.0), (-120.0, 100.0), (60.0, -128.0)])
@every_range
def test_strong_colors_leave_every_pixel_in_gamut(color, is_full_range):
    coding = Coding(1, is_full_range, 10)
    picture = texture(96, 64)
    luma = coded(picture, coding)
    planes = planes_of(picture, ab_everywhere(color), coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(float) - coding.chroma_offset) / coding.chroma_scale for p in planes)
    rgb = np.stack(
        rgb_from_ycc((luma.astype(float) - coding.luma_offset) / coding.luma_scale, cb, cr, coding)
    )
    step = 2.0 / coding.chroma_scale  # half a code of Cb and Cr, times their gain
    assert rgb.min() > -step and rgb.max() < 1.0 + step
    assert np.abs(planes[0].astype(int) - coding.chroma_offset).max() > 20  # there is colour


@every_range
def test_black_and_white_stay_without_color(is_full_range):
    coding = Coding(1, is_full_range, 8)
    picture = np.zeros((64, 96), np.float32)
    picture[:, 48:] = 1.0
    for plane in planes_of(picture, ab_everywhere(SKIN), coding, SUBSAMPLING_444):
        assert (plane == 128).all()


@pytest.mark.parametrize("value", [0, 255])
def test_luma_beyond_black_and_white_is_taken_as_they_are(value):
    luma = np.full((64, 96), value, np.uint8)
    small = np.full((24, 32), float(value > 0), np.float32)
    for plane in chroma_planes(luma, small, ab_everywhere(SKIN), LIMITED_8, SUBSAMPLING_420):
        assert (plane == 128).all()


def test_the_picture_does_not_depend_on_range_or_depth():
    picture, ab = texture(96, 64), ab_everywhere(SKIN)
    ab[:, 8:] = -20.0, -15.0
    codings = [Coding(1, is_full, depth) for is_full in (False, True) for depth in (8, 10)]
    scaled = []
    for coding in codings:
        planes = planes_of(picture, ab, coding, SUBSAMPLING_420)
        scaled.append(
            np.stack(
                [(p.astype(float) - coding.chroma_offset) / coding.chroma_scale for p in planes]
            )
        )
    for other in scaled[1:]:
        np.testing.assert_allclose(other, scaled[0], atol=2.0 / 224)


# ---------------------------------------------------------------- frames


def frame_of(luma, picture, color=SKIN):
    film = LumaFrame(7, luma, 1001, 42)
    return AbFrame(film, shrunk(picture), False, ab_everywhere(color))


def test_luma_at_its_own_depth_is_the_same_object():
    picture = texture(96, 64)
    luma = coded(picture, LIMITED_8)
    before = luma.copy()
    frame = frame_of(luma, picture)
    finished = add_chroma(frame, ChromaPlan(LIMITED_8, LIMITED_8, SUBSAMPLING_420))
    assert finished.luma is luma
    np.testing.assert_array_equal(luma, before)
    assert (finished.number, finished.pts, finished.duration) == (7, 1001, 42)


def test_a_deeper_target_gets_deeper_planes():
    picture, ten = texture(96, 64), Coding(1, False, 10)
    luma = coded(picture, LIMITED_8)
    frame = frame_of(luma, picture)
    finished = add_chroma(frame, ChromaPlan(LIMITED_8, ten, SUBSAMPLING_420))
    np.testing.assert_array_equal(finished.luma, luma.astype(np.uint16) * 4)
    same = add_chroma(frame, ChromaPlan(LIMITED_8, LIMITED_8, SUBSAMPLING_420))
    for deep, shallow in ((finished.cb, same.cb), (finished.cr, same.cr)):
        assert deep.dtype == np.uint16
        assert np.abs(deep / 4.0 - shallow).max() <= 0.75


def test_saturation_zero_is_neutral_and_more_is_more():
    picture = np.full((64, 96), 0.5, np.float32)
    frame = frame_of(coded(picture, LIMITED_8), picture)

    def redness(saturation):
        plan = ChromaPlan(LIMITED_8, LIMITED_8, SUBSAMPLING_420, saturation)
        return float(add_chroma(frame, plan).cr.mean()) - 128.0

    assert redness(0.0) == 0.0
    assert redness(1.5) > 1.3 * redness(1.0) > 0.0


def test_rgb_picture_shows_luma_as_grey_and_color_as_color():
    luma = np.array([[16, 235], [126, 126]], np.uint8).repeat(8, 0).repeat(8, 1)
    neutral = np.full((8, 8), 128, np.uint8)
    grey = rgb_picture(ColorFrame(0, luma, neutral, neutral, 0, 1), LIMITED_8)
    expected = (luma.astype(np.float32) - 16.0) / 219.0
    np.testing.assert_allclose(grey, np.dstack([expected] * 3), atol=1e-6)
    red = rgb_picture(ColorFrame(0, luma, neutral, neutral + 40, 0, 1), LIMITED_8)
    assert red[12, 8, 0] > red[12, 8, 1] + 0.2
    assert red.min() >= 0.0 and red.max() <= 1.0


# ---------------------------------------------------------------- edges


class Disc:
    """A coloured disc before a neutral ground, both of one fine texture.

    Its ab is as coarse as the network's: 2x2 samples of the low-res plane are one.
    """

    def __init__(self, grain, size=(640, 480), small=(168, 128), contrast=0.3):
        width, height = size
        y, x = np.mgrid[:height, :width]
        inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.3 * height) ** 2
        self.mask = inside.astype(np.float32)
        rng = np.random.default_rng(0)
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 2)
        picture = 0.35 + contrast * self.mask + noise * np.float32(grain / noise.std())
        self.luma = coded(picture.clip(0.0, 1.0), LIMITED_8)
        self.small = shrunk(picture.clip(0.0, 1.0), small)
        coarse = cv2.resize(self.mask, (small[0] // 4, small[1] // 4), interpolation=cv2.INTER_AREA)
        ab_size = small[0] // 2, small[1] // 2
        low = cv2.resize(coarse, ab_size, interpolation=cv2.INTER_NEAREST)
        self.ab = low[..., None] * np.float32(SKIN)

    def chroma(self, subsampling):
        """Return (Cb, Cr) code values from neutral, as filmcolor makes them."""
        planes = chroma_planes(self.luma, self.small, self.ab, LIMITED_8, subsampling)
        return np.stack(planes).astype(float) - 128.0

    def plain_chroma(self, size):
        """Return the same by bilinear upsampling, which knows nothing of luma."""
        guide = shrunk(self.small, self.ab.shape[1::-1])
        low = chroma_from_lab(guide, self.ab[..., 0], self.ab[..., 1], LIMITED_8)
        return np.stack([cv2.resize(p.astype(np.float32), size) for p in low]) * 224.0


def energy(chroma, where):
    return float((chroma[:, where] ** 2).sum())


@pytest.mark.parametrize(
    ("grain", "most"),
    # measured: 0.28 on a clean edge, 0.35 with grain a fifteenth of the edge
    [(0.0, 0.35), (0.02, 0.45)],
)
def test_color_leaks_less_over_an_edge_than_by_bilinear_upsampling(grain, most):
    disc = Disc(grain, small=(336, 256))
    ours = disc.chroma(SUBSAMPLING_420)
    size = ours.shape[2], ours.shape[1]
    outside = shrunk(disc.mask, size) == 0.0
    plain = disc.plain_chroma(size)
    assert energy(ours, outside) < most * energy(plain, outside)


@every_subsampling
@pytest.mark.parametrize("grain", [0.02, 0.05])
def test_color_stays_inside_and_fills_its_disc(subsampling, grain):
    disc = Disc(grain)
    ours = disc.chroma(subsampling)
    size = ours.shape[2], ours.shape[1]
    mask = shrunk(disc.mask, size)
    core = cv2.erode((mask == 1.0).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    plain = disc.plain_chroma(size)
    assert energy(ours, mask == 0.0) < 0.02 * energy(ours, mask > 0.0)
    assert energy(ours, core) == pytest.approx(energy(plain, core), rel=0.05)


def test_a_flat_grey_edge_far_away_gets_no_color():
    disc = Disc(0.02)
    ours = disc.chroma(SUBSAMPLING_420)
    near = cv2.dilate(disc.mask, np.ones((121, 121), np.uint8))
    far = shrunk(near, (ours.shape[2], ours.shape[1])) == 0.0
    assert far.sum() > 1000
    assert (ours[:, far] == 0.0).all()


def test_the_chroma_of_a_mirrored_film_is_mirrored():
    # in 4:4:4, where a sample has no left and right
    picture, ab = texture(96, 64), ab_everywhere(SKIN)
    ab[:, 8:] = -20.0, -15.0
    planes = planes_of(picture, ab, LIMITED_8, SUBSAMPLING_444)
    mirrored = planes_of(
        np.ascontiguousarray(picture[:, ::-1]),
        np.ascontiguousarray(ab[:, ::-1]),
        LIMITED_8,
        SUBSAMPLING_444,
    )
    for plane, other in zip(planes, mirrored):
        assert np.abs(plane.astype(int) - other[:, ::-1]).max() <= 1
