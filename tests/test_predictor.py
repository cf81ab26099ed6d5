"""Proxies, and prediction: batches, folded layers and rotation change nothing."""

from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import gray, texture
from torch.nn import functional

from filmcolor import weights
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network import predictor as predict
from filmcolor.network.device import choose_device, choose_dtype
from filmcolor.network.model import ColorNet, decode_ab
from filmcolor.network.predictor import Predictor, denoise
from filmcolor.temporal.anchors import every_frame
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.types.orientation import AS_CODED
from filmcolor.types.yuv import Coding
from filmcolor.video.proxy import add_proxies, downscale, proxy_frame, proxy_size

law = settings(max_examples=150, derandomize=True, database=None, deadline=None)


@pytest.fixture(scope="module")
def net():
    """A network with random batch norms; tests must not change it."""
    torch.manual_seed(0)
    net = ColorNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture
def in_float32(monkeypatch):
    """Predict in float32, whatever dtype this machine would choose."""
    monkeypatch.setattr(predict, "choose_dtype", lambda device: torch.float32)


@pytest.fixture(scope="module")
def pictures():
    """Proxy luma (N, h, w), different in every direction."""
    return np.random.default_rng(0).integers(0, 256, (5, 32, 48), np.uint8)


def proxy_frames(pictures):
    luma = np.zeros((4, 4), np.uint8)
    return [proxy_frame(LumaFrame(n, luma, n, 1), p, n == 3) for n, p in enumerate(pictures)]


# ---------------------------------------------------------------- proxy size


@law
@given(st.integers(16, 8192).map(float), st.integers(16, 8192).map(float), st.integers(32, 1024))
def test_proxy_sides_are_multiples_of_8_and_in_proportion(width, height, short_side):
    proxy = proxy_size(width, height, short_side)
    scale = short_side / min(width, height)
    for side, exact in zip(proxy, (width * scale, height * scale)):
        assert side % 8 == 0 and side >= 8
        assert abs(side - exact) <= 4.0 + 1e-6
    assert proxy_size(height, width, short_side) == (proxy[1], proxy[0])


@pytest.mark.parametrize(
    ("size", "proxy"),
    [
        ((640, 480), (344, 256)),
        ((1920, 1080), (456, 256)),
        ((480, 640), (256, 344)),
        ((256, 256), (256, 256)),
        ((32, 24), (344, 256)),
    ],
)
def test_the_short_side_has_the_requested_size(size, proxy):
    assert proxy_size(*size, 256) == proxy


# ---------------------------------------------------------------- downscaling

CODINGS = [Coding(1, is_full, depth) for is_full in (False, True) for depth in (8, 10)]
every_coding = pytest.mark.parametrize("coding", CODINGS, ids=str)


def dtype_of(coding):
    return np.uint8 if coding.bit_depth == 8 else np.uint16


@every_coding
def test_black_is_0_and_white_is_255(coding):
    luma = np.full((64, 96), coding.luma_offset, dtype_of(coding))
    luma[:, 48:] += coding.luma_scale
    proxy = downscale(luma, (24, 16), coding)
    assert proxy.dtype == np.uint8
    assert proxy.shape == (16, 24)
    assert (proxy[:, :12] == 0).all()
    assert (proxy[:, 12:] == 255).all()


@every_coding
@pytest.mark.parametrize("size", [(24, 16), (96, 64), (144, 96), (24, 96)])
def test_codes_beyond_black_and_white_do_not_wrap(coding, size):
    peak = (1 << coding.bit_depth) - 1
    luma = np.zeros((64, 96), dtype_of(coding))
    luma[:, 48:] = peak
    proxy = downscale(luma, size, coding)
    assert proxy.dtype == np.uint8 and proxy.shape == size[::-1]
    assert (proxy[:, 0] == 0).all() and (proxy[:, -1] == 255).all()
    assert (np.diff(proxy.astype(int), axis=1) >= 0).all()


