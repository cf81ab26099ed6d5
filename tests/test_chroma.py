"""Chroma planes: neutral stays neutral, sizes are right, colour keeps to its edges."""

import blue_noise
import cv2
import numpy as np
import pytest

from filmcolor.color import dither
from filmcolor.color.chroma import ChromaPlan, add_chroma, chroma_planes, rgb_picture
from filmcolor.color.gamut import chroma_from_lab
from filmcolor.color.spaces import lab_from_rgb, rgb_from_ycc
from filmcolor.color.upsampling import two_colors
from filmcolor.kernels import ops
from filmcolor.kernels.ops import NUM_PLANES, TILE, ChromaCoding
from filmcolor.types.frames import AbFrame, ColorFrame, LumaFrame
from filmcolor.types.yuv import SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444, Coding

pytestmark = pytest.mark.usefixtures("both_ways")
SUBSAMPLINGS = {"420": SUBSAMPLING_420, "422": SUBSAMPLING_422, "444": SUBSAMPLING_444}
SKIN = 18.0, 22.0  # CIELAB a, b
LIMITED_8 = Coding(1, False, 8)

every_subsampling = pytest.mark.parametrize("subsampling", SUBSAMPLINGS.values(), ids=SUBSAMPLINGS)
every_range = pytest.mark.parametrize("is_full_range", [False, True], ids=["limited", "full"])
every_depth = pytest.mark.parametrize("depth", [8, 10, 16])
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


def guide_of(picture, size=(16, 12)):
    return np.rint(shrunk(picture.clip(0.0, 1.0), size) * 255.0).astype(np.uint8)


def planes_of(picture, ab, coding, subsampling):
    return chroma_planes(coded(picture, coding), guide_of(picture), ab, coding, subsampling)


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
    most = 1 if depth == 8 else 0  # 8 bits are dithered
    assert np.ptp(cb) <= most and np.ptp(cr) <= most
    chroma = [(float(p.mean()) - coding.chroma_offset) / coding.chroma_scale for p in (cb, cr)]
    rgb = rgb_from_ycc(np.float64(0.5), *chroma, coding)
    _, a, b = lab_from_rgb(*map(np.float64, rgb))
    assert (a, b) == pytest.approx(SKIN, abs=0.4)


def mixed_colors(size=(16, 12)):
    return np.random.default_rng(5).normal(0.0, 60.0, (size[1], size[0], 2)).astype(np.float32)


STRONG = {str(c): ab_everywhere(c) for c in ((120.0, 90.0), (-120.0, 100.0), (60.0, -128.0))}
STRONG["mixed"] = mixed_colors()


@pytest.mark.parametrize("ab", STRONG.values(), ids=STRONG)
@every_range
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_strong_colors_leave_every_pixel_in_gamut(ab, is_full_range, depth):
    coding = Coding(1, is_full_range, depth)
    picture = texture(96, 64)
    luma = coded(picture, coding)
    planes = planes_of(picture, ab, coding, SUBSAMPLING_444)
    cb, cr = ((p.astype(float) - coding.chroma_offset) / coding.chroma_scale for p in planes)
    rgb = np.stack(
        rgb_from_ycc((luma.astype(float) - coding.luma_offset) / coding.luma_scale, cb, cr, coding)
    )
    # half a code of Cb and Cr, and as much again of dither, times their gain
    step = (4.0 if depth == 8 else 2.0) / coding.chroma_scale
    assert rgb.min() > -step and rgb.max() < 1.0 + step
    strongest = np.abs(planes[0].astype(int) - coding.chroma_offset).max()
    assert strongest > 0.03 * coding.chroma_scale  # there is colour


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
    guide = np.full((12, 16), value, np.uint8)
    for plane in chroma_planes(luma, guide, ab_everywhere(SKIN), LIMITED_8, SUBSAMPLING_420):
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
    return AbFrame(film, guide_of(picture), False, ab_everywhere(color))


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
        assert np.abs(deep / 4.0 - shallow).max() <= 1.25  # dither, and the deep one's rounding


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


