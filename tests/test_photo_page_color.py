"""The page's colour maths in JavaScript, in a real browser, against Python's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import photo_page_browser
import pytest
import torch
from numpy.typing import NDArray
from photo_page_arrays import SITE, JavaScript

from filmcolor.color.gamut import chroma_from_gray, chroma_from_lab, shrink_into_gamut
from filmcolor.color.upsampling import guide_kernels, two_colors
from filmcolor.guidance.grading import RANGES, Grade
from filmcolor.kernels import ops
from filmcolor.network.model import FilmNet
from filmcolor.network.predictor import _double
from filmcolor.network.surfaces import (
    MAX_GAIN,
    RESOLUTION,
    SCALES,
    SURFACES,
    TOLERANCE,
    surface_ab,
)
from filmcolor.photo_page.parameters import page_parameters
from filmcolor.pipeline.photo_colors import color_luma, exact_luma
from filmcolor.types.yuv import SUBSAMPLING_444, Coding
from filmcolor.video.proxy import downscale, halve, proxy_size

CODING = Coding(1, True, 8)
SIZES = [(1, 1), (1, 9), (7, 1), (3, 200), (200, 3), (37, 53), (301, 403), (512, 1024), (97, 770)]
PAINTED = [(1, 1), (3, 200), (90, 7), (97, 131), (240, 333), (300, 256)]  # (height, width)
BINS = 31


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with photo_page_browser.module_page(SITE) as opened:
        yield opened


@pytest.fixture(scope="module")
def net() -> FilmNet:
    """A network of random weights, whose bins lie on a grid as trained ones do."""
    torch.manual_seed(0)
    made = FilmNet()
    side = 10.0 * torch.arange(-9.0, 9.0)
    made.centers.copy_(torch.cartesian_prod(side, side)[: len(made.centers)])
    return made


@pytest.fixture(scope="module")
def js(page: Any, net: FilmNet) -> JavaScript:
    """The page's modules; `kept.parameters` are those of the network."""
    modules = JavaScript(page)
    modules.keep(parameters=page_parameters(net))
    return modules


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return luma (height, width): smooth shades, edges, a little grain, black and white."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.0, 255.0, (5, 6)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    shapes = np.zeros((height, width), np.float32)
    for _ in range(6):
        center = int(rng.integers(0, width)), int(rng.integers(0, height))
        radius = 1 + int(rng.integers(0, 1 + min(height, width) // 3))
        cv2.circle(shapes, center, radius, float(rng.uniform(-160.0, 160.0)), -1)
    grain = rng.normal(0.0, 1.5, (height, width)) * (smooth < 160.0)
    return np.rint((smooth + shapes + grain).clip(0.0, 255.0)).astype(np.uint8)


def rgba_of(rgb: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """Return R'G'B' or grey with an alpha that differs from pixel to pixel."""
    if rgb.ndim == 2:
        rgb = np.dstack([rgb] * 3)
    alpha = np.random.default_rng(seed).integers(0, 256, rgb.shape[:2], np.uint8)
    return np.dstack([rgb, alpha])


def smooth_ab(height: int, width: int, spread: float, seed: int = 0) -> NDArray[np.float32]:
    """Return ab (height, width, 2) that changes from place to place, partly in steps."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.0, spread, (5, 6, 2)).astype(np.float32)
    ab = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    ab[height // 3 : height // 2, width // 4 : width // 2] = rng.normal(0.0, spread, 2)
    return ab


@dataclass(frozen=True)
class Painted:
    """A picture, and the low-res colours that it is painted with."""

    rgba: NDArray[np.uint8]  # (H, W, 4)
    guide: NDArray[np.uint8]  # (h, w)
    ab: NDArray[np.float32]  # (h, w, 2)

    def expected(self, grade: Grade) -> NDArray[np.uint8]:
        """Return what Python makes of it."""
        luma = exact_luma(self.rgba[..., :3])
        return color_luma(luma, 8, self.guide, grade.apply(self.ab))

    def painted(self, js: JavaScript, grade: Grade, rows: int) -> NDArray[np.uint8]:
        """Return what the page makes of it (H, W, 4), `rows` at a time."""
        height, width = self.rgba.shape[:2]
        data = js.call(
            "photo",
            """const colors = new PhotoColors(guide, ab, lowWidth, lowHeight, kept.parameters);
            const painting = painter(colors, grade, width, height, kept.parameters);
            const result = new Uint8Array(rgba.length);
            for (let first = 0; first < height; first += rows) {
              const num = Math.min(rows, height - first);
              const above = Math.max(0, first - painting.margin);
              const below = Math.min(height, first + num + painting.margin);
              const around = rgba.subarray(4 * width * above, 4 * width * below);
              result.set(painting.paint(around, above, first, num), 4 * width * first);
            }
            return result;""",
            guide=self.guide,
            ab=self.ab,
            lowWidth=self.guide.shape[1],
            lowHeight=self.guide.shape[0],
            grade={"saturation": grade.saturation, "warmth": grade.warmth},
            rgba=self.rgba,
            width=width,
            height=height,
            rows=rows,
        )
        return np.asarray(data).reshape(height, width, 4)


def painted_case(height: int, width: int, spread: float = 25.0, seed: int = 0) -> Painted:
    """Return a grey picture with its guide at the size that the page makes, and colours."""
    codes = picture(height, width, seed)
    short = 32 if height * width < 10_000 else 128
    guide = halve(downscale(codes, proxy_size(width, height, short), CODING))
    return Painted(rgba_of(codes, seed), guide, smooth_ab(*guide.shape, spread, seed))


# ---------------------------------------------------------------- parameters


def test_the_sliders_have_pythons_ranges_and_defaults(net: FilmNet) -> None:
    parameters = page_parameters(net)
    for name in ("saturation", "warmth"):
        slider = parameters[name]
        assert (slider["least"], slider["most"]) == RANGES[name]
        assert slider["usual"] == getattr(Grade(), name)
    assert np.array_equal(parameters["centers"], net.centers.numpy())


# ---------------------------------------------------------------- luma


def test_luma_is_that_of_python(js: JavaScript) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (301, 200, 3), np.uint8)
    rgb[:256, 0] = np.arange(256)[:, None]  # greys
    codes = js.call(
        "luma",
        "const codes = new Uint8Array(5 + rgba.length / 4); "
        "lumaCodes(rgba, codes, 5, kept.parameters); return codes;",
        rgba=rgba_of(rgb),
    )
    assert not codes[:5].any()
    assert np.array_equal(codes[5:], np.rint(exact_luma(rgb)).astype(np.uint8).ravel())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_small_pictures_are_those_of_python(js: JavaScript, height: int, width: int) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)
    short = 8 * min(8, 1 + min(height, width) // 8)
    size = proxy_size(width, height, short)
    found = js.call(
        "luma",
        """const size = proxySize(width, height, short, kept.parameters);
        return { size: [size.width, size.height], small: downscale(codes, width, height, size),
          half: halve(codes, width, height) };""",
        codes=codes,
        width=width,
        height=height,
        short=short,
    )
    assert tuple(found["size"]) == size
    assert np.array_equal(found["small"].reshape(size[::-1]), downscale(codes, size, CODING))
    half = halve(codes)
    assert (found["half"]["height"], found["half"]["width"]) == half.shape
    assert np.array_equal(found["half"]["codes"], half.ravel())


def test_the_networks_picture_is_luma_from_0_to_1(js: JavaScript) -> None:
    codes = picture(301, 403)
    found = js.call(
        "photo",
        "return lowResolution(codes, 403, 301, 128, kept.parameters);",
        codes=codes,
    )
    small = downscale(codes, proxy_size(403, 301, 128), CODING)
    luma = found["luma"].reshape(small.shape)
    assert np.array_equal(luma, small.astype(np.float32) * np.float32(1 / 255))
    assert np.array_equal(found["guide"]["codes"], halve(small).ravel())


# ---------------------------------------------------------------- surfaces


def network_output(
    height: int, width: int, num_bins: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return made-up logits (h, w, bins), and values (h, w, 1 + 64) with objects in them."""
    rng = np.random.default_rng(seed)
    luma = picture(height, width, seed).astype(np.float32)
    objects = cv2.resize(rng.integers(0, 5, (4, 5)).astype(np.uint8), (width, height))
    features = rng.normal(0.0, 1.0, (6, 64))[objects] + rng.normal(0.0, 0.15, (height, width, 64))
    features *= 60.0 / np.linalg.norm(features, axis=2, keepdims=True)
    logits = rng.normal(0.0, 2.0, (6, num_bins))[objects]
    logits += rng.normal(0.0, 0.7, (height, width, num_bins))
    return logits.astype(np.float32), np.dstack([luma, features]).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (2, 40), (1, 1), (33, 17)])
def test_segments_are_those_of_python(js: JavaScript, height: int, width: int) -> None:
    _, values = network_output(height, width, 1)
    found = js.call(
        "segments",
        """const weights = edgeWeights(values, height, width, resolution);
        return { weights, ...segment(weights, height, width, scales, 12) };""",
        values=values,
        height=height,
        width=width,
        resolution=RESOLUTION,
        scales=[scale * RESOLUTION for scale in SCALES],
    )
    weights = ops.edge_weights(values, RESOLUTION)
    difference = np.abs(found["weights"].astype(int) - weights.ravel())
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    if ops.is_compiled():
        assert not difference.any()
    labels = ops.segment(
        found["weights"].reshape(weights.shape),
        np.array(SCALES, np.float32) * np.float32(RESOLUTION),
        12,
    )
    assert np.array_equal(found["labels"].reshape(labels.shape), labels)
    assert found["numSegments"] == labels.max() + 1


def test_a_heavy_edge_has_the_greatest_weight(js: JavaScript) -> None:
    values = np.array([0.0, 5000.0], np.float32)
    weights = js.call("segments", "return edgeWeights(values, 1, 2, 64);", values=values)
    assert weights.tolist() == [65535, 0, 0, 0, 0, 0, 0, 0]


def test_votes_are_those_of_python(js: JavaScript, net: FilmNet) -> None:
    centers = net.centers.numpy()[:: len(net.centers) // BINS][:BINS]
    logits, values = network_output(40, 56, BINS)
    labels = ops.segment(
        ops.edge_weights(values, RESOLUTION),
        np.array(SCALES, np.float32) * np.float32(RESOLUTION),
        12,
    )
    ab = js.call(
        "surfaces",
        "return vote(logits, labels, num, new Bins(centers), kept.parameters.surfaces);",
        logits=logits,
        labels=labels,
        num=int(labels.max()) + 1,
        centers=centers.tolist(),
    )
    params = ops.VoteParams(SURFACES, TOLERANCE, MAX_GAIN)
    expected = ops.vote(
        logits.reshape(-1, BINS), labels.reshape(len(SCALES), -1), centers.T, params
    )
    assert np.abs(expected).max() > 5.0
    assert np.allclose(ab.reshape(-1, 2), expected, atol=1e-3)


def test_the_networks_output_becomes_colours(js: JavaScript, net: FilmNet) -> None:
    height, width = 32, 48
    logits, values = network_output(height, width, len(net.centers))
    codes = picture(4 * height, 4 * width)
    found = js.call(
        "photo",
        """const proxy = lowResolution(codes, width, height, height, kept.parameters);
            const { guide, ab } = colorsOf(logits, values, proxy, kept.parameters);
            return { guide, ab };""",
        codes=codes,
        width=4 * width,
        height=4 * height,
        logits=logits,
        values=values,
    )
    # Python's own features are unit vectors: luma and features that give the same values
    luma = np.repeat(np.repeat(values[..., 0] / 255.0, 4, axis=0), 4, axis=1)
    features = torch.from_numpy(values[..., 1:].transpose(2, 0, 1))
    rows = torch.from_numpy(logits.transpose(2, 0, 1))[None]
    ab = _double(surface_ab(rows, net.centers, luma[None], features[None], SURFACES))[0]
    distance = np.linalg.norm(found["ab"].reshape(ab.shape) - ab, axis=2)
    assert distance.mean() < 0.05 and np.percentile(distance, 99) < 0.5
    assert np.array_equal(found["guide"], halve(codes).ravel())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_no_number_is_an_error(js: JavaScript, net: FilmNet, bad: float) -> None:
    logits, values = network_output(2, 2, len(net.centers))
    logits[1, 1, 7] = bad
    body = "return surfaceAb(logits, values, 2, 2, kept.parameters);"
    with pytest.raises(Exception, match="the network's output is not a number"):
        js.call("surfaces", body, logits=logits, values=values)


def test_another_networks_output_is_an_error(js: JavaScript) -> None:
    body = """const proxy = lowResolution(new Uint8Array(64 * 64), 64, 64, 64, kept.parameters);
    return colorsOf(new Float32Array(16 * 16 * 7), new Float32Array(16 * 16), proxy,
      kept.parameters);"""
    with pytest.raises(Exception, match="do not fit each other"):
        js.call("photo", body)


# ---------------------------------------------------------------- gamut


def test_chroma_is_that_of_python(js: JavaScript) -> None:
    rng = np.random.default_rng(2)
    codes = np.concatenate([np.arange(256), rng.integers(0, 256, 2000)]).astype(np.uint8)
    ab = rng.normal(0.0, 45.0, (len(codes), 2)).astype(np.float32)
    ab[:20] = 0.0
    ab[-50:] *= 20.0  # beyond the table
    found = js.call(
        "gamut",
        """const direct = Array.from(codes, (code, i) =>
          chromaFromLab(code, ab[2 * i], ab[2 * i + 1], kept.parameters.gamut));
        const { cb, cr } = new ChromaTable(kept.parameters.gamut).lookUp(codes, ab);
        return { direct, cb, cr };""",
        codes=codes,
        ab=ab,
    )
    direct = np.array(chroma_from_lab(codes / 255.0, ab[:, 0], ab[:, 1], CODING)).T
    assert np.allclose(found["direct"], direct, atol=1e-5)
    cb, cr = chroma_from_gray(codes[None], ab[None], CODING)
    assert np.allclose(found["cb"], cb[0], atol=4e-5)  # two steps of 16 bits
    assert np.allclose(found["cr"], cr[0], atol=4e-5)
    assert not found["cb"][:20].any() and not found["cr"][:20].any()


def test_colours_are_shrunk_into_the_gamut(js: JavaScript) -> None:
    rng = np.random.default_rng(3)
    luma = np.concatenate([[0.0, 1.0], rng.uniform(0.0, 1.0, 500)])
    cb, cr = rng.uniform(-0.5, 0.5, (2, len(luma)))
    found = js.call(
        "gamut",
        "return Array.from(luma, (y, i) => "
        "shrinkIntoGamut(y, cb[i], cr[i], kept.parameters.gamut));",
        luma=luma,
        cb=cb,
        cr=cr,
    )
    assert np.allclose(found, np.array(shrink_into_gamut(luma, cb, cr, CODING)).T, atol=1e-9)


# ---------------------------------------------------------------- upsampling


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 3), (41, 67)])
def test_two_colors_are_those_of_python(js: JavaScript, height: int, width: int) -> None:
    guide = picture(height, width, seed=5)
    low = chroma_from_gray(guide, smooth_ab(height, width, 30.0, seed=5), CODING)
    found = js.call(
        "upsampling",
        "return Object.values("
        "twoColors(cb, cr, guide, width, height, kept.parameters.upsampling));",
        cb=low[0],
        cr=low[1],
        guide=guide,
        width=width,
        height=height,
    )
    expected = two_colors(low, guide)
    for plane, wanted in zip(found, expected, strict=True):
        assert np.allclose(plane.reshape(wanted.shape), wanted, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.5, 3.7, 8.0, 40.0])