@every_coding
def test_downscaling_averages(coding):
    rng = np.random.default_rng(1)
    codes = coding.luma_offset + rng.integers(0, coding.luma_scale + 1, (64, 96))
    proxy = downscale(codes.astype(dtype_of(coding)), (24, 16), coding)
    exact = (codes - coding.luma_offset) / coding.luma_scale
    means = exact.reshape(16, 4, 24, 4).mean(axis=(1, 3))
    most = 1.01 / coding.luma_scale + 0.5 / 255.0  # halving rounds twice, then 8 bits do
    np.testing.assert_allclose(proxy / 255.0, means, atol=most)


def test_every_coding_of_a_picture_has_the_same_proxy():
    picture = np.random.default_rng(2).random((64, 96))
    proxies = []
    for coding in CODINGS:
        codes = np.rint(picture * coding.luma_scale + coding.luma_offset)
        proxies.append(downscale(codes.astype(dtype_of(coding)), (24, 16), coding))
    for proxy in proxies[1:]:
        assert np.abs(proxy.astype(int) - proxies[0]).max() <= 2


def film_info(width, height, sar=Fraction(1)):
    return FilmInfo(
        path=Path("film.mkv"),
        container="matroska",
        video_index=0,
        codec="ffv1",
        width=width,
        height=height,
        pix_fmt="gray",
        coding=Coding(1, False, 8),
        is_matrix_tagged=True,
        primaries=1,
        transfer=1,
        sar=sar,
        orientation=AS_CODED,
        is_interlaced=False,
        time_base=Fraction(1, 24),
        frame_rate=Fraction(24),
        start_pts=0,
        end_pts=None,
        num_frames_estimate=1,
        duration_seconds=None,
        streams=(),
        chapters=(),
        metadata={},
    )


def test_the_network_sees_square_pixels_and_the_frame_stays():
    frame = LumaFrame(5, np.full((64, 80), 126, np.uint8), 500, 1)
    (wide,) = add_proxies([frame], film_info(80, 64, sar=Fraction(8, 5)), 32)
    (square,) = add_proxies([frame], film_info(80, 64), 32)
    assert wide.luma.shape == (32, 64)
    assert square.luma.shape == (32, 40)
    assert wide.source is frame and not wide.is_cut
    assert (wide.luma == round(255 * 110 / 219)).all()
    assert (wide.guide == wide.luma[0, 0]).all() and wide.guide.shape == (16, 32)


# ---------------------------------------------------------------- the network


def network_input(pictures):
    """Return the network's input (N, 1, h, w): denoised luma."""
    return torch.from_numpy(np.stack([denoise(p) for p in pictures]))[:, None]


def test_ab_is_half_the_size_and_in_lab_units(net, pictures, in_float32):
    ab = Predictor(net, "cpu").predict(pictures)
    assert ab.shape == (5, 16, 24, 2)
    assert ab.dtype == np.float32
    with torch.inference_mode():
        expected = decode_ab(net(network_input(pictures)))[:, :, ::2, ::2]
    np.testing.assert_allclose(ab, expected.permute(0, 2, 3, 1).numpy(), atol=0.05)
    assert ab.std() > 1.0  # the comparison is not trivial


def test_folding_batch_norm_changes_nothing_in_float32(net, pictures, in_float32):
    predictor = Predictor(net, "cpu")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in predictor.net.modules())
    batch = torch.from_numpy(pictures)[:, None] / 255.0
    with torch.inference_mode():
        expected = decode_ab(net(batch))  # the predictor's network gives CIELAB ab itself
        torch.testing.assert_close(predictor.net(batch), expected, rtol=1e-4, atol=255 * 1e-4)


def test_the_callers_network_is_not_changed(pictures):
    torch.manual_seed(0)
    net = ColorNet().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    Predictor(net, "cpu").predict(pictures[:1])
    after = net.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert net.training


