"""Encoders: exported under their names, read again, and probed with labelled pictures."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from stills import save_stills
from torchvision.models import resnet18

import filmcolor.weights as weights_store
from filmcolor.cli.main import main
from filmcolor.errors import (
    FilmcolorError,
    InputError,
    OutputError,
    SettingsError,
    WeightsError,
)
from filmcolor.network.model import FilmNet
from filmcolor.train.encoders import EFFICIENTNET, RESNET, load_encoder, random_encoder
from filmcolor.train.evaluation import probe as probing
from filmcolor.train.evaluation.probe import CHANCE, RANDOM, Probe, probe_encoders
from filmcolor.train.export import export_encoder

SIZE = 32  # pixels: both sides of the pictures, so nothing is resized
LUMA = torch.rand(2, 1, 64, 48, generator=torch.Generator().manual_seed(0))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's

Draw = Callable[[np.random.Generator], np.ndarray]  # luma (SIZE, SIZE) in 0..1


@pytest.fixture(scope="module")
def film_path(film_net: FilmNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.safetensors"
    weights_store.save(film_net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """torchvision's ResNet-18 with random weights."""
    torch.manual_seed(1)
    return resnet18().eval()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Type a command, and return its exit code."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["filmcolor", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0)

    return run


def layer2(net: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return the outputs (N, 128, H/8, W/8) of layer 2 of torchvision's ResNet-18."""
    with torch.no_grad():
        first = net.maxpool(net.relu(net.bn1(net.conv1(pictures))))
        return net.layer2(net.layer1(first))


# ---------------------------------------------------------------- export


def test_torchvisions_resnet_loads_an_exported_trunk(weights_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "trunk.safetensors"
    trunk = weights_store.load(weights_path).midlevel_resnet
    num_parameters = export_encoder(weights_path, path)
    assert num_parameters == sum(p.numel() for p in trunk.parameters())
    state = load_file(path)
    assert all(v.dtype == torch.float16 for v in state.values() if v.is_floating_point())
    red, green, blue = state["conv1.weight"].unbind(dim=1)
    assert torch.equal(red, green) and torch.equal(red, blue)
    net = resnet18().eval()
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.partition(".")[0] for name in missing} == {"layer3", "layer4", "fc"}
    with torch.no_grad():
        expected = trunk(LUMA)
    features = layer2(net, LUMA.expand(-1, 3, -1, -1))
    torch.testing.assert_close(features, expected, rtol=0.0, atol=0.01 * float(expected.max()))


def test_the_film_networks_encoder_keeps_its_names(film_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    export_encoder(film_path, path)
    state, whole = load_file(path), load_file(film_path)
    assert set(state) == {name for name in whole if name.startswith("encoder.")}
    assert all(torch.equal(tensor, whole[name]) for name, tensor in state.items())


def test_an_export_that_cannot_be_is_refused(
    weights_path: Path, film_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "encoder.safetensors"
    export_encoder(film_path, path)
    before = path.read_bytes()

    def refused(error: type[FilmcolorError], match: str, weights: object, output: Path) -> None:
        with pytest.raises(error, match=match):
            export_encoder(str(weights), output, force=output != path)

    refused(OutputError, r"encoder\.safetensors exists; .* --force", weights_path, path)
    refused(OutputError, r"name a file that ends in \.safetensors", film_path, tmp_path / "e.pth")
    refused(OutputError, "the whole network's weights; name another file", film_path, film_path)
    refused(WeightsError, "no weights 'nobody'", "nobody", tmp_path / "other.safetensors")
    refused(WeightsError, "another network's weights", path, tmp_path / "other.safetensors")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    export_encoder(weights_path, path, force=True)
    assert path.read_bytes() != before


def test_the_command_writes_an_encoder(
    typed: Callable[..., int],
    weights_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "trunk.safetensors"
    assert typed("export-encoder", weights_path, "-o", path) == 0
    assert capsys.readouterr().out == f"{path}: 0.68 M parameters\n"
    assert "conv1.weight" in load_file(path)
    assert typed("export-encoder", weights_path, "-o", path) == 1
    assert "--force" in capsys.readouterr().err
    assert typed("export-encoder", weights_path, "-o", path, "--force", "-q") == 0
    assert capsys.readouterr().out == ""


def train_words(stills: Path, output: Path, *words: object) -> list[object]:
    """Return a training of two steps."""
    small = ["--size", 32, "--batch-size", 4, "--num-pictures", 8, "--num-workers", 0, "-q"]
    return ["train", stills, "-o", output, *small, "--device", "cpu", *words]


@pytest.mark.slow
def test_training_exports_an_encoder_that_training_starts_from(
    typed: Callable[..., int], film_path: Path, tmp_path: Path
) -> None:
    stills, path = save_stills(tmp_path / "stills", 10), tmp_path / "encoder.safetensors"
    first = train_words(stills, tmp_path / "first", "--encoder-rate", 1, "--export-encoder", path)
    assert typed(*first, "--init", film_path) == 0
    best = load_file(tmp_path / "first" / "best.safetensors")
    encoder = load_file(path)
    assert all(torch.equal(tensor, best[name]) for name, tensor in encoder.items())
    start = load_file(film_path)
    assert any(not torch.equal(tensor, start[name]) for name, tensor in encoder.items())
    path.unlink()
    assert typed(*first, "--init", film_path) == 0  # nothing is left to train
    assert path.exists()
    assert typed(*train_words(stills, tmp_path / "second", "--init", path)) == 0
    second = load_file(tmp_path / "second" / "best.safetensors")
    assert all(torch.equal(tensor, second[name]) for name, tensor in encoder.items())


@pytest.mark.slow
def test_training_exports_the_trunk_of_the_tutorials_network(
    typed: Callable[..., int], tmp_path: Path
) -> None:
    stills, path = save_stills(tmp_path / "stills", 10), tmp_path / "trunk.safetensors"
    words = ["--network", "tutorial", "--encoder-rate", 1, "--export-encoder", path]
    assert typed(*train_words(stills, tmp_path / "run", *words)) == 0
    assert not resnet18().load_state_dict(load_file(path), strict=False).unexpected_keys


@pytest.mark.parametrize("name", ["encoder.pth", "run/best.safetensors", "run"])
def test_training_refuses_an_export_before_the_first_step(
    typed: Callable[..., int], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    words = ["--encoder-rate", 1, "--export-encoder", tmp_path / name]
    assert typed(*train_words(save_stills(tmp_path / "s", 4), tmp_path / "run", *words)) == 1
    assert "; name " in capsys.readouterr().err
    assert not list((tmp_path / "run").iterdir())


# ---------------------------------------------------------------- encoders of files


@pytest.mark.parametrize("network", ["film", "tutorial"])
def test_an_exported_encoder_has_the_features_of_its_network(
    network: str, weights_path: Path, film_path: Path, tmp_path: Path
) -> None:
    source, path = film_path if network == "film" else weights_path, tmp_path / "e.safetensors"
    export_encoder(source, path)
    whole, alone = load_encoder(source), load_encoder(path)
    assert whole.kind == alone.kind == (EFFICIENTNET if network == "film" else RESNET)
    expected = whole(LUMA)
    # a third of the first weights is rounded once more
    tolerance = 0.0 if network == "film" else 0.01 * float(expected.abs().max())
    torch.testing.assert_close(alone(LUMA), expected, rtol=0.0, atol=tolerance)


def test_features_are_means_over_all_positions(film_net: FilmNet, film_path: Path) -> None:
    with torch.no_grad():
        *_, stride_16, stride_32 = weights_store.load(film_path).encoder(LUMA)
    expected = torch.cat([stride_16.mean(dim=(2, 3)), stride_32.mean(dim=(2, 3))], dim=1)
    torch.testing.assert_close(load_encoder(film_path)(LUMA), expected)
    assert expected.shape == (2, 120 + 352)


def test_an_imagenet_classifier_sees_normalised_pictures(
    classifier: torch.nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(classifier.state_dict(), path)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    expected = layer2(classifier, (LUMA - mean) / std).mean(dim=(2, 3))
    torch.testing.assert_close(load_encoder(path)(LUMA), expected)


def test_files_without_an_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for state in (
        {},
        {"conv.weight": torch.zeros(3)},
        {"conv1.weight": torch.zeros(3)},
        {"conv1.weight": torch.zeros(64, 3, 7, 7)},
        {"encoder.stem.0.weight": torch.zeros(3)},
        {"midlevel_resnet.0.weight": torch.zeros(64, 1, 7, 7)},
    ):
        weights_store.save(state, path)
        with pytest.raises(WeightsError, match=r"other\.safetensors holds no encoder; give"):
            load_encoder(path)


def test_loading_leaves_the_hosts_random_state(film_path: Path) -> None:
    before = torch.get_rng_state()
    load_encoder(film_path)
    random_encoder(RESNET)
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- the probe


def draw_stripes(rng: np.random.Generator) -> np.ndarray:
    columns = np.arange(SIZE) // 4 % 2 * np.ones((SIZE, 1))
    return np.roll(columns, rng.integers(8), axis=1) * 0.5 + rng.uniform(0.1, 0.3)


def draw_noise(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.9, (SIZE, SIZE))


def draw_plain(rng: np.random.Generator) -> np.ndarray:
    return np.full((SIZE, SIZE), rng.uniform(0.2, 0.8)) + rng.normal(0.0, 0.01, (SIZE, SIZE))


def save_classes(folder: Path, num: int, **classes: Draw) -> Path:
    """Write `num` pictures of each class; return the folder."""
    rng = np.random.default_rng(0)
    for name, draw in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(num):
            luma = (draw(rng).clip(0.0, 1.0) * 255.0).astype(np.uint8)
            Image.fromarray(luma).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def textures(tmp_path: Path) -> Path:
    drawn = {"noise": draw_noise, "plain": draw_plain, "stripes": draw_stripes}
    return save_classes(tmp_path / "textures", 10, **drawn)


def run(folder: Path, *weights: object, **arguments: object) -> Probe:
    return probe_encoders(folder, [str(w) for w in weights], size=SIZE, device="cpu", **arguments)


def accuracies(result: Probe) -> dict[tuple[str, str | None], float]:
    return {(row.name, row.encoder): row.accuracy for row in result.rows}


def test_textures_are_told_apart(textures: Path, weights_path: Path) -> None:
    result = run(textures, weights_path)
    assert result.classes == ("noise", "plain", "stripes")
    assert (result.num_training, result.num_held_back) == (24, 6)
    chance, *others = result.rows
    assert chance.accuracy == pytest.approx(100.0 / 3.0)
    assert chance.standard_error == pytest.approx(100.0 * (2.0 / 9.0 / 6.0) ** 0.5)
    assert [(row.accuracy, row.standard_error) for row in others] == [(100.0, 0.0)] * 2
    assert run(textures, weights_path) == result


def test_each_encoder_has_a_row_and_each_kind_a_random_one(
    weights_path: Path, film_path: Path, tmp_path: Path
) -> None:
    folder = save_classes(tmp_path / "few", 2, noise=draw_noise, plain=draw_plain)
    result = run(folder, film_path, weights_path, film_path)
    assert [(row.name, row.encoder, row.num_features) for row in result.rows] == [
        (CHANCE, None, None),
        (RANDOM, EFFICIENTNET, 472),
        (RANDOM, RESNET, 128),
        (str(film_path), EFFICIENTNET, 472),
        (str(weights_path), RESNET, 128),
    ]
    assert (result.num_training, result.num_held_back) == (2, 2)


def test_classes_that_do_not_differ_stay_near_chance(weights_path: Path, tmp_path: Path) -> None:
    folder = save_classes(tmp_path / "same", 60, first=draw_noise, second=draw_noise)
    found = accuracies(run(folder, weights_path))
    assert found[(CHANCE, None)] == 50.0
    for name in (RANDOM, str(weights_path)):
        assert abs(found[(name, RESNET)] - 50.0) < 30.0  # 24 pictures: three standard errors


def test_encoders_see_no_colours(weights_path: Path, tmp_path: Path) -> None:
    """Red and blue of one luma (ITU-R BT.709-6, item 3.2) are one picture to them."""
    rng = np.random.default_rng(0)
    for name, rgb in (("red", (107, 32, 32)), ("blue", (32, 42, 152))):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for number in range(10):
            picture = np.full((SIZE, SIZE, 3), rgb) + rng.integers(-8, 9, (SIZE, SIZE, 1))
            path = tmp_path / "colors" / name / f"{number}.png"
            Image.fromarray(picture.astype(np.uint8)).save(path)
    assert accuracies(run(tmp_path / "colors", weights_path))[(RANDOM, RESNET)] <= 75.0


def test_chance_is_the_most_frequent_class(
    textures: Path, weights_path: Path, tmp_path: Path
) -> None:
    for number in range(5):
        (textures / "plain" / f"{number}.png").unlink()
        (textures / "noise" / f"{number}.png").unlink()
    result = run(textures, weights_path)
    assert (result.num_training, result.num_held_back) == (16, 4)
    assert accuracies(result)[(CHANCE, None)] == 50.0  # stripes: 2 of 4


def test_names_alone_choose_the_pictures_held_back(tmp_path: Path) -> None:
    paths = [tmp_path / c / f"{number}.png" for c in "ab" for number in range(10)]
    classes = [path.parent.name for path in paths]
    labels = probing._label(paths, classes)
    held = [path for path, is_held in zip(paths, labels.is_held) if is_held]
    assert [path.parent.name for path in held] == ["a", "a", "b", "b"]
    assert {path.name for path in held[:2]} == {path.name for path in held[2:]}
    backwards = probing._label(paths[::-1], classes[::-1])
    assert torch.equal(backwards.is_held.flip(0), labels.is_held)
    elsewhere = [tmp_path / "elsewhere" / path.relative_to(tmp_path) for path in paths]
    moved = probing._label(elsewhere, classes)
    assert torch.equal(moved.is_held, labels.is_held)


def test_the_classifier_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(90, 7)), rng.integers(0, 3, 90)
    features[:, :3] += np.eye(3)[classes]
    weights = probing._fit(torch.from_numpy(features), torch.from_numpy(classes), 3)
    strength = 1.0 / (len(classes) * probing._DECAY)
    model = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(features, classes)
    predicted = probing._logits(torch.from_numpy(features), weights).softmax(dim=1)
    np.testing.assert_allclose(predicted, model.predict_proba(features), atol=1e-5)


def test_pictures_that_cannot_be_read_are_left_out_by_name(
    textures: Path, weights_path: Path
) -> None:
    expected = run(textures, weights_path)
    (textures / "noise" / "broken.jpg").write_bytes(b"no picture")
    (textures / "without_class.png").write_bytes((textures / "noise" / "0.png").read_bytes())
    calls: list[tuple[int, int | None]] = []
    result = run(textures, weights_path, progress=lambda *call: calls.append(call))
    assert result == replace(expected, unreadable=("noise/broken.jpg",))
    assert calls == [(n, 31) for n in range(1, 32)]


def test_folders_without_classes_are_refused(
    textures: Path, weights_path: Path, tmp_path: Path
) -> None:
    def refused(match: str, folder: Path) -> None:
        with pytest.raises(InputError, match=match):
            run(folder, weights_path)

    refused("is not a folder", tmp_path / "nothing")
    refused(r"noise needs pictures of at least 2 classes, and has 0; give each", textures / "noise")
    for path in (textures / "noise").iterdir():
        if path.name != "0.png":
            path.write_bytes(b"no picture")
    refused(r"noise needs at least 2 pictures, .* and has 1; add some", textures)
    for path in (textures / "noise").iterdir():
        path.unlink()
    for path in (textures / "plain").iterdir():
        path.unlink()
    refused("at least 2 classes, and has 1", textures)


def test_arguments_without_meaning_are_refused(textures: Path, weights_path: Path) -> None:
    for weights, arguments in (
        ([], {}),
        ([str(weights_path)], {"size": 8}),
        ([str(weights_path)], {"device": "abacus"}),
    ):
        with pytest.raises(SettingsError):
            probe_encoders(textures, weights, **arguments)
    with pytest.raises(WeightsError, match="no weights 'nobody'"):
        run(textures, "nobody")


def test_the_command_prints_a_table_or_json(
    typed: Callable[..., int],
    textures: Path,
    weights_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["probe-encoder", textures, "--weights", weights_path, "--size", SIZE, "-q"]
    words += ["--device", "cpu"]
    (textures / "noise" / "broken.jpg").write_bytes(b"no picture")
    assert typed(*words) == 0
    out, err = capsys.readouterr()
    first, heading, *rows = out.splitlines()
    assert first.endswith("3 classes, 24 pictures to learn from, 6 held back")
    assert heading.split() == ["weights", "encoder", "features", "accuracy", "error"]
    assert [row.split()[0] for row in rows] == [CHANCE, RANDOM, str(weights_path)]
    assert rows[0].split()[-4:] == ["33.3", "%", "±", "19.2"]
    assert "cannot be read: 1 of the pictures (noise/broken.jpg)" in err
    assert typed(*words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"][1]["accuracy"] == 100.0
    assert result["unreadable"] == ["noise/broken.jpg"]
    assert typed("probe-encoder", textures / "noise", "--weights", weights_path) == 1
    assert "at least 2 classes" in capsys.readouterr().err
