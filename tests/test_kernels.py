"""The compiled kernels agree with NumPy and OpenCV, and stay within their arrays."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from filmcolor.color.chroma import chroma_planes
from filmcolor.color.upsampling import two_colors
from filmcolor.kernels import ops
from filmcolor.network import optimize
from filmcolor.network.model import ColorNet
from filmcolor.network.optimize import fold_batch_norms, fuse_activations
from filmcolor.temporal import flow, smoothing
from filmcolor.types.yuv import SUBSAMPLING_420, SUBSAMPLING_444, Coding

ROOT = Path(__file__).parent.parent
PLAIN_C = ("-std=c11", "-DFILMCOLOR_PLAIN_C")  # without GCC's extensions
pytestmark = pytest.mark.skipif(not ops.is_compiled(), reason="no C compiler at installation")

sides = st.integers(1, 40)
low_sides = st.integers(4, 40)  # no proxy is smaller
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def plain_kernels(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kernels compiled as plain C11."""
    if sys.platform == "win32":
        pytest.skip("MSVC compiles plain C anyway")
    folder = tmp_path_factory.mktemp("plain")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", folder]
    subprocess.run(
        [*command, "--build-temp", folder / "objects"],
        cwd=ROOT,
        env={**os.environ, "CFLAGS": " ".join(PLAIN_C)},
        check=True,
    )
    (path,) = folder.glob("filmcolor/kernels/_compiled.*")
    spec = spec_from_file_location("filmcolor.kernels._compiled", path)
    assert spec and spec.loader
    kernels = module_from_spec(spec)
    spec.loader.exec_module(kernels)
    return kernels


@pytest.fixture(scope="module", params=["installed", "plain C"], autouse=True)
def _both_compilations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Test the installed kernels, and those that compilers without GCC's extensions make."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain C":
            patch.setattr(ops, "_compiled", request.getfixturevalue("plain_kernels"))
        yield


def by_numpy(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that uses the kernels, with NumPy doing their work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "_compiled", None)
        return function(*arguments)


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, scale: float = 1.0, channels=()
):
    """Return smooth random values, float32 (H, W) or (H, W, C)."""
    noise = rng.normal(0.0, 3.0 * scale, (height, width, *channels)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.5).reshape(noise.shape)


def random_luma(rng: np.random.Generator, height: int, width: int):
    luma = 128.0 + smooth_noise(rng, height, width, 60.0) + rng.normal(0.0, 3.0, (height, width))
    return np.rint(luma).clip(0, 255).astype(np.uint8)