def test_a_batch_is_its_pictures_one_by_one(net, pictures, in_float32):
    predictor = Predictor(net, "cpu")
    alone = np.concatenate([predictor.predict(p[None]) for p in pictures])
    np.testing.assert_allclose(predictor.predict(pictures), alone, atol=0.02)


def test_the_dtype_this_machine_chooses_is_close_to_float32(net, pictures, in_float32):
    exact = Predictor(net, "cpu").predict(pictures)
    half = Predictor(net, "cpu")
    half.net = half.net.to(torch.bfloat16)
    half.dtype = torch.bfloat16
    rounded = half.predict(pictures)
    assert rounded.dtype == np.float32
    # bfloat16 keeps 8 bits of a coded value near 0.5: about one unit of ab
    assert np.abs(rounded - exact).mean() < 1.5


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_frames_keep_their_order_and_their_fields(net, pictures, in_float32, batch_size):
    frames = proxy_frames(pictures)
    predictor = Predictor(net, "cpu")
    colored = list(predictor.predict_frames(every_frame(frames), batch_size))
    assert [f.tracked.source for f in colored] == [f.source for f in frames]
    assert [f.tracked.is_cut for f in colored] == [False, False, False, True, False]
    for frame, before in zip(colored, frames):
        assert frame.tracked.luma is before.luma
        np.testing.assert_allclose(frame.ab, predictor.predict(before.luma[None])[0], atol=0.02)


def test_only_anchors_are_predicted(net, pictures):
    tracked = [
        replace(frame, is_anchor=n % 3 == 0)
        for n, frame in enumerate(every_frame(proxy_frames([*pictures] * 3)))
    ]
    predictor = Predictor(net, "cpu")
    num_seen = []
    predict = predictor.predict_with_features
    predictor.predict_with_features = lambda luma, has_features: (
        num_seen.append(len(luma)) or predict(luma)
    )
    colored = list(predictor.predict_frames(tracked, 2))
    assert [f.ab is not None for f in colored] == [f.is_anchor for f in tracked]
    assert num_seen == [2, 2, 1]
    assert [f.tracked.source for f in colored] == [f.source for f in tracked]


def test_a_batch_that_does_not_fit_in_memory_is_halved(net, pictures, in_float32):
    expected = Predictor(net, "cpu").predict(pictures)
    predictor, sizes = Predictor(net, "cpu"), []
    forward = predictor.net.layers

    def run_out_of_memory(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(batch)

    predictor.net.layers = run_out_of_memory
    np.testing.assert_allclose(predictor.predict(pictures), expected, atol=0.02)
    assert sizes == [5, 2, 2, 1]
    predictor.predict(pictures[:3])
    assert sizes[4:] == [2, 1]  # the limit is remembered


def test_no_memory_for_one_picture_is_an_error(net, pictures):
    predictor = Predictor(net, "cpu")

    def no_memory(batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    predictor.net.layers = no_memory
    with pytest.raises(SettingsError, match=r"no memory for a picture of 48×32.*--size"):
        predictor.predict(pictures)


def test_memory_holds_few_frames_without_anchors(net, pictures):
    read = []

    def frames():
        for frame in every_frame(proxy_frames([pictures[0]] * 100)):
            read.append(frame.source.number)
            yield replace(frame, is_anchor=False)

    next(Predictor(net, "cpu").predict_frames(frames(), 8))
    assert len(read) <= 32


def test_the_network_sees_less_grain(net):
    rng = np.random.default_rng(0)
    grainy = np.rint(rng.normal(128.0, 25.0, (64, 96)).clip(0.0, 255.0)).astype(np.uint8)
    assert denoise(grainy).std() < 0.4 * grainy.std() / 255.0
    np.testing.assert_allclose(denoise(np.full((64, 96), 51, np.uint8)), 0.2, rtol=1e-5)
    batches = []
    predictor = Predictor(net, "cpu")
    layers = predictor.net.layers
    predictor.net.layers = lambda batch: batches.append(batch) or layers(batch)
    predictor.predict(grainy[None])
    np.testing.assert_allclose(batches[0][0, 0].float().numpy(), denoise(grainy), atol=0.01)


def test_no_frames_give_no_frames(net):
    assert list(Predictor(net, "cpu").predict_frames([], 4)) == []


def test_no_more_than_a_batch_is_read_ahead(net, pictures):
    read = []

    def frames():
        for frame in proxy_frames(pictures):
            read.append(frame.source.number)
            yield frame

    next(Predictor(net, "cpu").predict_frames(every_frame(frames()), 2))
    assert read == [0, 1]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90, -180, 360])
