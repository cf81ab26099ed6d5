"""Loading weights safely and strictly, saving them, and the shipped weights."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from filmcolor import weights
from filmcolor.errors import WeightsError
from filmcolor.network.model import ColorNet, FilmNet
from filmcolor.network.predictor import Predictor


@pytest.fixture(scope="module")
def state():
    """The state of a network in which every tensor differs from its initial value."""
    torch.manual_seed(0)
    net = ColorNet()
    net.train()(torch.rand(2, 1, 32, 32))  # changes the batch norms' statistics
    return net.state_dict()


def halved(state):
    return {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


# ---------------------------------------------------------------- loading and saving


def test_saved_weights_load_as_their_float16(state, tmp_path):
    path = tmp_path / "net.safetensors"
    weights.save(state, path)
    assert_same(weights.load(path).state_dict(), halved(state))


def test_weights_are_saved_as_float16(state, tmp_path):
    path = tmp_path / "net.safetensors"
    weights.save(state, path)
    dtypes = {t.dtype for n, t in load_file(path).items() if "num_batches" not in n}
    assert dtypes == {torch.float16}
    assert path.stat().st_size < 2.1e6


def test_saving_replaces_the_file_and_leaves_no_other(state, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"old")
    weights.save(state, path)
    assert list(tmp_path.iterdir()) == [path]
    assert_same(weights.load(path).state_dict(), halved(state))


def test_a_second_save_is_byte_for_byte_the_first(state, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights.save(state, first)
    weights.save(weights.load(first).state_dict(), second)
    assert weights.sha256(first) == weights.sha256(second)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_a_pytorch_state_dict_loads_exactly(state, tmp_path, suffix, is_zip):
    path = tmp_path / f"net{suffix}"
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    assert_same(weights.load(path).state_dict(), state)


def test_a_state_dict_without_counters_loads(state, tmp_path):
    path = tmp_path / "2018.pth"
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, path)
    loaded = weights.load(path).state_dict()
    assert_same({k: loaded[k] for k in old}, old)


def test_a_loaded_network_is_ready_to_predict(state, tmp_path):
    path = tmp_path / "net.safetensors"
    weights.save(state, path)
    net = weights.load(os.fspath(path))
    assert not any(module.training for module in net.modules())
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert {p.device.type for p in net.parameters()} == {"cpu"}


@pytest.mark.parametrize("kind", [ColorNet, FilmNet])
def test_the_tensor_names_decide_the_network(kind, tmp_path):
    torch.manual_seed(0)
    net = kind()
    path = tmp_path / "net.safetensors"
    weights.save(net.state_dict(), path)
    loaded = weights.load(path)
    assert type(loaded) is kind
    assert_same(loaded.state_dict(), halved(net.state_dict()))


# ---------------------------------------------------------------- errors


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (os.fspath(self.target), "w"))


@pytest.mark.parametrize("is_torch", [True, False], ids=["torch.save", "pickle"])
def test_code_in_a_pickle_is_not_run(state, tmp_path, is_torch):
    crater, path = tmp_path / "crater", tmp_path / "net.pth"
    evil = {**state, "bomb": Bomb(crater)}
    if is_torch:
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil, protocol=2))
    with pytest.raises(WeightsError, match=r"net\.pth") as caught:
        weights.load(path)
    assert not crater.exists()
    assert "weights_only" not in str(caught.value)  # no advice to trust the file


def test_the_bomb_works(tmp_path):
    crater = tmp_path / "crater"
    pickle.loads(pickle.dumps(Bomb(crater))).close()
    assert crater.exists()


@pytest.fixture(scope="module")
def broken(state, tmp_path_factory):
    """A folder of files that are not weights of these networks."""
    folder = tmp_path_factory.mktemp("broken")
    valid = folder / "valid.safetensors"
    save_file(state, valid)
    data = valid.read_bytes()
    as_zip, legacy = folder / "zip.pth", folder / "legacy.pth"
    torch.save(state, as_zip)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    name = "midlevel_resnet.0.weight"
    files = {
        "truncated.safetensors": data[: len(data) // 2],
        "header only.safetensors": data[:100],
        "empty.safetensors": b"",
        "text.safetensors": b"hello world",
        "truncated.pth": as_zip.read_bytes()[:100_000],
        "truncated legacy.pth": legacy.read_bytes()[:100_000],
        "cut in its head.pth": legacy.read_bytes()[:3700],
        "empty.pth": b"",
        "text.pth": b"hello world",
        "page.pth": b"<!DOCTYPE html><html><body>404</body></html>",
        "zeros.pth": bytes(1000),
        "noise.pth": b"\x80\x02X\x04\x00\x00\x00\xd8\xff\xff\xff.",
    }
    objects = {
        "list.pth": [1, 2, 3],
        "tensor.pth": torch.zeros(3),
        "nested.pth": {"state_dict": state, "epoch": 3},
        "numbered.pth": {1: torch.zeros(2), "a": torch.zeros(2)},
        "sparse.pth": {**state, name: state[name].to_sparse()},
        "nothing.pth": {},
        "extra.pth": {**state, "extra": torch.zeros(1)},
        "one short.pth": {k: v for k, v in state.items() if k != name},
        "shape.pth": {**state, name: state[name][:, :, 1:-1, 1:-1]},
        "colour input.pth": {**state, name: state[name].repeat(1, 3, 1, 1)},
        "vgg.pth": {"features.0.weight": torch.zeros(64, 3, 3, 3)},
    }
    for path in (valid, as_zip, legacy):
        path.unlink()
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    for file_name, content in objects.items():
        torch.save(content, folder / file_name)
    torch.save(ColorNet(), folder / "module.pth")
    save_file({"conv.weight": torch.zeros(2)}, folder / "another.safetensors")
    (folder / "folder.pth").mkdir()
    return folder


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:Validating sparse")
def test_other_files_are_an_error_in_one_line_with_the_name(broken):
    paths = sorted(broken.iterdir())
    assert len(paths) == 26
    for path in paths:
        with pytest.raises(WeightsError) as caught:
            weights.load(path)
        message = str(caught.value)
        assert path.name in message
        assert "\n" not in message
        assert "\x1b" not in message
        assert "weights_only" not in message


@pytest.mark.parametrize(
    ("file_name", "words"),
    [
        ("one short.pth", "midlevel_resnet.0.weight"),
        ("shape.pth", "midlevel_resnet.0.weight"),
        ("extra.pth", "extra"),
        ("another.safetensors", "another network's"),
        ("nested.pth", "no state dict"),
        ("module.pth", "more than tensors"),
    ],
)
def test_the_message_names_the_problem(broken, file_name, words):
    with pytest.raises(WeightsError, match=words):
        weights.load(broken / file_name)


def test_a_pickled_module_is_an_error_with_advice(tmp_path):
    path = tmp_path / "module.pth"
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3)), path)
    with pytest.raises(WeightsError, match="state dict"):
        weights.load(path)


@pytest.mark.parametrize("name", ["no-such-weights", "no/such/file.safetensors", ""])
def test_missing_weights_are_an_error_with_the_shipped_names(name):
    with pytest.raises(WeightsError) as caught:
        weights.load(name)
    assert repr(name) in str(caught.value)
    for shipped in weights.shipped():
        assert shipped in str(caught.value)


# ---------------------------------------------------------------- shipped weights


def test_the_default_weights_ship():
    assert weights.DEFAULT in weights.shipped()
    assert weights.find(weights.DEFAULT).parent == weights.FOLDER


def test_shipped_weights_load_and_match_their_cards():
    assert weights.shipped()
    for name in weights.shipped():
        path = weights.find(name)
        assert path.stat().st_size < 16e6
        assert weights.card(name)["sha256"] == weights.sha256(path)
        net = weights.load(name)
        assert all(torch.isfinite(p).all() for p in net.parameters())


def test_the_shipped_network_predicts_plausible_colors():
    luma = np.tile(np.linspace(0.0, 255.0, 64).astype(np.uint8), (1, 64, 1))
    ab = Predictor(weights.load(weights.DEFAULT), "cpu").predict(luma)
    assert np.isfinite(ab).all()
    assert 0.5 < np.abs(ab).max() < 75.0


def test_every_card_has_its_weights():
    cards = {path.stem for path in weights.FOLDER.glob("*.json")}
    assert cards == set(weights.shipped())


def test_sha256_is_the_files(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert weights.sha256(path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