def random_flow(rng: np.random.Generator, height: int, width: int):
    """Return a tracked flow, (H, W, 4)."""
    flow = smooth_noise(rng, height, width, 4.0, (4,))
    flow[..., 2] = np.abs(flow[..., 2])
    flow[..., 3] = 0.0
    return flow


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(height=low_sides, width=low_sides, seed=seeds)
def test_two_colors(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    guide = random_luma(rng, height, width)
    low = smooth_noise(rng, height, width, 0.1), smooth_noise(rng, height, width, 0.1)
    compiled, expected = two_colors(low, guide), by_numpy(two_colors, low, guide)
    np.testing.assert_allclose(compiled[6], expected[6], atol=2e-3)
    luma = np.linspace(0, 255, 9, dtype=np.float32)[:, None, None]
    for n in range(2):  # compare what the planes are for: the colour that each luma chooses
        compiled_colors, expected_colors = (
            c[2 + n] + ((luma - c[0]) * c[1]).clip(-0.5, 0.5) * c[4 + n]
            for c in (compiled, expected)
        )
        np.testing.assert_allclose(compiled_colors, expected_colors, atol=5e-3)
        assert np.abs(compiled_colors - expected_colors).mean() < 1e-4


@pytest.mark.slow
@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(16, 150), st.integers(16, 150)),
    low_size=st.tuples(low_sides, low_sides),
    depth=st.sampled_from([8, 10, 16]),
    is_full_range=st.booleans(),
    subsampling=st.sampled_from([SUBSAMPLING_420, SUBSAMPLING_444]),
    seed=seeds,
)
def test_chroma_planes(size, low_size, depth, is_full_range, subsampling, seed) -> None:
    rng = np.random.default_rng(seed)
    coding = Coding(1, is_full_range, depth)
    luma = cv2.resize(random_luma(rng, *low_size), size[::-1]).astype(np.float32)
    luma += rng.normal(0.0, 2.0, size)
    codes = np.rint(luma / 255.0 * coding.luma_scale + coding.luma_offset).clip(0, 2**depth - 1)
    codes = codes.astype(np.uint8 if depth == 8 else np.uint16)
    ab = smooth_noise(rng, *low_size, 15.0, (2,))
    guide = random_luma(rng, *low_size)
    arguments = codes, guide, ab, coding, subsampling
    compiled, expected = chroma_planes(*arguments), by_numpy(chroma_planes, *arguments)
    for first, second in zip(compiled, expected, strict=True):
        assert first.dtype == codes.dtype
        difference = np.abs(first.astype(int) - second.astype(int))
        # in a window of even luma, OpenCV's rounding decides between the two colours
        assert difference.max() <= max(1, (1 << depth) // 250)
        assert difference.mean() <= 0.05 * (1 << (depth - 8))


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_tracked_flows(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (random_flow(rng, height, width) for _ in range(2))
    composed = ops.compose(first, second)
    np.testing.assert_allclose(composed, by_numpy(ops.compose, first, second), atol=1e-4)
    pictures = random_luma(rng, height, width), random_luma(rng, height, width)
    compiled = flow.find_tracked_flows(*pictures, flow.COARSE)
    expected = by_numpy(flow.find_tracked_flows, *pictures, flow.COARSE)
    for first, second in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(first, second, atol=2e-3)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_weights(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, luma = random_luma(rng, height, width), random_luma(rng, height, width)
    tracked = random_flow(rng, height, width)
    weight = ops.warp_weight(
        source, tracked, luma, -0.5 / smoothing._LUMA_SIGMA**2, smoothing._EXPOSURE_STRIDE
    )
    warped = ops.warp(source.astype(np.float32), tracked)  # as floats: OpenCV would round bytes
    difference = warped - luma
    visible = np.exp(-tracked[::2, ::2, 2])
    difference -= (difference[::2, ::2] * visible).sum() / (visible.sum() + 1e-6)
    expected = np.exp(-0.5 * (difference / smoothing._LUMA_SIGMA) ** 2 - tracked[..., 2])
    np.testing.assert_allclose(weight, expected, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(size=st.tuples(sides, sides), low_size=st.tuples(sides, sides), seed=seeds)
def test_warped_sources(size, low_size, seed) -> None:
    rng = np.random.default_rng(seed)
    sources = [
        ops.WarpSource(
            smooth_noise(rng, *size, 10.0, (4,)),
            random_flow(rng, *low_size),
            np.abs(smooth_noise(rng, *low_size)),
            0.01,
            factor,
        )
        for factor in (2.0, 3.0)
    ]
    total = np.ones((*size, 4), np.float32)
    compiled, expected = total.copy(), total.copy()
    ops.accumulate_warped(compiled, sources[0])
    by_numpy(ops.accumulate_warped, expected, sources[0])
    np.testing.assert_allclose(compiled, expected, atol=2e-2)
    blended = ops.blend_warped(*sources)
    np.testing.assert_allclose(blended, by_numpy(ops.blend_warped, *sources), atol=2e-2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_no_flow_leads_out_of_memory(value: float) -> None:
    tracked = np.full((8, 8, 4), value, np.float32)
    values = np.zeros((16, 16, 4), np.float32)
    source = ops.WarpSource(values, tracked, np.ones((8, 8), np.float32))
    assert ops.compose(tracked, tracked).shape == (8, 8, 4)
    assert ops.tracked_flows(tracked[..., :2], 2, flow._PARAMS)[0].shape == (8, 8, 4)
    assert ops.blend_warped(source, source).shape == (16, 16, 2)
    luma = np.zeros((8, 8), np.uint8)
    assert ops.warp_weight(luma, tracked, luma, -0.1, 2).shape == (8, 8)


def test_wrong_sizes_are_refused() -> None:
    tracked, short = np.zeros((8, 8, 4), np.float32), np.zeros((7, 8, 4), np.float32)
    luma, short_luma = np.zeros((8, 8), np.uint8), np.zeros((8, 7), np.uint8)
    weight = np.zeros((8, 8), np.float32)
    source = ops.WarpSource(np.zeros((8, 8, 4), np.float32), tracked, weight)
    planes = np.zeros((ops.NUM_PLANES, 8, 8), np.float32)
    plane, short_plane = planes[0], planes[0, :7]
    coding = ops.ChromaCoding(219.0, 16.0, 224.0, 128.0, 0.2126, 0.0722, 255.0, True)
    noise = np.zeros((2, 64, 64), np.float32)
    labels, scales = np.zeros((1, len(plane)), np.int32), np.ones(1, np.float32)
    params = ops.VoteParams(1.0, 1.0, 2.0)
    for call in (
        lambda: ops.compose(tracked, short),
        lambda: ops.warp_weight(short_luma, tracked, luma, -0.1, 2),
        lambda: ops.warp_weight(luma, tracked, luma, -0.1, 0),
        lambda: ops.accumulate_warped(short, source),
        lambda: ops.blend_warped(source, source._replace(flow=short)),
        lambda: ops.two_colors(luma, (plane, short_plane), ops.UpsampleParams(*(1.0,) * 6)),
        lambda: ops.choose_colors(luma, short_plane, planes, noise, coding),
        lambda: ops.choose_colors(luma, plane, planes, noise[:, :63].copy(), coding),
        lambda: ops.max_pool(np.zeros((1, 5, 4, 3), np.int16)),
        lambda: ops.max_pool(np.zeros((1, 4, 5, 3), np.int16)),
        lambda: ops.max_pool(np.zeros((1, 4, 0, 3), np.int16)),
        lambda: ops.edge_weights(planes[:0], 1.0),
        lambda: ops.segment(np.zeros((4, 5, 3), np.uint16), scales, 1),
        lambda: ops.segment(np.zeros((4, 5, 4), np.uint16), scales[:0], 1),
        lambda: ops.vote(plane, labels[:, 1:], plane[:2], params),
        lambda: ops.vote(plane, labels, plane[:1], params),
        lambda: ops.vote(plane, labels - 1, plane[:2], params),
        lambda: ops.vote(plane, labels + labels.size, plane[:2], params),
    ):
        with pytest.raises(ValueError, match=r"not of the size given|above 0|numbered from 0"):
            call()


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 20), st.integers(1, 20)),
    seed=seeds,
)
def test_pooling_is_pytorchs_bit_by_bit(shape: tuple[int, ...], seed: int) -> None:
    num, channels, half_height, half_width = shape
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(num, channels, 2 * half_height, 2 * half_width, generator=generator)
    maps = maps.bfloat16().relu().to(memory_format=torch.channels_last)
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    bits = maps.permute(0, 2, 3, 1).contiguous().view(torch.int16)
    pooled = torch.from_numpy(ops.max_pool(bits.numpy())).view(torch.bfloat16)
    torch.testing.assert_close(pooled.permute(0, 3, 1, 2), pool(maps), rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, channels=st.integers(1, 40), seed=seeds)
def test_edge_weights(height: int, width: int, channels: int, seed: int) -> None:
    values = smooth_noise(np.random.default_rng(seed), height, width, 50.0, (channels,))
    weights = ops.edge_weights(values, 64.0)
    expected = by_numpy(ops.edge_weights, values, 64.0)
    assert np.abs(weights.astype(int) - expected.astype(int)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    height=sides,
    width=sides,
    levels=st.integers(1, 1000),
    scales=st.lists(st.floats(0.0, 1e6, width=32), min_size=1, max_size=3),
    min_size=st.integers(0, 50),
    seed=seeds,
)
def test_segments(height, width, levels, scales, min_size, seed) -> None:
    rng = np.random.default_rng(seed)
    weights = (rng.integers(0, levels, (height, width, 4)) * (65535 // levels)).astype(np.uint16)
    arguments = weights, np.array(scales, np.float32), min_size
    np.testing.assert_array_equal(ops.segment(*arguments), by_numpy(ops.segment, *arguments))


@settings(max_examples=60, deadline=None)
@given(
    num=st.integers(1, 60),
    num_bins=st.integers(1, 70),
    num_scales=st.integers(1, 3),
    contrast=st.floats(0.0, 40.0),
    strength=st.floats(0.0, 1.0),
    seed=seeds,
)
def test_votes(num, num_bins, num_scales, contrast, strength, seed) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((num, num_bins)) * contrast).astype(np.float32)
    labels = rng.integers(0, num, (num_scales, num)).astype(np.int32)
    labels[0, 0] = num - 1  # numbers without pixels may be left out
    centers = (rng.standard_normal((2, num_bins)) * 40.0).astype(np.float32)
    arguments = logits, labels, centers, ops.VoteParams(strength, 1.0, 2.0)
    # the variance is a difference of large numbers
    np.testing.assert_allclose(
        ops.vote(*arguments), by_numpy(ops.vote, *arguments), rtol=0.0, atol=0.05
    )


def test_a_network_in_bfloat16_answers_the_same_without_kernels() -> None:
    torch.manual_seed(0)
    net = ColorNet().eval().bfloat16().to(memory_format=torch.channels_last)
    fold_batch_norms(net)
    by_pytorch = deepcopy(net)
    fuse_activations(net)
    luma = torch.rand(2, 1, 48, 64).bfloat16()
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize, "_MaxPool", lambda pool: pool)
        fuse_activations(by_pytorch)
        expected = by_pytorch(luma)
        patch.setattr(nn.MaxPool2d, "forward", None)  # the compiled pooling runs instead
        torch.testing.assert_close(net(luma), expected, rtol=0, atol=0)
        torch.testing.assert_close(by_numpy(net, luma), expected, rtol=0, atol=0)


@pytest.mark.slow
def test_nothing_is_read_before_it_is_written() -> None:
    """Fresh memory may hold anything: three different fillings give the same results."""
    code = (
        "import numpy as np, hashlib\n"
        "from filmcolor.temporal import flow, smoothing\n"
        "from filmcolor.color.chroma import chroma_planes\n"
        "from filmcolor.kernels import ops\n"
        "from filmcolor.types.yuv import SUBSAMPLING_420, Coding\n"
        "rng = np.random.default_rng(0)\n"
        "luma = rng.integers(0, 256, (60, 90), np.uint8)\n"
        "guide = rng.integers(0, 256, (16, 24), np.uint8)\n"
        "ab = rng.normal(0, 20, (16, 24, 2)).astype(np.float32)\n"
        "tracked = rng.normal(0, 3, (8, 12, 4)).astype(np.float32)\n"
        "weight = np.abs(tracked[..., 0]) + 0.1\n"
        "source = ops.WarpSource(smoothing._four_channels(ab), tracked, weight)\n"
        "made = [*chroma_planes(luma, guide, ab, Coding(1, False, 8), SUBSAMPLING_420)]\n"
        "made += [ops.compose(tracked, tracked), ops.blend_warped(source, source)]\n"
        "made += ops.tracked_flows(tracked[..., :2], 2, flow._PARAMS)\n"
        "low = guide[:8, :12].copy()\n"
        "made += [ops.warp_weight(low, tracked, low, -0.01, 2)]\n"
        "made += [ops.max_pool(rng.integers(0, 9999, (2, 6, 8, 5)).astype(np.int16))]\n"
        "weights = ops.edge_weights(rng.standard_normal((6, 8, 5)), 1e3)\n"
        "labels = ops.segment(weights, np.float32([5e3, 1e4]), 3)\n"
        "logits = rng.standard_normal((48, 21)).astype(np.float32)\n"
        "params = ops.VoteParams(1.0, 1.0, 2.0)\n"
        "made += [labels, ops.vote(logits, labels.reshape(2, -1), logits[:2].copy(), params)]\n"
        "assert ops.is_compiled()\n"
        "print([hashlib.sha256(np.ascontiguousarray(m)).hexdigest() for m in made])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MALLOC_PERTURB_": perturb},  # glibc fills what malloc returns
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for perturb in ("0", "1", "129")
    }
    assert len(outputs) == 1


def test_sources_are_c11() -> None:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("neither GCC nor Clang is installed")
    sources = [
        ROOT / f"filmcolor/kernels/{name}.c" for name in ("chroma", "motion", "pool", "surfaces")
    ]
    flags = [*PLAIN_C, "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *flags, *sources], check=True)