def test_the_guide_is_averaged_as_in_python(js: JavaScript, ratio: float) -> None:
    taps = js.call(
        "upsampling", "return guideTaps(ratio, kept.parameters.upsampling);", ratio=ratio
    )
    low = 10
    kernel, _ = guide_kernels((round(ratio * low), 1), (low, 1), SUBSAMPLING_444)
    pad = (len(taps) - len(kernel)) // 2
    assert np.allclose(taps, np.pad(kernel, pad), atol=1e-6)


# ---------------------------------------------------------------- whole pictures


@pytest.mark.parametrize(("height", "width"), PAINTED)
@pytest.mark.parametrize("grade", [Grade(), Grade(2.5, -1.0), Grade(0.0, 0.6)], ids=str)
def test_pictures_are_those_of_python(
    js: JavaScript, height: int, width: int, grade: Grade
) -> None:
    case = painted_case(height, width)
    found = case.painted(js, grade, rows=height)
    difference = np.abs(found[..., :3].astype(int) - case.expected(grade))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.001
    assert np.array_equal(found[..., 3], case.rgba[..., 3])
    if height > 1:
        assert np.ptp(found[..., :3], axis=2).max() > 4  # it is in colour
    luma = exact_luma(found[..., :3]) - exact_luma(case.rgba[..., :3])
    assert np.abs(luma).mean() < 0.3


