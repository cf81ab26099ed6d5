"""The page's network: logits and values as in PyTorch, weights in 12 bits, a small file."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import gray, texture

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network import predictor as predict
from filmcolor.network.model import FilmNet
from filmcolor.network.predictor import Predictor, denoise
from filmcolor.network.surfaces import SURFACES, segmented_values, surface_ab
from filmcolor.photo_page import network
from filmcolor.photo_page.contents import pack
from filmcolor.photo_page.network import page_graph, page_network, split

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZES = (64, 96), (40, 72), (8, 8)  # height and width
MAX_BYTES = 8.0e6  # of the 12 MB of a first visit, 3.7 MB are the runtime's
Outputs = tuple[np.ndarray, np.ndarray]  # logits and values, (h, w, bins) and (h, w, 1 + C)


@pytest.fixture(scope="module")
def saved(film_net: FilmNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film network's random weights, as training saves them."""
    path = tmp_path_factory.mktemp("saved") / "film.safetensors"
    weights_store.save(film_net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def shipped() -> bytes:
    """The file of the shipped weights."""
    return page_network("film")


def picture(height: int, width: int) -> np.ndarray:
    """Return 8-bit luma with large shapes and grain."""
    grain = np.random.default_rng(0).normal(0.0, 0.03, (height, width))
    return gray(texture(1, height, width) + grain)


def outputs_of(file: bytes, luma: np.ndarray) -> Outputs:
    """Return what a file computes of 8-bit luma (H, W)."""
    session = onnxruntime.InferenceSession(file)
    assert [tensor.name for tensor in session.get_inputs()] == ["luma"]
    feed = {"luma": luma[None, None].astype(np.float32) / np.float32(255.0)}
    logits, values = session.run(["logits", "values"], feed)
    assert len(logits) == len(values) == 1
    return logits[0], values[0]


def expected_of(net: FilmNet, luma: np.ndarray) -> Outputs:
    """Return the same of PyTorch."""
    denoised = denoise(luma)
    with torch.inference_mode():
        features = net.layers(torch.from_numpy(denoised)[None, None])[0]
        logits = net.logits(features)[0].permute(1, 2, 0).numpy()
        return logits, segmented_values(denoised, features[0])


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize("size", SIZES)
def test_outputs_are_those_of_pytorch(size: tuple[int, int], film_net: FilmNet) -> None:
    luma = picture(*size)
    expected = expected_of(film_net, luma)
    assert expected[0].std() > 0.1 and expected[1].std() > 1.0
    for found, wanted in zip(outputs_of(page_graph(film_net), luma), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_small_weights_stay_as_they_are_saved(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LEAST_SPLIT", 10_000_000)
    expected = expected_of(weights_store.load(saved), picture(64, 96))
    for found, wanted in zip(outputs_of(page_network(saved), picture(64, 96)), expected):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_large_weights_change_outputs_by_no_more_than_their_steps(saved: Path) -> None:
    """Errors of weights are independent: they add up as squares, over the layers as well."""
    luma = picture(64, 96)
    file = page_network(saved)
    num_split = sum(t.name.endswith(".low") for t in onnx.load_from_string(file).graph.initializer)
    assert num_split > 20
    error = (num_split / 12.0) ** 0.5 / network.STEPS  # of a step's uniform error, relative
    expected = expected_of(weights_store.load(saved), luma)
    for found, wanted in zip(outputs_of(file, luma), expected, strict=True):
        assert not np.array_equal(found, wanted)
        difference = (found - wanted).reshape(-1, wanted.shape[2])
        assert np.sqrt(np.mean(difference**2)) < 3.0 * error * wanted.std()


def test_shipped_weights_give_the_colors_of_python(
    shipped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the vote of surfaces: the law for the whole page, 0.5 in the mean."""
    monkeypatch.setattr(predict, "choose_dtype", lambda device: torch.float32)
    net = weights_store.load("film")
    assert isinstance(net, FilmNet)
    luma = picture(128, 160)
    logits, values = (torch.from_numpy(x).permute(2, 0, 1) for x in outputs_of(shipped, luma))
    ab = surface_ab(logits[None], net.centers, denoise(luma)[None], values[None, 1:], SURFACES)
    wanted = Predictor(net, "cpu").predict(luma[None])[0]
    found = predict._double(ab)[0]
    assert np.linalg.norm(wanted, axis=2).mean() > 2.0
    assert np.linalg.norm(found - wanted, axis=2).mean() < 0.5


# ---------------------------------------------------------------- how weights are stored


@pytest.mark.parametrize(("axis", "shape"), [(0, (24, 16, 3, 3)), (-1, (160, 24))])
def test_weights_are_split_into_high_and_low_bits(axis: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    channels = np.moveaxis(np.empty(shape, np.float32), axis, 0)
    channels[:] = rng.normal(0.0, 0.01, channels.shape)
    channels[1] *= 1000.0
    channels[2] = 0.0
    channels[3].flat[5] = -9.0  # far from the others
    weight = np.moveaxis(channels, 0, axis)
    high, low, step = split(weight, axis)
    assert high.dtype == np.int8 and low.dtype == np.uint8 and low.max() < 16
    assert step.size == 24 and np.moveaxis(step, axis, 0).shape[0] == 24
    restored = (16.0 * high + low) * step
    assert (np.abs(restored - weight) <= 0.5001 * step).all()
    spread = np.sqrt((channels.reshape(24, -1) ** 2).mean(axis=1))
    steps = step.ravel()
    np.testing.assert_allclose(np.delete(steps, [2, 3]), np.delete(spread, [2, 3]) / network.STEPS)
    assert steps[3] == pytest.approx(9.0 / 2047)
    assert not restored[weight == 0.0].any()


def test_the_file_is_small_enough_for_the_first_visit(shipped: bytes) -> None:
    assert len(pack(shipped)) < MAX_BYTES
    assert len(pack(shipped)) < 0.75 * (weights_store.FOLDER / "film.safetensors").stat().st_size


def test_the_file_describes_itself(shipped: bytes) -> None:
    model = onnx.load_from_string(shipped)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["filmcolor.weights"] == "film"
    assert metadata["filmcolor.weights_sha256"] == weights_store.card("film")["sha256"]
    assert metadata["filmcolor.license"] == weights_store.LICENSES["film"]
    assert "12-bit" in metadata["filmcolor.weights_dtype"]
    large = {
        tensor.name: np.prod(tensor.dims)
        for tensor in model.graph.initializer
        if not tensor.name.endswith((".high", ".low"))
    }
    assert max(large.values()) < network.LEAST_SPLIT


def test_the_same_weights_give_the_same_bytes(saved: Path) -> None:
    assert page_network(saved) == page_network(saved)


# ---------------------------------------------------------------- errors


def test_weights_of_the_tutorial_are_refused(weights_path: Path) -> None:
    for weights in ("tutorial", weights_path):
        with pytest.raises(WeightsError, match="the page needs weights of the film network"):
            page_network(weights)


def test_missing_weights_and_packages_are_named(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        page_network(tmp_path / "missing.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SettingsError, match=r"needs the package onnx: pip install 'filmcolor"):
        page_network(saved)
