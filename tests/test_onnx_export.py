"""Exported networks: the same colours and features as in PyTorch, at every size, in both dtypes."""

import json
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import gray, texture

import filmcolor.weights as weights_store
from filmcolor.cli.main import main
from filmcolor.errors import OutputError, SettingsError, WeightsError
from filmcolor.network import predictor as predict
from filmcolor.network.model import NUM_BINS, ColorNet, FilmNet
from filmcolor.network.onnx_export import export_onnx
from filmcolor.network.onnx_net import OnnxNet
from filmcolor.network.predictor import Predictor

onnx = pytest.importorskip("onnx")

MAX_DIFFERENCE = 0.1  # ab, CIELAB units: the law
# height and width; with 64 × 64, attention has as many positions as heads
SIZES = (64, 96), (40, 72), (8, 8), (64, 64)
NETS = "film", "tutorial"
PROVENANCE = {"weights": "test", "license": "MIT"}
RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason="not installed"))
    for name in ("openvino", "onnxruntime")
]

Files = dict[tuple[str, bool], Path]  # by network, and whether weights are float16


@pytest.fixture(scope="module")
def saved(
    film_net: FilmNet, weights_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The weights of both networks, as training saves them."""
    film = tmp_path_factory.mktemp("saved") / "film.safetensors"
    weights_store.save(film_net.state_dict(), film)
    return {"film": film, "tutorial": weights_path}


@pytest.fixture(scope="module")
def files(saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("exported")
    paths = {}
    for name, path in saved.items():
        for is_half in (False, True):
            paths[name, is_half] = folder / f"{name}-{is_half}.onnx"
            export_onnx(weights_store.load(path), paths[name, is_half], PROVENANCE, is_half)
    return paths


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict in float32, whatever dtype this machine would choose."""
    monkeypatch.setattr(predict, "choose_dtype", lambda device: torch.float32)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Type a command, and return its exit code."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["filmcolor", "export-model", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0)

    return run


def pictures(num: int, height: int, width: int) -> np.ndarray:
    """Return 8-bit luma (N, height, width), with large shapes and grain."""
    grain = np.random.default_rng(0).normal(0.0, 0.03, (num, height, width))
    return gray(np.stack([texture(n, height, width) for n in range(num)]) + grain)


# ---------------------------------------------------------------- colours


@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_exported_network_predicts_what_it_did(
    runtime: str, name: str, is_half: bool, saved: dict[str, Path], files: Files, in_float32: None
) -> None:
    exported = Predictor(OnnxNet.open(files[name, is_half], "cpu", 1, runtime), surfaces=0.0)
    original = Predictor(weights_store.load(saved[name]), "cpu", surfaces=0.0)
    for height, width in SIZES:
        luma = pictures(2, height, width)
        ab, features = exported.predict_with_features(luma)
        expected, expected_features = original.predict_with_features(luma)
        assert features is not None and expected_features is not None
        assert expected.std() > 10 * MAX_DIFFERENCE
        np.testing.assert_allclose(ab, expected, atol=MAX_DIFFERENCE)
        np.testing.assert_allclose(features, expected_features, atol=0.01)
        np.testing.assert_array_equal(exported.predict(luma), ab)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_other_programs_need_only_luma_and_the_first_output(
    runtime: str, name: str, saved: dict[str, Path], files: Files, in_float32: None
) -> None:
    """In batches, too, which `OnnxNet` does not use."""
    luma = pictures(3, 48, 64)
    session = OnnxNet.open(files[name, False], "cpu", 1, runtime).session
    assert [str(tensor) for tensor in session.inputs] == ["luma float32 [?, 1, ?, ?]"]
    first = session.outputs[0].name
    assert first == "ab"
    ab = session.run({"luma": luma[:, None] / np.float32(255.0)}, [first])[first]
    expected = Predictor(weights_store.load(saved[name]), "cpu", surfaces=0.0).predict(luma)
    np.testing.assert_allclose(ab.transpose(0, 2, 3, 1), expected, atol=MAX_DIFFERENCE)


def test_surfaces_vote_as_with_pytorch(
    saved: dict[str, Path], files: Files, in_float32: None
) -> None:
    """A segment that a rounding error joins to another one may change a few pixels."""
    luma = pictures(2, 96, 128)
    net = weights_store.load(saved["film"])
    ab, expected = (
        Predictor(n, "cpu").predict(luma) for n in (OnnxNet.open(files["film", False], "cpu"), net)
    )
    assert np.abs(expected - Predictor(net, "cpu", surfaces=0.0).predict(luma)).max() > 5.0
    assert np.mean(np.abs(ab - expected) > MAX_DIFFERENCE) < 0.01


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_picture_does_not_depend_on_its_batch(runtime: str, files: Files) -> None:
    predictor = Predictor(OnnxNet.open(files["film", False], "cpu", 1, runtime))
    luma = pictures(3, 72, 104)
    alone = np.concatenate([predictor.predict(picture[None]) for picture in luma])
    np.testing.assert_array_equal(predictor.predict(luma), alone)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", NETS)
def test_the_file_describes_itself(name: str, saved: dict[str, Path], files: Files) -> None:
    model = onnx.load(files[name, True])
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    net = weights_store.load(saved[name])
    assert metadata["filmcolor.kind"] == "filmcolor"
    assert metadata["filmcolor.network"] == type(net).__name__
    assert metadata["filmcolor.weights_dtype"] == "float16"
    assert metadata["filmcolor.license"] == "MIT" and metadata["filmcolor.weights"] == "test"
    assert int(metadata["filmcolor.multiple"]) == 8
    sizes = {
        tensor.name: [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]
        for tensor in [*model.graph.input, *model.graph.output]
    }
    assert sizes["luma"] == ["N", 1, "H", "W"] and sizes["ab"] == ["N", 2, "H/2", "W/2"]
    if isinstance(net, FilmNet):
        assert sizes["logits"] == ["N", NUM_BINS, "H/4", "W/4"]
        centers = json.loads(metadata["filmcolor.centers"])
        np.testing.assert_array_equal(np.float32(centers), net.centers.numpy())


@pytest.mark.parametrize("name", NETS)
def test_float16_halves_the_file_and_keeps_saved_weights(name: str, files: Files) -> None:
    assert files[name, True].stat().st_size < 0.53 * files[name, False].stat().st_size
    nets = [OnnxNet.open(files[name, is_half], "cpu", 1) for is_half in (False, True)]
    full, half = (Predictor(net, surfaces=0.0).predict(pictures(1, 64, 96)) for net in nets)
    np.testing.assert_allclose(full, half, atol=1e-3)


def test_weights_that_float16_cannot_hold_are_an_error(tmp_path: Path) -> None:
    net = ColorNet()
    torch.nn.init.constant_(net.upsample[0].weight, 1e6)
    with pytest.raises(WeightsError, match="more range than float16 has; leave out --half"):
        export_onnx(net, tmp_path / "net.onnx", is_half=True)
    assert list(tmp_path.iterdir()) == []


def test_an_export_changes_nothing_of_the_network(tmp_path: Path) -> None:
    net = ColorNet().train()
    before = deepcopy(net.state_dict())
    export_onnx(net, tmp_path / "new folder" / "net.onnx")
    assert net.training
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0.0, atol=0.0)