@pytest.mark.parametrize("rows", [1, 7, 64, 100])
def test_bands_make_the_same_picture(js: JavaScript, rows: int) -> None:
    case = painted_case(163, 211, seed=3)
    whole = case.painted(js, Grade(), rows=163)
    assert np.array_equal(case.painted(js, Grade(), rows), whole)


def test_a_band_without_the_rows_around_it_is_an_error(js: JavaScript) -> None:
    body = """const colors = new PhotoColors(guide, new Float32Array(128), 8, 8, kept.parameters);
    const painting = painter(colors, { saturation: 1, warmth: 0 }, 64, 64, kept.parameters);
    return painting.paint(new Uint8ClampedArray(4 * 64 * 10), 20, 20, 10);"""
    with pytest.raises(Exception, match="rows around those to paint are missing"):
        js.call("photo", body, guide=np.zeros(64, np.uint8))


def test_a_preview_has_the_same_colours(js: JavaScript) -> None:
    case = painted_case(240, 320, seed=4)
    small = cv2.resize(case.rgba, (80, 60), interpolation=cv2.INTER_AREA)
    preview = Painted(small, case.guide, case.ab)
    found = preview.painted(js, Grade(), rows=60)
    assert (found[..., :3] != preview.expected(Grade())).mean() < 0.001