class Shape:
    """Coloured discs or bars on a neutral background of the same texture.

    Their ab is the true one averaged over each low-res sample, as coarse as a 1080p film's.
    """

    def __init__(self, distance, contrast=0.3, grain=0.0, texture_strength=0.02):
        height, width = distance.shape
        self.distance = distance  # luma pixels from the edge, negative inside
        mask = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
        rng = np.random.default_rng(0)
        fine, coarse = (noise(rng, width, height, sigma) for sigma in (1.5, 12.0))
        picture = 0.42 + contrast * mask + np.float32(texture_strength * 0.7) * (fine + coarse)
        picture += np.float32(grain) * noise(rng, width, height, 0.7)
        self.luma = coded(picture.clip(0.0, 1.0), LIMITED_8)
        rows = round(128 * height / 1080)
        low = round(rows * width / height), rows
        self.guide = guide_of(picture, low)
        self.ab = shrunk(mask, low)[..., None] * np.float32(SKIN)

    def chroma(self, subsampling, coding=LIMITED_8):
        """Return (Cb, Cr) from neutral, in codes of 8 bits, as filmcolor computes them."""
        luma = coded((self.luma - 16.0) / 219.0, coding)
        planes = chroma_planes(luma, self.guide, self.ab, coding, subsampling)
        return (np.stack(planes).astype(float) - coding.chroma_offset) * (
            224.0 / coding.chroma_scale
        )

    def bilinear(self, subsampling):
        """Return the same by bilinear upsampling, without luma."""
        size = subsampling.plane_size(self.luma.shape[1], self.luma.shape[0])
        return np.stack([cv2.resize(p, size) for p in self.low_chroma()])

    def low_chroma(self):
        low = chroma_from_lab(
            self.guide / np.float32(255.0), self.ab[..., 0], self.ab[..., 1], LIMITED_8
        )
        return np.stack(low).astype(np.float32) * 224.0

    def leak(self, chroma, power=2):
        """Return the share of chroma energy over 2 luma pixels outside."""
        distance = cv2.resize(self.distance, chroma.shape[:0:-1], interpolation=cv2.INTER_AREA)
        strength = np.hypot(*chroma) ** power
        return strength[distance > 2.0].sum() / strength.sum()


def noise(rng, width, height, sigma):
    field = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), sigma)
    return field / field.std()


def disc(radius, width=480, height=360):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.hypot(x - 0.503 * width, y - 0.497 * height) - np.float32(radius)


def bar(thickness, width=480, height=360):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across = np.cos(0.35) * (x - 0.503 * width) + np.sin(0.35) * (y - 0.497 * height)
    along = np.cos(0.35) * (y - 0.497 * height) - np.sin(0.35) * (x - 0.503 * width)
    return np.maximum(np.abs(across) - thickness / 2, np.abs(along) - 0.4 * height)


SHAPES = {"disc": disc(60), "thick bar": bar(80), "bar": bar(32), "thin bar": bar(16)}
every_shape = pytest.mark.parametrize("distance", SHAPES.values(), ids=SHAPES)
every_contrast = pytest.mark.parametrize("contrast", [0.3, 0.12, -0.12])


@pytest.mark.slow
@every_shape
@every_contrast
@pytest.mark.parametrize("grain", [0.0, 0.02])
def test_at_most_2_percent_of_the_color_is_outside_its_shape(distance, contrast, grain):
    shape = Shape(distance, contrast, grain)
    ours, plain = shape.chroma(SUBSAMPLING_420), shape.bilinear(SUBSAMPLING_420)
    assert shape.leak(ours) < 0.02
    assert shape.leak(ours) < 0.6 * shape.leak(plain)


