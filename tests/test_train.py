"""Training: pictures to tensors, the look of old stock, and a loop that can be interrupted."""

import json
from pathlib import Path

import filmcolor.weights as weights_store
import numpy as np
import pytest
import torch
from filmcolor.train.dataset import (
    StillsDataset,
    find_stills,
    training_transform,
    validation_transform,
    whole_picture,
)
from filmcolor.train.fit import Recipe, Trainer, fit, validate
from filmcolor.train.stock import luma_and_ab, old_stock
from PIL import Image
from skimage.color import rgb2lab
from torch import nn

from filmcolor.errors import InputError, SettingsError

RECIPE = Recipe(
    num_pictures=48, batch_size=4, size=32, num_workers=0, validate_every=4, learning_rate=1e-3
)


def colorful(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture in which blue is above, green below, and a warm disc in the middle."""
    width, height = size
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.0, 1.0, height)[:, None, None]
    sky, grass, skin = np.array([90, 140, 220]), np.array([60, 120, 40]), np.array([220, 160, 120])
    picture = sky * (1 - rows) + grass * rows + np.zeros((height, width, 3))
    y, x = np.mgrid[:height, :width]
    picture[np.hypot(y - height / 2, x - width / 2) < height / 4] = skin
    return Image.fromarray((picture + rng.normal(0, 8, picture.shape)).clip(0, 255).astype("uint8"))


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    folder = tmp_path / "stills" / "film"
    folder.mkdir(parents=True)
    for seed in range(6):
        colorful(seed).save(folder / f"{seed}.png")
    return folder.parent


def test_stills_are_found_in_a_tree_and_in_order(stills: Path) -> None:
    (stills / "notes.txt").write_text("no picture")
    colorful(9).save(stills / "film" / "a.JPG", format="JPEG")
    assert [p.name for p in find_stills(stills)] == [*(f"{n}.png" for n in range(6)), "a.JPG"]


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        find_stills(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_stills(tmp_path / "gone")


def test_a_broken_picture_gives_way_to_the_next(stills: Path) -> None:
    paths = find_stills(stills)
    paths[0].write_bytes(b"broken")
    data = StillsDataset(paths, validation_transform(32))
    assert torch.equal(data[0], data[1])
    for path in paths:
        path.write_bytes(b"broken")
    with pytest.raises(InputError, match="none of 6 pictures"):
        data[0]


@pytest.mark.parametrize("transform", [training_transform(32), validation_transform(32)])
def test_pictures_come_in_one_size(stills: Path, transform: nn.Module) -> None:
    pictures = StillsDataset(find_stills(stills), transform)
    assert all(p.shape == (3, 32, 32) and p.dtype == torch.uint8 for p in pictures)


def test_lab_is_scikit_images(stills: Path) -> None:
    picture = whole_picture(stills / "film" / "0.png", 48, 8)[None]
    luma, ab = luma_and_ab(picture)
    wanted = rgb2lab(picture[0].permute(1, 2, 0).numpy())
    assert np.allclose(ab[0].permute(1, 2, 0), wanted[..., 1:], atol=0.02)
    assert luma.shape == (1, 1, 48, 64)
    assert 0.0 <= luma.min() < luma.max() <= 1.0


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (101, 77), (300, 40)])
def test_whole_pictures_have_sides_for_the_network(tmp_path: Path, size: tuple[int, int]) -> None:
    colorful(0, size).save(tmp_path / "a.png")
    height, width = whole_picture(tmp_path / "a.png", 64, 8).shape[1:]
    assert (height % 8, width % 8, min(height, width)) == (0, 0, 64)
    assert abs(width / height - size[0] / size[1]) * min(size) <= 0.1 * max(size)


def test_old_stock_ages_about_half_and_is_the_same_for_the_same_seed(stills: Path) -> None:
    pictures = whole_picture(stills / "film" / "0.png", 48, 8).repeat(64, 1, 1, 1)
    luma, _ = luma_and_ab(pictures)
    first, second = (old_stock(pictures, luma, torch.Generator().manual_seed(3)) for _ in "ab")
    assert torch.equal(first, second)
    assert 0.0 <= first.min() <= first.max() <= 1.0
    aged = [not torch.equal(a, b) for a, b in zip(first, luma)]
    assert 16 < sum(aged) < 48


def test_old_stock_is_blinder_to_red_than_to_blue() -> None:
    patches = torch.zeros(256, 3, 16, 16, dtype=torch.uint8)
    patches[:, 0, :, :8] = patches[:, 2, :, 8:] = 200  # red on the left, blue on the right
    luma, _ = luma_and_ab(patches)
    aged = old_stock(patches, luma, torch.Generator().manual_seed(0))
    is_aged = (aged != luma).flatten(1).any(dim=1)
    plain, old = luma[is_aged], aged[is_aged]
    assert plain[..., :8].mean() / plain[..., 8:].mean() > 2.0
    assert old[..., :8].mean() / old[..., 8:].mean() < 1.5


class Grey(nn.Module):
    """Knows no colour."""

    def forward(self, luma: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 2, *luma.shape[2:]), 128 / 255)


def test_grey_scores_as_grey(stills: Path) -> None:
    score = validate(Grey(), find_stills(stills), 48)
    assert score.ab_rmse == pytest.approx(score.grey_ab_rmse, rel=1e-5)
    assert score.mean_chroma == pytest.approx(0.0, abs=1e-3)
    assert score.true_mean_chroma > 10.0
    assert score.loss == pytest.approx((score.ab_rmse / 255) ** 2, rel=1e-4)


def test_training_learns_and_keeps_its_best(stills: Path, tmp_path: Path) -> None:
    told: list[int] = []
    path = fit(
        stills, stills, tmp_path / "run", RECIPE, progress=lambda step, *_: told.append(step)
    )
    assert told == list(range(1, 13))
    lines = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    scores = [json.loads(line) for line in lines]
    assert [s["step"] for s in scores] == [4, 8, 12]
    net = weights_store.load(path)
    best = min(s["loss"] for s in scores)
    assert validate(net, find_stills(stills)).loss == pytest.approx(best, rel=0.02)
    assert scores[-1]["loss"] < scores[0]["loss"]


def test_an_interrupted_run_goes_on_where_it_was(
    stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: int, *_: object) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stills, stills, tmp_path / "run", RECIPE, progress=stop)
    again = Trainer(RECIPE, tmp_path / "run")
    assert again.resume()
    assert again.step == 4  # the last checkpoint
    told: list[int] = []
    fit(stills, stills, tmp_path / "run", RECIPE, progress=lambda step, *_: told.append(step))
    assert told == list(range(5, 13))
    assert [p.name for p in (tmp_path / "run").glob("*.partial")] == []


def test_a_checkpoint_of_another_recipe_is_told(stills: Path, tmp_path: Path) -> None:
    trainer = Trainer(RECIPE, tmp_path)
    trainer.save()
    other = Recipe(num_pictures=96, batch_size=4, size=32)
    with pytest.raises(SettingsError, match="is of another recipe"):
        Trainer(other, tmp_path).resume()


def test_training_begins_from_given_weights(weights_path: Path, tmp_path: Path) -> None:
    trainer = Trainer(RECIPE, tmp_path, init=weights_path)
    wanted = weights_store.load(weights_path).state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in trainer.net.state_dict().items())


def test_the_average_forgets_the_first_steps(tmp_path: Path) -> None:
    trainer = Trainer(RECIPE, tmp_path)
    with torch.no_grad():
        for value in range(1, 200):
            for parameter in trainer.net.parameters():
                parameter.fill_(float(value > 20))
            trainer.average.update_parameters(trainer.net)
    means = [p.mean().item() for p in trainer.average.module.parameters()]
    assert min(means) > 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "multiple of 8"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"num_pictures": 3, "batch_size": 4}, "at least one batch"),
    ],
)
def test_recipes_without_a_meaning(changes: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe(**changes)


def test_the_same_seed_is_the_same_training(stills: Path, tmp_path: Path) -> None:
    recipe = Recipe(num_pictures=8, batch_size=4, size=32, num_workers=0)
    first, second = (
        weights_store.load_state(fit(stills, stills, tmp_path / name, recipe)) for name in "ab"
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
