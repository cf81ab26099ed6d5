"""Training: learning, resuming, initial weights, several processes, and errors."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stills import colorful, save_stills

import filmcolor.weights as weights_store
from filmcolor.errors import InputError, OutputError, SettingsError, WeightsError
from filmcolor.network.model import ColorNet, FilmNet
from filmcolor.network.predictor import Predictor
from filmcolor.train import trainer as trainer_module
from filmcolor.train.data.dataset import find_stills, split_stills
from filmcolor.train.fit import fit
from filmcolor.train.initialization import network_name
from filmcolor.train.losses import bin_centers
from filmcolor.train.recipe import RECIPES, Recipe, get_recipe
from filmcolor.train.trainer import Trainer
from filmcolor.train.validation import Score, SupportsPredict, validate
from filmcolor.types.frames import FloatPlane, Gray

pytestmark = pytest.mark.slow

SMALL = Recipe(
    network="tutorial",
    num_pictures=48,
    batch_size=4,
    sizes=(32,),
    rarity=0.25,
    consistency=1.0,
    validate_every=4,
    learning_rate=1e-3,
    encoder_rate=1.0,
)
SCRIPT = Path(__file__).parent / "train_together.py"


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    return save_stills(tmp_path / "stills", 8)


@pytest.fixture(autouse=True)
def _few_validation_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate with small pictures, because the loop is tested and not the network."""

    def small(net: SupportsPredict, paths: list[Path], is_flip_averaged: bool) -> Score:
        return validate(net, paths, 48, is_flip_averaged)

    monkeypatch.setattr(trainer_module, "validate", small)


def train(stills: Path, folder: Path, chosen: Recipe = SMALL, **options: object) -> Path:
    return fit(stills, folder, chosen, num_workers=0, device="cpu", **options)


