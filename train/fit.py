"""The training loop: MSE on coded ab, Adam, best checkpoint by validation loss."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filmcolor.train.dataset import (
    StillsDataset,
    find_stills,
    training_transform,
    whole_picture,
)
from filmcolor.train.stock import luma_and_ab, old_stock
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, RandomSampler

from filmcolor import weights
from filmcolor.errors import SettingsError
from filmcolor.model import STRIDE, ColorNet, decode_ab, encode_ab

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: `num_pictures` crops of `size` pixels in batches, from one seed."""

    num_pictures: int = 100_000
    batch_size: int = 32
    size: int = 160
    learning_rate: float = 2e-3
    ema_decay: float = 0.999
    seed: int = 0
    num_workers: int = 2
    validate_every: int = 500  # steps

    def __post_init__(self) -> None:
        if self.size % STRIDE or self.size < 4 * STRIDE:
            raise SettingsError(f"size {self.size} must be a multiple of {STRIDE}, 32 or more")
        if self.learning_rate <= 0.0:
            raise SettingsError(f"learning rate {self.learning_rate} must be above 0")
        if self.num_pictures < self.batch_size:
            raise SettingsError("num_pictures must be at least one batch")

    @property
    def num_steps(self) -> int:
        """Optimizer steps in all."""
        return self.num_pictures // self.batch_size


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over whole pictures, in Lab units, with grey's and the truth's beside them."""

    loss: float  # MSE of coded ab, what training minimises
    ab_rmse: float
    grey_ab_rmse: float
    mean_chroma: float
    true_mean_chroma: float


def validate(net: nn.Module, paths: list[Path], short_side: int = 256) -> Score:
    """Score a network on whole pictures; each picture weighs by its pixels."""
    net.eval()
    sums = torch.zeros(6, dtype=torch.float64)
    with torch.inference_mode():
        for path in paths:
            luma, ab = luma_and_ab(whole_picture(path, short_side, STRIDE)[None])
            coded = net(luma.contiguous(memory_format=torch.channels_last)).to(torch.float32)
            guess = decode_ab(coded)
            pixels = (
                (coded - encode_ab(ab)).square().mean(dim=1),
                (guess - ab).square().mean(dim=1),
                ab.square().mean(dim=1),
                guess.norm(dim=1),
                ab.norm(dim=1),
                torch.ones_like(luma),
            )
            sums += torch.stack([p.sum(dtype=torch.float64) for p in pixels])
    loss, error, grey, chroma, true_chroma, _ = (sums / sums[-1]).tolist()
    return Score(loss, error**0.5, grey**0.5, chroma, true_chroma)


class Trainer:
    """One training run: its network, averaged weights, optimizer and place in the data."""

    def __init__(self, recipe: Recipe, folder: Path, init: Path | None = None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.folder = folder
        self.step = 0
        self.best_loss = float("inf")
        net = ColorNet()
        if init is not None:
            net = weights.load(init)
        self.net = net.to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.net, avg_fn=_warm_average(recipe.ema_decay), use_buffers=True
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), recipe.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=recipe.num_steps, pct_start=0.1
        )
        self.generator = torch.Generator().manual_seed(recipe.seed)

    @property
    def checkpoint(self) -> Path:
        """Where the run's whole state is kept, to go on after an interruption."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the run where its last checkpoint left it; False when there is none."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise SettingsError(
                f"{self.checkpoint} is of another recipe; choose another folder or delete it"
            )
        for name in ("net", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.step, self.best_loss = state["step"], state["best_loss"]
        return True

    def save(self) -> None:
        """Write the whole state, whole or not at all."""
        parts = ("net", "average", "optimizer", "schedule")
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in parts}
        state |= {"recipe": asdict(self.recipe), "generator": self.generator.get_state()}
        state |= {"step": self.step, "best_loss": self.best_loss}
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def train_step(self, pictures: Tensor) -> float:
        """Learn from one batch of uint8 RGB (N, 3, H, W) and return its loss."""
        self.net.train()
        luma, ab = luma_and_ab(pictures)
        luma = old_stock(pictures, luma, self.generator)
        with torch.autocast("cpu", torch.bfloat16):
            coded = self.net(luma.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.mse_loss(coded.float(), encode_ab(ab))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.net)
        self.step += 1
        return loss.item()

    def keep_if_best(self, paths: list[Path]) -> Score:
        """Validate the averaged weights and keep them when they are the best so far."""
        score = validate(self.average.module, paths)
        if score.loss < self.best_loss:
            self.best_loss = score.loss
            weights.save(self.average.module.state_dict(), self.folder / "best.safetensors")
        with (self.folder / "scores.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": self.step, **asdict(score)}) + "\n")
        return score


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return an exponential average that forgets a run's first, untrained steps."""

    def average(kept: Tensor, new: Tensor, num: Tensor | int) -> Tensor:
        weight = min(decay, (1.0 + float(num)) / (10.0 + float(num)))
        return kept + (new - kept) * (1.0 - weight)

    return average


def batches(paths: list[Path], recipe: Recipe, first_step: int) -> Iterator[Tensor]:
    """Yield uint8 RGB batches (N, 3, size, size) for the steps that are still to do."""
    num = (recipe.num_steps - first_step) * recipe.batch_size
    order = torch.Generator().manual_seed(recipe.seed + first_step)
    data = StillsDataset(paths, training_transform(recipe.size))
    sampler = RandomSampler(data, replacement=True, num_samples=num, generator=order)
    loader = DataLoader(
        data, recipe.batch_size, sampler=sampler, num_workers=recipe.num_workers, generator=order
    )
    yield from loader


def fit(
    stills: Path,
    validation: Path,
    folder: Path,
    recipe: Recipe,
    init: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Path:
    """Train on a folder of stills and return the path of the best weights.

    Interrupted, the same call goes on from the last checkpoint in `folder`.
    `progress(step, num_steps, loss)` is called after every step.
    Raises InputError for a folder without pictures, SettingsError for a recipe that
    differs from the checkpoint's.
    """
    paths, held_back = find_stills(stills), find_stills(validation)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, folder, init)
    if trainer.resume():
        log.info("going on from step %d", trainer.step)
    start = time.monotonic()
    for pictures in batches(paths, recipe, trainer.step):
        loss = trainer.train_step(pictures)
        if progress:
            progress(trainer.step, recipe.num_steps, loss)
        is_last = trainer.step == recipe.num_steps
        if trainer.step % recipe.validate_every == 0 or is_last:
            score = trainer.keep_if_best(held_back)
            trainer.save()
            minutes = (time.monotonic() - start) / 60
            log.info("step %d, %.1f min: %s", trainer.step, minutes, score)
    return folder / "best.safetensors"