# ---------------------------------------------------------------- errors


def test_broken_networks_are_not_written(tmp_path: Path) -> None:
    net = ColorNet()
    torch.nn.init.constant_(net.upsample[0].bias, float("nan"))
    with pytest.raises(WeightsError, match="not a number: its weights are broken"):
        export_onnx(net, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SettingsError, match=r"net\.onnx needs .* pip install 'filmcolor\[onnx\]'"):
        export_onnx(ColorNet(), tmp_path / "net.onnx")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "net.onnx"
    path.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="the disk is full: make room"):
        export_onnx(ColorNet(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filmcolor.kind": "ddcolor"}, r"changed\.onnx is no network of filmcolor's"),
        ({"filmcolor.contract": "2"}, r"changed\.onnx is of another version"),
        ({"filmcolor.centers": "[[0, "}, r"changed\.onnx has lost its list of colours"),
        ({"filmcolor.centers": "[[0, 0]]"}, r"changed\.onnx has lost its list of colours"),
        ({}, r"changed\.onnx lacks tensors"),
    ],
)
def test_files_that_break_the_contract_are_refused(
    files: Files, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    model = onnx.load(files["film", True])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, metadata | changes)
    if not changes:
        kept = [output for output in model.graph.output if output.name != "layer0"]
        del model.graph.output[:]
        model.graph.output.extend(kept)
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=message):
        OnnxNet.open(path, "cpu")


# ---------------------------------------------------------------- the command


def test_the_command_exports_weights(
    typed: Callable[..., int],
    weights_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, path = tmp_path / "mine.safetensors", tmp_path / "net.onnx"
    shutil.copy(weights_path, source)
    assert typed(source, "-o", path) == 0
    printed = f"{path}: ColorNet, 0.95 M parameters, float32, {path.stat().st_size / 1e6:.1f} MB\n"
    assert capsys.readouterr().out == printed
    metadata = OnnxNet.open(path, "cpu").session.metadata
    assert metadata["filmcolor.weights"] == "mine.safetensors"
    assert metadata["filmcolor.weights_sha256"] == weights_store.sha256(source)
    assert "filmcolor.license" not in metadata  # not known
    assert typed(source, "-o", path, "--half") == 1
    assert capsys.readouterr().err.endswith("exists; choose another name or add --force\n")
    assert typed(source, "-o", path, "--half", "--force", "-q") == 0
    assert capsys.readouterr().out == ""
    assert OnnxNet.open(path, "cpu").session.metadata["filmcolor.weights_dtype"] == "float16"


def test_the_tutorials_checkpoint_and_shipped_weights_are_exported(
    typed: Callable[..., int], weights_path: Path, tmp_path: Path
) -> None:
    checkpoint, path = tmp_path / "tutorial.pth", tmp_path / "net.onnx"
    torch.save(weights_store.load_state(weights_path), checkpoint)
    assert typed(checkpoint, "-o", path) == 0
    assert typed("tutorial", "-o", path, "--force") == 0
    metadata = OnnxNet.open(path, "cpu").session.metadata
    assert metadata["filmcolor.weights_sha256"] == weights_store.card("tutorial")["sha256"]
    assert metadata["filmcolor.license"] == weights_store.LICENSES["tutorial"]


def test_shipped_weights_have_a_licence() -> None:
    assert set(weights_store.LICENSES) == set(weights_store.shipped())


@pytest.mark.parametrize(
    ("weights", "output", "message"),
    [
        ("missing.pth", "net.onnx", "no weights"),
        ("broken.safetensors", "net.onnx", "broken.safetensors is broken"),
        ("broken.safetensors", "net.pth", "name a file that ends in .onnx"),
        ("broken.safetensors", "folder.onnx", "is a folder; name a file in it"),
        ("tutorial", "broken.safetensors/net.onnx", "cannot be made"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    typed: Callable[..., int],
    tmp_path: Path,
    weights: str,
    output: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x08")
    (tmp_path / "folder.onnx").mkdir()
    name = weights if weights in weights_store.shipped() else tmp_path / weights
    assert typed(name, "-o", tmp_path / output) == 1
    error = capsys.readouterr().err
    assert error.startswith("filmcolor: ") and error.count("\n") == 1
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.safetensors", "folder.onnx"]