@pytest.mark.parametrize("contrast", [0.3, 0.12])
def test_heavy_grain_breaks_no_edge(contrast):
    shape = Shape(disc(60), contrast, grain=0.05)
    assert shape.leak(shape.chroma(SUBSAMPLING_420)) < 0.02


@pytest.mark.slow
@every_subsampling
@every_range
@every_depth
def test_edges_hold_in_every_coding(subsampling, is_full_range, depth):
    shape = Shape(disc(60), 0.3, 0.02)
    chroma = shape.chroma(subsampling, Coding(1, is_full_range, depth))
    assert shape.leak(chroma) < 0.02


@every_shape
def test_color_fills_its_shape(distance):
    shape = Shape(distance, 0.3, 0.02)
    ours, plain = shape.chroma(SUBSAMPLING_420), shape.bilinear(SUBSAMPLING_420)
    core = cv2.resize(shape.distance, ours.shape[:0:-1], interpolation=cv2.INTER_AREA) < -4.0
    assert np.hypot(*ours)[core].mean() > 0.98 * np.hypot(*plain)[core].mean()


@pytest.mark.slow
@every_shape
@every_contrast
def test_no_color_is_beyond_its_neighbourhood(distance, contrast):
    shape = Shape(distance, contrast, 0.05)
    ours = shape.chroma(SUBSAMPLING_444)
    window = np.ones((7, 7), np.uint8)  # the 3×3 samples, and two around them
    size = ours.shape[:0:-1]
    for plane, low in zip(ours, shape.low_chroma()):
        highest, lowest = (
            cv2.resize(of(low, window), size, interpolation=cv2.INTER_NEAREST)
            for of in (cv2.dilate, cv2.erode)
        )
        # one code for the dither; the gamut may shrink any colour toward neutral
        assert (plane <= np.maximum(highest, 0.0) + 1.0).all()
        assert (plane >= np.minimum(lowest, 0.0) - 1.0).all()


def wandering_color(width=480, height=360):
    """Return ab of an uncertain network: colours that vary over an even wall."""
    rng = np.random.default_rng(3)
    rows = round(128 * height / 1080)
    low = round(rows * width / height), rows
    ab = np.dstack([noise(rng, *low, 4.0) for _ in range(2)])
    return 8.0 * ab + np.float32(SKIN)


@pytest.mark.parametrize("grain", [0.02, 0.05])
def test_grain_is_not_copied_into_color(grain):
    ab, planes = wandering_color(), []
    for strength in (0.0, grain):
        wall = 0.45 + np.float32(strength) * noise(np.random.default_rng(1), 480, 360, 0.7)
        guide = guide_of(wall, ab.shape[1::-1])
        coding = Coding(1, False, 16)  # without dither
        planes.append(chroma_planes(coded(wall, coding), guide, ab, coding, SUBSAMPLING_420))
    clean, grainy = (np.stack(p).astype(float) for p in planes)
    texture = (grainy - clean) - cv2.blur((grainy - clean).transpose(1, 2, 0), (9, 9)).transpose(
        2, 0, 1
    )
    # measured: 0.7 and 1.1 % of the colours' own difference
    assert texture.std() < 0.02 * clean.std(axis=(1, 2)).mean()


def test_a_flat_grey_edge_far_away_gets_no_color():
    shape = Shape(disc(60), 0.3, 0.02)
    ours = shape.chroma(SUBSAMPLING_420)
    far = cv2.resize(shape.distance, ours.shape[:0:-1], interpolation=cv2.INTER_AREA) > 40.0
    assert far.sum() > 1000
    assert (ours[:, far] == 0.0).all()


def test_the_chroma_of_a_mirrored_film_is_mirrored():
    # in 4:4:4, where siting is symmetric
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


# ---------------------------------------------------------------- dither