def test_only_the_luma_of_a_colour_picture_counts(js: JavaScript) -> None:
    case = painted_case(90, 120, seed=5)
    rgb = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    case = Painted(rgba_of(rgb), case.guide, case.ab)
    found = case.painted(js, Grade(), rows=90)[..., :3]
    assert (found != case.expected(Grade())).mean() < 0.001


@pytest.mark.parametrize("code", [0, 255])
def test_black_and_white_stay_so(js: JavaScript, code: int) -> None:
    codes = np.full((60, 80), code, np.uint8)
    guide = np.full((32, 40), code, np.uint8)
    case = Painted(rgba_of(codes), guide, smooth_ab(32, 40, 60.0))
    assert np.array_equal(case.painted(js, Grade(4.0, 1.0), rows=60), case.rgba)


def test_neutral_stays_neutral(js: JavaScript) -> None:
    case = painted_case(120, 160, spread=0.0, seed=6)
    found = case.painted(js, Grade(), rows=120)
    assert np.array_equal(found, case.rgba)
    case = painted_case(120, 160, seed=6)
    assert np.array_equal(case.painted(js, Grade(0.0), rows=120), case.rgba)


def test_luma_is_kept_and_no_channel_is_clipped(js: JavaScript) -> None:
    case = painted_case(200, 260, spread=80.0, seed=7)
    found = case.painted(js, Grade(2.0), rows=200)[..., :3]
    # a channel that was clipped would move luma: what is left is rounding of R'G'B' and of chroma
    difference = np.abs(exact_luma(found) - exact_luma(case.rgba[..., :3]))
    assert difference.max() < 1.0
    assert np.ptp(found, axis=2).max() > 60


def test_a_painter_keeps_nothing_of_what_it_painted(js: JavaScript) -> None:
    case, before = painted_case(5, 60, seed=8), painted_case(5, 60, seed=9)
    later, fresh = js.call(
        "photo",
        """const colors = new PhotoColors(guide, ab, lowWidth, lowHeight, kept.parameters);
        const open = () =>
          painter(colors, { saturation: 1, warmth: 0 }, 60, 5, kept.parameters);
        const used = open();
        used.paint(before, 0, 0, 5);
        return [used.paint(rgba, 0, 0, 5), open().paint(rgba, 0, 0, 5)];""",
        guide=case.guide,
        ab=case.ab,
        lowWidth=case.guide.shape[1],
        lowHeight=case.guide.shape[0],
        rgba=case.rgba,
        before=before.rgba,
    )
    assert np.array_equal(later, fresh)
