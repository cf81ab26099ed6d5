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
from filmcolor.network.model import ColorNet, ContextNet
from filmcolor.network.predictor import Predictor
from filmcolor.train import trainer as trainer_module
from filmcolor.train.data.dataset import find_stills, split_stills
from filmcolor.train.fit import fit
from filmcolor.train.initialization import Initialization
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
    validate_every=4,
    learning_rate=1e-3,
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


@pytest.mark.parametrize("loss", ["mse", "huber", "bins"])
@pytest.mark.parametrize("network", ["tutorial", "film"])
def test_every_loss_teaches_every_network(
    network: str, loss: str, stills: Path, tmp_path: Path
) -> None:
    chosen = replace(SMALL, network=network, loss=loss, num_pictures=8, sizes=(32, 64))
    net = weights_store.load(train(stills, tmp_path / "run", chosen))
    assert isinstance(net, ContextNet) == (network == "film")
    assert (net.bins is not None) == (loss == "bins")
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


def test_frozen_layers_are_not_trained(stills: Path, tmp_path: Path) -> None:
    chosen = replace(SMALL, network="film", num_pictures=16, is_start_frozen=True)
    weights = tmp_path / "begin.safetensors"
    weights_store.save(ContextNet().state_dict(), weights)
    trainer = Trainer(chosen, tmp_path, split_stills(stills), Initialization(weights))
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    for pictures in trainer.batches(num_workers=0):
        trainer.train_step(pictures)
    moved = {k for k, v in trainer.net.state_dict().items() if not torch.equal(v, before[k])}
    frozen = r"midlevel_resnet\.[0-4]\.|context\.[0-6]\."
    assert not [k for k in moved if re.match(frozen, k)]
    assert {"midlevel_resnet.5.0.conv1.weight", "context.7.conv.0.0.weight"} <= moved


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
    assert (chosen.network, chosen.loss, chosen.sizes) == ("tutorial", "mse", (224,))
    assert (chosen.learning_rate, chosen.weight_decay, chosen.schedule) == (1e-2, 0.0, "constant")
    assert (chosen.old_stock, chosen.consistency, chosen.ema_decay) == (0.0, 0.0, 0.0)
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
        ({"batch_size": 0}, "1 or more"),
        ({"network": "vgg"}, "tutorial or film"),
        ({"loss": "l7"}, "mse, huber, bins"),
        ({"schedule": "never"}, "constant or one-cycle"),
        ({"old_stock": 1.5}, "0 to 1"),
        ({"consistency": -1.0}, "0 or more"),
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
        train(stills, tmp_path / "run", chosen, initialization=Initialization(weights_path))
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


def test_training_starts_from_given_weights(
    weights_path: Path, stills: Path, tmp_path: Path
) -> None:
    expected = weights_store.load(weights_path).state_dict()
    for network in ("tutorial", "film"):
        chosen = replace(SMALL, network=network)
        trainer = Trainer(chosen, tmp_path, split_stills(stills), Initialization(str(weights_path)))
        state = trainer.net.state_dict()
        assert all(torch.equal(state[k], v) for k, v in expected.items())


def test_the_film_networks_weights_do_not_fit_the_tutorials(stills: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.safetensors"
    weights_store.save(ContextNet().state_dict(), path)
    with pytest.raises(SettingsError, match="choose --network film"):
        Trainer(SMALL, tmp_path, split_stills(stills), Initialization(path))


def test_weights_that_do_not_fit_the_recipe_are_refused(stills: Path, tmp_path: Path) -> None:
    split, path = split_stills(stills), tmp_path / "bins.safetensors"
    weights_store.save(ColorNet(has_bins=True).state_dict(), path)
    with pytest.raises(SettingsError, match="train it with --loss bins"):
        Trainer(SMALL, tmp_path, split, Initialization(path))
    with pytest.raises(SettingsError, match="frozen layers need initial weights"):
        Trainer(replace(SMALL, is_start_frozen=True), tmp_path, split)


def test_a_random_context_branch_learns_too(stills: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(SMALL, network="film"), tmp_path, split_stills(stills))
    torch.nn.init.normal_(trainer.net.context_out.weight, 0.0, 0.05)
    (pictures, *_) = trainer.batches(num_workers=0)
    trainer.train_step(pictures)
    norms = {
        part: sum(p.grad.norm().item() for n, p in trainer.net.named_parameters() if part in n)
        for part in ("context.", "midlevel_resnet.")
    }
    assert norms["context."] > 0.02 * norms["midlevel_resnet."]


def test_only_the_film_network_has_a_context_branch(stills: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"")
    with pytest.raises(SettingsError, match="only the film network"):
        Trainer(
            SMALL, tmp_path, split_stills(stills), Initialization(mobilenet=tmp_path / "a.tflite")
        )


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