def test_a_rotated_film_gets_the_rotated_colors(net, pictures, in_float32, rotation):
    predictor = Predictor(net, "cpu")
    upright = [f.ab for f in predictor.predict_frames(every_frame(proxy_frames(pictures)), 5)]
    # FFmpeg: rotating the coded frame counter-clockwise by `rotation` sets it upright
    coded = [np.rot90(p, -(rotation // 90)) for p in pictures]
    for frame, ab in zip(
        predictor.predict_frames(every_frame(proxy_frames(coded)), 5, rotation // 90), upright
    ):
        height, width = frame.tracked.luma.shape
        assert frame.ab.shape == (height // 2, width // 2, 2)
        np.testing.assert_allclose(np.rot90(frame.ab, rotation // 90), ab, atol=1e-3)
        assert frame.ab.flags.c_contiguous


# ---------------------------------------------------------------- devices


@pytest.fixture
def cpu_only_machine(monkeypatch):
    """A machine with a CPU only."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_the_cpu_without_other_devices(cpu_only_machine):
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1", "mps", "cpu:1"])
def test_a_missing_device_is_an_error(cpu_only_machine, name):
    with pytest.raises(SettingsError, match=f"no {name} device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cuda:x", "cuda:-1", "meta", "xpu", "tpu:0"])
def test_an_unknown_device_is_an_error_with_the_known_ones(name):
    with pytest.raises(SettingsError, match="choose auto, cpu, cuda or mps"):
        choose_device(name)


def test_the_best_device_is_chosen(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SettingsError, match="cuda:2"):
        choose_device("cuda:2")


def test_a_predictor_for_a_missing_device_is_an_error(net, cpu_only_machine):
    with pytest.raises(SettingsError, match="cuda"):
        Predictor(net, "cuda")


@pytest.mark.parametrize(
    ("capability", "has_bf16", "dtype"),
    [
        ("AVX512", True, torch.bfloat16),
        ("AVX512", False, torch.float32),
        ("AVX2", True, torch.float32),  # PyTorch is configured not to use it
        ("DEFAULT", False, torch.float32),
    ],
)
def test_bfloat16_only_where_the_processor_is_fast_at_it(monkeypatch, capability, has_bf16, dtype):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16, raising=False)
    assert choose_dtype(torch.device("cpu")) == dtype


def test_the_film_network_predicts(film_net, pictures, in_float32):
    ab = Predictor(film_net, "cpu", surfaces=0.0).predict(pictures)
    assert ab.shape == (5, 16, 24, 2)
    with torch.inference_mode():
        quarter = film_net.mean_ab(film_net(network_input(pictures)))
        expected = functional.interpolate(quarter, scale_factor=2.0, mode="bilinear")
    np.testing.assert_allclose(ab, expected.permute(0, 2, 3, 1).numpy(), atol=0.05)


def test_bfloat16_keeps_faint_colours(pictures, in_float32):
    """Coded ab would be a whole unit apart: 16 values where these pictures have hundreds."""
    half = Predictor(weights.load("tutorial"), "cpu")
    half.net, half.dtype = half.net.to(torch.bfloat16), torch.bfloat16
    ab = half.predict(pictures)
    faint = ab[np.abs(ab) < 8.0]
    assert faint.size > 100
    assert len(np.unique(faint)) > 50


@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (1921, 1081), (2048, 1536)])
def test_downscaling_averages_at_every_size(size):
    """A smooth picture comes out as interpolating it would; fine noise is averaged away."""
    width, height = size
    rows, columns = np.mgrid[:height, :width] / height
    smooth = 128 + 60 * np.sin(5 * rows) * np.cos(4 * columns)
    proxy = proxy_size(width, height, 256)
    coding = Coding(1, True, 8)
    shrunk = downscale(np.rint(smooth).astype(np.uint8), proxy, coding)
    expected = cv2.resize(smooth.astype(np.float32) / 255, proxy, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrunk / 255.0, expected, atol=0.015)
    noise = np.random.default_rng(0).normal(128.0, 20.0, (height, width)).clip(0, 255)
    least = downscale(noise.astype(np.uint8), proxy, coding).std()
    assert least < 20.0 * 0.75


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_picture_does_not_depend_on_its_batch(film_net, dtype, monkeypatch):
    """With surfaces: segmentation would turn a rounding error into another colour."""
    monkeypatch.setattr(predict, "choose_dtype", lambda device: dtype)
    predictor = Predictor(film_net, "cpu")
    luma = np.stack([gray(texture(seed, 72, 104)) for seed in range(4)])
    alone = np.concatenate([predictor.predict(picture[None]) for picture in luma])
    np.testing.assert_array_equal(predictor.predict(luma), alone)


def test_surfaces_change_the_colours(film_net, pictures, in_float32):
    off, half, full = (
        Predictor(film_net, "cpu", surfaces=strength).predict(pictures)
        for strength in (0.0, 0.5, 1.0)
    )
    assert 0.0 < np.abs(half - off).mean() < np.abs(full - off).mean()


def test_an_output_that_is_no_number_is_an_error(film_net, pictures):
    broken = deepcopy(film_net)
    torch.nn.init.constant_(broken.bins.bias, float("nan"))
    with pytest.raises(WeightsError, match="not a number: its weights are broken"):
        Predictor(broken, "cpu").predict(pictures)


@pytest.mark.parametrize("name", ["net", "film_net"])
def test_colors_are_the_same_with_features(name, pictures, in_float32, request):
    predictor = Predictor(request.getfixturevalue(name), "cpu")
    ab, features = predictor.predict_with_features(pictures, has_features=True)
    np.testing.assert_array_equal(ab, predictor.predict(pictures))
    assert features.shape[:3] == (5, 4, 6) and features.dtype == np.float32
    squares = np.square(features[..., :-1]).sum(axis=3)  # the last is luma
    np.testing.assert_allclose(squares, 3.0, rtol=1e-3)


def test_features_are_similar_where_the_picture_is(net, in_float32):
    """A picture that moves by a multiple of the stride has the same features, moved."""
    wide = texture(5, 64, 160)
    first, second = (gray(wide[:, left : left + 128]) for left in (0, 32))
    predictor = Predictor(net, "cpu")
    features = [predictor.features_of(proxy) for proxy in (first, second)]
    moved = np.square(features[0][2:-2, 6:-2] - features[1][2:-2, 2:-6]).sum(axis=2).mean()
    still = np.square(features[0][2:-2, 6:-2] - features[1][2:-2, 6:-2]).sum(axis=2).mean()
    assert moved < 0.1 * still


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_features_are_those_of_the_upright_film(net, in_float32, rotation):
    proxy = gray(texture(5, 32, 48))
    predictor = Predictor(net, "cpu")
    turns = rotation // 90
    upright = predictor.features_of(np.ascontiguousarray(np.rot90(proxy, turns)))
    np.testing.assert_array_equal(np.rot90(predictor.features_of(proxy, turns), turns), upright)