def assert_same(first: Path, second: Path) -> None:
    states = [weights_store.load_state(path) for path in (first, second)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# ---------------------------------------------------------------- learning


def test_training_learns_and_keeps_its_best(stills: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    longer = replace(
        SMALL, num_pictures=160, sizes=(48,), ema_decay=0.8, old_stock=0.0, learning_rate=5e-3
    )
    path = train(stills, tmp_path / "run", longer, progress=lambda step, *_: steps.append(step))
    assert steps == list(range(1, 41))
    lines = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    scores = [json.loads(line) for line in lines]
    assert [s["step"] for s in scores] == list(range(4, 41, 4))
    best = min(s["loss"] for s in scores)
    held_back = split_stills(stills).validation
    again = validate(Predictor(weights_store.load(path), "cpu"), held_back, 48, True)
    assert again.loss == pytest.approx(best, rel=0.02)
    assert again.ab_rmse < again.grey_ab_rmse
    assert all(0.0 <= s["busy"] <= 1.0 and s["pictures_per_second"] > 0.0 for s in scores)


def test_the_best_weights_have_a_card(stills: Path, tmp_path: Path) -> None:
    path = train(stills, tmp_path / "run", replace(SMALL, num_pictures=32))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == weights_store.sha256(path)
    assert (card["num_steps"], card["num_processes"], card["begun_from"]) == (8, 1, {})
    assert card["recipe"]["network"] == "tutorial"
    assert card["data"] == {"num_pictures": 7, "num_held_back": 1, "pictures": {".": 7}}
    assert card["learning_seconds"] >= 0
    scores = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    best = min((json.loads(s) for s in scores), key=lambda s: s["loss"])
    assert card["validation"]["ab_rmse"] == best["ab_rmse"]


def test_a_run_leaves_its_records(stills: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(stills, folder)
    assert {"best.safetensors", "checkpoint.pt", "scores.jsonl", "split.csv"} <= {
        p.name for p in folder.iterdir()
    }
    with Image.open(folder / "curves.png") as curves:
        assert curves.size[0] > 600
    with Image.open(folder / "samples" / "step-0000012.png") as samples:
        assert samples.size[0] > 3 * 160
    assert list((folder / "tensorboard").glob("events.*"))
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize("network", ["tutorial", "film"])
def test_every_network_learns(network: str, stills: Path, tmp_path: Path) -> None:
    chosen = replace(
        SMALL, network=network, num_pictures=120, sizes=(32, 64), old_stock=0.0, learning_rate=3e-3
    )
    losses: list[float] = []
    path = train(
        stills, tmp_path / "run", chosen, progress=lambda *values: losses.append(values[2])
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    net = weights_store.load(path)
    assert isinstance(net, FilmNet) == (network == "film")
    assert torch.isfinite(net(torch.rand(1, 1, 40, 48))).all()


def test_the_same_seed_is_the_same_training_with_any_workers(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=8)
    first = train(stills, tmp_path / "a", chosen)
    second = fit(stills, tmp_path / "b", chosen, num_workers=2, device="cpu")
    assert_same(first, second)
    other = weights_store.load_state(train(stills, tmp_path / "c", replace(chosen, seed=1)))
    state = weights_store.load_state(first)
    assert any(not torch.equal(state[key], other[key]) for key in state)


def test_the_average_forgets_the_first_steps(stills: Path, tmp_path: Path) -> None:
    trainer = Trainer(SMALL, tmp_path, split_stills(stills))
    with torch.no_grad():
        for value in range(1, 200):
            for parameter in trainer.net.parameters():
                parameter.fill_(float(value > 20))
            trainer.average.update_parameters(trainer.net)
    means = [p.mean().item() for p in trainer.average.module.parameters()]
    assert min(means) > 0.95


@pytest.mark.parametrize(
    ("network", "encoder"), [("tutorial", "midlevel_resnet."), ("film", "encoder.")]
)
def test_an_encoder_without_a_rate_is_not_trained(
    network: str, encoder: str, stills: Path, tmp_path: Path
) -> None:
    chosen = replace(SMALL, network=network, num_pictures=16, encoder_rate=0.0)
    weights = tmp_path / "begin.safetensors"
    weights_store.save((FilmNet() if network == "film" else ColorNet()).state_dict(), weights)
    trainer = Trainer(chosen, tmp_path, split_stills(stills), weights)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    for pictures in trainer.batches(num_workers=0):
        trainer.train_step(pictures)
    moved = {k for k, v in trainer.net.state_dict().items() if not torch.equal(v, before[k])}
    assert not [k for k in moved if k.startswith(encoder)]
    trainable = {name for name, _ in trainer.net.named_parameters() if not name.startswith(encoder)}
    assert trainable <= moved
    assert all(
        (p.grad is None) == name.startswith(encoder) for name, p in trainer.net.named_parameters()
    )


def test_the_encoder_has_a_learning_rate_of_its_own(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, network="film", schedule="constant", encoder_rate=0.25)
    trainer = Trainer(chosen, tmp_path, split_stills(stills))
    decoder, encoder = trainer.optimizer.param_groups
    assert encoder["lr"] == 0.25 * decoder["lr"]
    num_parameters = sum(p.numel() for p in trainer.net.encoder.parameters())
    assert sum(p.numel() for p in encoder["params"]) == num_parameters
    num_trained = sum(p.numel() for group in (decoder, encoder) for p in group["params"])
    assert num_trained == sum(p.numel() for p in trainer.net.parameters())


def test_training_stops_early_without_improvement(
    stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    score = validate(Grey(), find_stills(stills), 48)
    monkeypatch.setattr(trainer_module, "validate", lambda *_, **__: score)
    patient = replace(SMALL, patience=1, validate_every=2)
    train(stills, tmp_path / "run", patient, progress=lambda step, *_: steps.append(step))
    assert steps[-1] == 4  # the first validation is the best, the second no better
    train(stills, tmp_path / "run", patient, progress=lambda step, *_: steps.append(step))
    assert steps[-1] == 4  # and it is not trained again


# ---------------------------------------------------------------- the tutorial's recipe


def test_the_tutorials_recipe_is_the_tutorials(stills: Path, tmp_path: Path) -> None:
    chosen = get_recipe("tutorial", 600)
    assert (chosen.network, chosen.batch_size, chosen.sizes) == ("tutorial", 64, (224,))
    assert (chosen.learning_rate, chosen.weight_decay, chosen.schedule) == (1e-2, 0.0, "constant")
    assert (chosen.old_stock, chosen.consistency, chosen.ema_decay) == (0.0, 0.0, 0.0)
    assert (chosen.encoder_rate, chosen.smallest_crop) == (1.0, 0.08)
    assert chosen.num_pictures == 100 * 9 * 64  # a hundred epochs of nine batches
    small = replace(chosen, num_pictures=14, batch_size=7, sizes=(32,))
    train(stills, tmp_path / "run", small)
    (first, *_) = files = sorted((tmp_path / "run").glob("*.pth"))
    match = re.fullmatch(r"model-epoch-(\d+)-losses-(\d+\.\d{3})\.pth", first.name)
    assert match and int(match[1]) >= 1
    scores = [json.loads(s) for s in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    assert [s["step"] for s in scores] == [1, 2]  # once an epoch of seven pictures
    assert get_recipe("tutorial", 100).num_pictures // 64 == 100 * 2  # epochs of two batches
    assert f"{min(s['loss'] for s in scores):.3f}" in files[-1].name + first.name
    last = weights_store.load(files[-1])
    assert last(torch.rand(1, 1, 32, 32)).shape == (1, 2, 32, 32)
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


def test_recipes_by_name() -> None:
    assert get_recipe("film", 10) == Recipe()
    assert get_recipe("adapt", 10, num_pictures=64).num_pictures == 64
    with pytest.raises(SettingsError, match="one of film, tutorial, adapt"):
        get_recipe("sepia", 10)
    assert all(isinstance(r, Recipe) for r in RECIPES.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (100,)}, "multiple of 8"),
        ({"sizes": ()}, "at least one size"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"num_pictures": 3, "batch_size": 4}, "at least one batch"),
        ({"batch_size": 1}, "2 or more"),
        ({"network": "vgg"}, "tutorial or film"),
        ({"schedule": "never"}, "constant or one-cycle"),
        ({"old_stock": 1.5}, "0 to 1"),
        ({"consistency": -1.0}, "0 or more"),
        ({"encoder_rate": -0.1}, "encoder_rate -0.1 must be 0 or more"),
        ({"seed": -1}, "seed -1 must be 0 to"),
    ],
)
def test_recipes_without_a_meaning(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe(**changes)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("network", ["tutorial", "film"])
def test_a_killed_run_resumes_to_the_same_end(network: str, stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, network=network, num_pictures=32, validate_every=3)

    def stop(step: int, *_: object) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stills, tmp_path / "killed", chosen, progress=stop)
    steps: list[int] = []
    killed = train(stills, tmp_path / "killed", chosen, progress=lambda n, *_: steps.append(n))
    assert steps == list(range(4, 9))  # from the last checkpoint
    assert_same(killed, train(stills, tmp_path / "uninterrupted", chosen))
    ends = [torch.load(tmp_path / f / "checkpoint.pt") for f in ("killed", "uninterrupted")]
    assert all(torch.equal(ends[0]["net"][k], v) for k, v in ends[1]["net"].items())


def test_a_finished_run_is_not_run_again(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=8)
    path = train(stills, tmp_path / "run", chosen)
    before = path.read_bytes()
    steps: list[int] = []
    assert train(stills, tmp_path / "run", chosen, progress=lambda n, *_: steps.append(n)) == path
    assert not steps
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_recipe_or_of_other_data_is_refused(
    stills: Path, tmp_path: Path
) -> None:
    chosen = replace(SMALL, num_pictures=8)
    train(stills, tmp_path / "run", chosen)
    with pytest.raises(SettingsError, match=r"another recipe \(rarity, seed differ\)"):
        train(stills, tmp_path / "run", replace(chosen, seed=2, rarity=0.5))
    colorful(99).save(stills / "new.png")
    with pytest.raises(SettingsError, match="of other data"):
        train(stills, tmp_path / "run", chosen)


def test_a_broken_checkpoint_is_an_error(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=8)
    train(stills, tmp_path / "run", chosen)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is broken; delete it"):
        train(stills, tmp_path / "run", chosen)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(SMALL, tmp_path, split_stills(stills))
    trainer.save()
    before = trainer.checkpoint.read_bytes()
    save = torch.save

    def full(state: object, path: Path) -> None:
        save(state, path)
        raise RuntimeError("PytorchStreamWriter failed writing file: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="the previous checkpoint is whole, and the same command"):
        trainer.save()
    assert trainer.checkpoint.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["checkpoint.pt"]


def test_scores_after_the_last_checkpoint_are_dropped(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=32, validate_every=2)

    def stop(step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stills, tmp_path / "run", chosen, progress=stop)
    scores = tmp_path / "run" / "scores.jsonl"
    scores.write_text(scores.read_text() + '{"step": 4, "loss": 0.1}\n{"step": 6, "lo')
    train(stills, tmp_path / "run", chosen)
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert all("busy" in line for line in lines)


def test_a_diverging_run_is_an_error(stills: Path, tmp_path: Path) -> None:
    wild = replace(SMALL, learning_rate=1e30)
    with pytest.raises(SettingsError, match=r"not finite at step \d+: lower --learning-rate"):
        train(stills, tmp_path / "run", wild)


def test_a_refused_run_changes_nothing(stills: Path, tmp_path: Path, weights_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=8)
    train(stills, tmp_path / "run", chosen)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.is_file()}
    with pytest.raises(SettingsError, match=r"another recipe \(begun_from differ\)"):
        train(stills, tmp_path / "run", chosen, initial_weights=weights_path)
    colorful(99).save(stills / "new.png")
    with pytest.raises(SettingsError, match="of other data"):
        train(stills, tmp_path / "run", chosen)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.is_file()} == before


@pytest.mark.parametrize("num_steps", [1, 2, 3, 9, 10, 19])
def test_any_number_of_steps_has_a_schedule(num_steps: int, stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, num_pictures=4 * num_steps)
    trainer = Trainer(chosen, tmp_path, split_stills(stills))
    rates = []
    for _ in range(num_steps):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.schedule.step()
    assert all(0.0 < rate <= chosen.learning_rate for rate in rates)


# ---------------------------------------------------------------- initial weights


@pytest.fixture
def film_path(tmp_path: Path) -> Path:
    """Random weights of the film network."""
    path = tmp_path / "begin.safetensors"
    net = FilmNet()
    net.centers.copy_(bin_centers())
    weights_store.save(net.state_dict(), path)
    return path


@pytest.fixture
def encoder_path(film_path: Path, tmp_path: Path) -> Path:
    """The encoder of these weights, alone."""
    path = tmp_path / "encoder.safetensors"
    state = weights_store.load_state(film_path)
    weights_store.save({k: v for k, v in state.items() if k.startswith("encoder.")}, path)
    return path


@pytest.mark.parametrize("network", ["tutorial", "film"])
def test_training_starts_from_given_weights(
    network: str, weights_path: Path, film_path: Path, stills: Path, tmp_path: Path
) -> None:
    path = film_path if network == "film" else weights_path
    expected = weights_store.load(path).state_dict()
    chosen = replace(SMALL, network=network)
    state = Trainer(chosen, tmp_path, split_stills(stills), str(path)).net.state_dict()
    assert all(torch.equal(state[k], v) for k, v in expected.items())


def test_training_starts_from_an_encoder_alone(
    encoder_path: Path, stills: Path, tmp_path: Path
) -> None:
    expected = weights_store.load_state(encoder_path)
    chosen = replace(SMALL, network="film", num_pictures=8, encoder_rate=0.0)
    trainer = Trainer(chosen, tmp_path, split_stills(stills), encoder_path)
    state = trainer.net.state_dict()
    assert all(torch.equal(state[k], v) for k, v in expected.items())
    assert torch.equal(trainer.net.centers, bin_centers())
    path = train(stills, tmp_path / "run", chosen, initial_weights=encoder_path)
    state = weights_store.load_state(path)
    assert all(torch.equal(state[k], v) for k, v in expected.items())


def test_another_encoder_is_refused(encoder_path: Path, stills: Path, tmp_path: Path) -> None:
    chosen, split = replace(SMALL, network="film"), split_stills(stills)
    state = weights_store.load_state(encoder_path)
    name = sorted(state)[0]
    for changed in ({k: v for k, v in state.items() if k != name}, state | {name: torch.zeros(3)}):
        weights_store.save(changed, encoder_path)
        with pytest.raises(WeightsError, match=r"encoder\.safetensors holds another encoder"):
            Trainer(chosen, tmp_path, split, encoder_path)


def test_weights_of_neither_network_are_refused(stills: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for state in ({"conv.weight": torch.zeros(3)}, {}):
        weights_store.save(state, path)
        with pytest.raises(WeightsError, match="another network's weights"):
            Trainer(replace(SMALL, network="film"), tmp_path, split_stills(stills), path)


def test_the_weights_of_one_network_do_not_fit_the_other(
    weights_path: Path, film_path: Path, encoder_path: Path, stills: Path, tmp_path: Path
) -> None:
    split = split_stills(stills)
    for path in (film_path, encoder_path):
        with pytest.raises(SettingsError, match=r"film network's weights.*choose --network film"):
            Trainer(SMALL, tmp_path, split, path)
    with pytest.raises(SettingsError, match=r"tutorial network's.*choose --network tutorial"):
        Trainer(replace(SMALL, network="film"), tmp_path, split, weights_path)


def test_an_encoder_that_is_not_trained_needs_initial_weights(stills: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs initial weights: give --init WEIGHTS"):
        Trainer(replace(SMALL, encoder_rate=0.0), tmp_path, split_stills(stills))


@pytest.mark.parametrize("network", ["tutorial", "film"])
def test_weights_of_both_networks_can_be_adapted(
    network: str, weights_path: Path, film_path: Path, stills: Path, tmp_path: Path
) -> None:
    path = film_path if network == "film" else weights_path
    changes = {"num_pictures": 8, "batch_size": 4, "sizes": (32,), "validate_every": 2}
    chosen = get_recipe("adapt", 8, network=network_name(path), **changes)
    assert chosen.network == network
    adapted = weights_store.load(train(stills, tmp_path / "run", chosen, initial_weights=path))
    before, after = weights_store.load(path).state_dict(), adapted.state_dict()
    moved = [k for k in before if not torch.equal(before[k], after[k])]
    assert moved
    assert not [k for k in moved if k.startswith(("encoder.", "midlevel_resnet."))]


# ---------------------------------------------------------------- data


def test_unreadable_pictures_are_passed_over_and_named(
    stills: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = (stills / "1.png").read_bytes()
    (stills / "1.png").write_bytes(content[: len(content) // 2])
    caplog.set_level("WARNING")
    train(stills, tmp_path / "run", replace(SMALL, num_pictures=16))
    messages = [r.getMessage() for r in caplog.records]
    assert messages == [
        f"{stills / '1.png'} cannot be read; passed over",
        "1 pictures could not be read",
    ]


def test_grey_pictures_teach_no_colour(tmp_path: Path) -> None:
    for n in range(4):
        picture = colorful(n).convert("L")
        (tmp_path / "grey").mkdir(exist_ok=True)
        picture.save(tmp_path / "grey" / f"{n}.png")
    with pytest.raises(InputError, match="all of 3 sampled pictures are grey"):
        train(tmp_path / "grey", tmp_path / "run")


# ---------------------------------------------------------------- validation


class Grey:
    """A network that predicts no colour."""

    def predict(self, luma: Gray) -> FloatPlane:
        return np.zeros((len(luma), luma.shape[1] // 2, luma.shape[2] // 2, 2), np.float32)


def test_grey_scores_as_grey(stills: Path) -> None:
    score = validate(Grey(), find_stills(stills), 48)
    assert score.ab_rmse == pytest.approx(score.grey_ab_rmse, rel=1e-5)
    assert score.mean_chroma == pytest.approx(0.0, abs=1e-3)
    assert score.true_mean_chroma > 10.0
    assert score.loss == pytest.approx((score.ab_rmse / 255) ** 2, rel=1e-4)
    assert score.percent_under_grey == pytest.approx(0.0, abs=1e-3)


def test_unusable_validation_pictures_are_an_error(stills: Path, tmp_path: Path) -> None:
    (stills / "0.png").write_bytes(b"broken")
    score = validate(Grey(), find_stills(stills), 48)
    assert score.unreadable == (str(stills / "0.png"),)
    with pytest.raises(InputError, match="none of the validation pictures"):
        validate(Grey(), [stills / "0.png"], 48)
    colorful(1).convert("L").save(tmp_path / "grey.png")
    with pytest.raises(InputError, match="validation pictures are grey"):
        validate(Grey(), [tmp_path / "grey.png"], 48)


class Halves(Grey):
    """A network that predicts red on the left of every picture."""

    def predict(self, luma: Gray) -> FloatPlane:
        ab = super().predict(luma)
        ab[:, :, : ab.shape[2] // 2, 0] = 50.0
        return ab


def test_flip_averaging_is_symmetric(stills: Path) -> None:
    paths = find_stills(stills)
    plain, even = (validate(Halves(), paths, 48, flip) for flip in (False, True))
    assert plain.mean_chroma == pytest.approx(25.0, rel=1e-3)
    assert even.mean_chroma == pytest.approx(25.0, rel=1e-3)
    assert even.loss < plain.loss


# ---------------------------------------------------------------- without PyAV

# `python -m filmcolor` where `import av` fails
WITHOUT_AV = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "av":
            raise ImportError("PyAV is not installed here")

sys.meta_path.insert(0, Blocker())
runpy.run_module("filmcolor", run_name="__main__", alter_sys=True)
"""


def run_without_av(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT_AV, *map(str, args)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_films_are_not_read_without_pyav(stills: Path) -> None:
    """The import blocker of the next test works."""
    run = run_without_av("probe", stills / "0.png")
    assert run.returncode != 0
    assert "PyAV is not installed here" in run.stderr


@pytest.mark.parametrize("recipe_name", ["film", "tutorial"])
def test_the_command_trains_and_evaluates_without_pyav(
    recipe_name: str, stills: Path, tmp_path: Path
) -> None:
    options = ["--num-pictures", 6, "--batch-size", 2, "--size", 32, "--num-workers", 0]
    options += ["--encoder-rate", 1]
    trained = run_without_av(
        "train",
        stills,
        "-o",
        tmp_path / "run",
        "--recipe",
        recipe_name,
        *options,
        "--device",
        "cpu",
    )
    assert trained.returncode == 0, trained.stderr
    weights = tmp_path / "run" / "best.safetensors"
    assert trained.stdout == f"{weights}\n"
    lines = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 3
    evaluated = run_without_av(
        "evaluate", weights, "--data", stills, "--size", 32, "--device", "cpu", "--json", "-q"
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["num_pictures"] == 8


# ---------------------------------------------------------------- several processes


def test_two_processes_end_with_the_same_weights(stills: Path, tmp_path: Path) -> None:
    launcher = "torch.distributed.run"
    command = [sys.executable, "-m", launcher, "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, str(SCRIPT), str(stills), str(tmp_path / "run")],
        check=True,
        env=environment,
        timeout=120,
        capture_output=True,
    )
    states = [torch.load(tmp_path / "run" / f"rank-{n}.pt") for n in range(2)]
    assert states[0]["net"].keys() == states[1]["net"].keys()
    for part in ("net", "average"):
        for key, value in states[0][part].items():
            assert torch.equal(value, states[1][part][key]), key
    assert states[0]["means"] != states[1]["means"]  # each has its own part of the data
    assert weights_store.load(tmp_path / "run" / "best.safetensors")