def sky(depth):
    """Return planes of a sky whose colour and luma change by a few codes from side to side."""
    coding = Coding(1, False, depth)
    steps = np.linspace(0.0, 1.0, 96, dtype=np.float32)[None].repeat(48, 0)
    ab = np.dstack([-4.0 - 2.0 * steps, -14.0 - 4.0 * steps])
    across = np.linspace(0.0, 1.0, 768, dtype=np.float32)[None].repeat(384, 0)
    luma = coded(0.7 - 0.05 * across, coding)
    planes = chroma_planes(
        luma, guide_of(0.7 - 0.05 * across, (96, 48)), ab, coding, SUBSAMPLING_420
    )
    return np.stack(planes).astype(float) * (256.0 / (1 << depth))


def test_a_sky_has_no_bands():
    coarse, exact = sky(8), sky(16)
    assert np.abs(coarse - exact).max() < 1.1
    for ours, truth in zip(coarse, exact):
        means = [cv2.blur(p, (8, 8))[8:-8, 8:-8] for p in (ours, truth)]
        assert np.abs(means[0] - means[1]).max() < 0.1
        rounded = cv2.blur(np.rint(truth), (8, 8))[8:-8, 8:-8]
        assert np.abs(rounded - means[1]).max() > 0.4  # what plain rounding leaves


def dithered(values, strength=1.0):
    """Return the Cb and Cr codes of one plane of code values (H, W), on mid-grey luma."""
    planes = np.zeros((NUM_PLANES, *values.shape), np.float32)
    planes[2] = planes[3] = (values - 128.0) / 255.0
    planes[6] = strength
    luma = np.full(values.shape, 128, np.uint8)
    coding = ChromaCoding(255.0, 0.0, 255.0, 128.0, 0.2126, 0.0722, 255.0, True)
    return ops.choose_colors(luma, luma.astype(np.float32), planes, dither.noise(), coding)


def test_dither_is_the_same_in_every_frame_and_of_any_size():
    first, second = sky(8), sky(8)
    np.testing.assert_array_equal(first, second)
    values = np.full((200, 330), 128.3, np.float32)
    large = dithered(values)
    np.testing.assert_array_equal(dithered(values[:70, :90]), large[:, :70, :90])
    assert large[0].mean() == pytest.approx(128.3, abs=0.01)
    assert (large[0] != large[1]).mean() > 0.2  # Cb and Cr have different patterns


def test_texture_is_not_dotted():
    """Dots would be noise under moving objects there, and bands are invisible."""
    values = np.full((64, 128), 128.3, np.float32)
    strength = np.repeat(np.float32([0.0, 1.0]), 64)
    codes, _ = dithered(values, strength)
    assert (codes[:, :64] == 128).all()
    assert codes[:, 64:].mean() == pytest.approx(128.3, abs=0.02)
    rng = np.random.default_rng(0)
    flat = np.full((40, 60), 128, np.uint8)
    busy = rng.integers(0, 256, (40, 60), np.uint8)
    neutral = np.zeros((2, 40, 60), np.float32)
    assert two_colors(neutral, flat)[6].min() > 0.99
    assert two_colors(neutral, busy)[6].max() < 0.01


@pytest.mark.parametrize("code", [100.0, 127.0, 128.0, 129.0, 150.0])
def test_dither_leaves_whole_codes_alone(code):
    assert (dithered(np.full((65, 129), code, np.float32)) == code).all()


def test_the_pattern_is_even_and_without_low_frequencies():
    pattern = dither.noise()[0]
    np.testing.assert_array_equal(np.load(blue_noise.TABLE), blue_noise.blue_noise())
    assert len(np.unique(pattern)) == TILE * TILE
    assert abs(pattern.mean()) < 1e-6 and np.abs(pattern).max() < 0.5
    spectrum = np.abs(np.fft.fft2(pattern)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(TILE)] * 2))
    slow = spectrum[(frequency > 0) & (frequency < 0.15)].mean()
    assert slow < 0.1 * spectrum[frequency > 0.3].mean()
