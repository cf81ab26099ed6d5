"""One training run: its networks, its steps, its checkpoints and its best weights.

Training is a function of the step: the pictures, their crops and the simulated film stock come from
seeds made of the step, the picture's number and the process, never from a state that runs along.
"""

import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError
from filmcolor.files import atomic_write
from filmcolor.network.device import choose_dtype
from filmcolor.network.model import ColorNet, FilmNet
from filmcolor.network.predictor import Predictor
from filmcolor.train.checkpoint import load_checkpoint, save_checkpoint
from filmcolor.train.data.dataset import CropSampler, Split, StillsDataset
from filmcolor.train.data.film_stock import luma_and_ab, simulate_film_stock
from filmcolor.train.distributed import ProcessGroup, local_device
from filmcolor.train.initialization import build_network, initial_digests
from filmcolor.train.losses import Loss, Net, color_frequencies, rarity_weights
from filmcolor.train.model_card import write_card
from filmcolor.train.optimization import (
    build_average,
    build_optimizer,
    build_schedule,
    encoder_of,
)
from filmcolor.train.recipe import Recipe
from filmcolor.train.validation import SHORT_SIDE, Score, validate

log = logging.getLogger(__name__)

BEST = "best.safetensors"  # in the output folder: the weights with the lowest validation loss
_MODULES = ("net", "average", "optimizer", "schedule")  # with a state dict in the checkpoint
# other values in the checkpoint, by attribute
_VALUES = {
    "best_loss": "best_loss",
    "num_stale_validations": "num_without_better",
    "seconds": "seconds",
}
_CONSISTENCY_SHARE = 8  # of a batch one part in so many gets a second simulation of film stock


class Trainer:
    """The state of a training run, and its operations.

    `folder` gets the checkpoint, the best weights and their model card. `initial_weights`: a
    shipped name or a file; without them the network is random.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        split: Split,
        initial_weights: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder, self.split = recipe, folder, split
        self.device = local_device(device)
        self.processes = ProcessGroup.join(self.device)
        self.step, self.best_loss, self.num_stale_validations = 0, float("inf"), 0
        self.seconds = 0.0  # spent in training steps
        self.unreadable: set[str] = set()
        self.initial_digests, self.fingerprint = initial_digests(initial_weights), split.fingerprint
        net = build_network(recipe, initial_weights).to(memory_format=torch.channels_last)
        self.net: Net = net.to(self.device)
        if not recipe.encoder_rate:  # nothing of its forward pass is kept for gradients
            encoder_of(self.net).requires_grad_(False)
        self.loss = Loss(_color_weights(recipe, split)).to(self.device)
        self.model: nn.Module = self.net
        if self.processes.size > 1:
            self.model = DistributedDataParallel(self.net)
        self.average = build_average(self.net, recipe)
        self.optimizer = build_optimizer(self.net, recipe)
        self.schedule = build_schedule(self.optimizer, recipe, self.num_steps)

    @property
    def num_steps(self) -> int:
        """Optimizer steps in total."""
        return max(1, self.recipe.num_pictures // (self.recipe.batch_size * self.processes.size))

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every picture once, on average."""
        batch = self.recipe.batch_size * self.processes.size
        return max(1, round(len(self.split.training) / batch))

    @property
    def checkpoint(self) -> Path:
        """The file with the run's complete state, for resuming after an interruption."""
        return self.folder / "checkpoint.pt"

    @property
    def is_out_of_patience(self) -> bool:
        """True after as many validations without improvement as the recipe allows."""
        return 0 < self.recipe.patience <= self.num_stale_validations

    # ---------------------------------------------------------------- checkpoints

    def resume(self) -> bool:
        """Restore the state of the last checkpoint; return False when there is none.

        Raises SettingsError when the checkpoint has another recipe or other data, WeightsError
        when it cannot be read.
        """
        if not self.checkpoint.exists():
            return False
        state = load_checkpoint(self.checkpoint, self._settings(), self.fingerprint)
        for name in _MODULES:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        for attribute, key in _VALUES.items():
            setattr(self, attribute, state[key])
        if self.processes.broadcast(self.step) != self.step:
            raise SettingsError(f"{self.folder} must be one folder for all processes of torchrun")
        return True

    def save(self) -> None:
        """Write the complete state to the checkpoint, atomically; the first process writes it.

        Raises OutputError when it cannot be written; the previous checkpoint is then kept.
        """
        self._average_buffers()
        if self.processes.rank:
            return
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in _MODULES}
        state |= {key: getattr(self, attribute) for attribute, key in _VALUES.items()}
        state["step"] = self.step
        save_checkpoint(self.checkpoint, self._settings(), self.fingerprint, state)

    def _settings(self) -> dict[str, Any]:
        """Return the settings that a checkpoint must share with the run that resumes it."""
        recipe = asdict(self.recipe) | {"sizes": list(self.recipe.sizes)}
        return recipe | {
            "num_processes": self.processes.size,
            "begun_from": self.initial_digests,
        }

    def _average_buffers(self) -> None:
        """Replace each process's running statistics by their mean over all processes."""
        if self.processes.size == 1:
            return
        for module in (self.net, self.average.module):
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.processes.size

    # ---------------------------------------------------------------- steps

    def batches(self, num_workers: int) -> Iterator[Tensor]:
        """Yield uint8 RGB batches (N, 3, size, size) for the remaining steps.

        `num_workers`: processes that read pictures; 0 reads in this one.
        """
        if num_workers < 0:
            raise SettingsError(f"{num_workers} workers: give 0 or more")
        sampler = CropSampler(
            len(self.split.training),
            range(self.step, self.num_steps),
            self.recipe.batch_size,
            self.recipe.sizes,
            self.recipe.seed,
            self.processes.rank,
            self.processes.size,
        )
        loader = DataLoader(
            StillsDataset(self.split.training, self.recipe.smallest_crop),
            batch_sampler=sampler,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
        )
        for pictures, unreadable in loader:
            self._warn_unreadable(unreadable)
            yield pictures

    def train_step(self, pictures: Tensor) -> float:
        """Train on one batch of uint8 RGB (N, 3, H, W) and return its loss.

        Raises SettingsError when the loss is not finite.
        """
        started = time.monotonic()
        self.model.train()
        if not self.recipe.encoder_rate:
            encoder_of(self.net).eval()  # its batch norms keep their statistics
        loss = self._loss(pictures.to(self.device, non_blocking=True))
        value = loss.item()
        if not math.isfinite(value):
            raise SettingsError(
                f"the loss is not finite at step {self.step + 1}: lower --learning-rate, and name "
                "a new output folder"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if self.recipe.ema_decay:
            self.average.update_parameters(self.net)
        self.step += 1
        self.seconds += time.monotonic() - started
        return value

    def _loss(self, pictures: Tensor) -> Tensor:
        """Return the loss of a batch of uint8 RGB (N, 3, H, W), with the consistency term.

        The latter compares the colours predicted from two simulations of the same pictures.
        """
        recipe = self.recipe
        seed = (recipe.seed * 1_000_003 + self.step) * 4096 + self.processes.rank
        generator = torch.Generator(self.device).manual_seed(seed)
        luma, ab = luma_and_ab(pictures)
        num = len(pictures)
        num_twice = max(1, num // _CONSISTENCY_SHARE) if recipe.consistency else 0
        views = [simulate_film_stock(pictures, luma, generator, recipe.old_stock)]
        if num_twice:
            again = simulate_film_stock(pictures[:num_twice], luma[:num_twice], generator, 1.0)
            views.append(again)
            ab = torch.cat([ab, ab[:num_twice]])
        inputs = torch.cat(views).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            output = self.model(inputs)
        loss: Tensor = self.loss(output, ab)
        if num_twice:
            difference = self.loss.difference(self.net, output[:num_twice], output[num:])
            loss = loss + recipe.consistency * difference * num_twice / num
        return loss

    def _autocast(self) -> AbstractContextManager[Any]:
        """Compute in bfloat16 where it is fast; float16 would need loss scaling."""
        if choose_dtype(self.device) is torch.bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    # ---------------------------------------------------------------- validation

    @property
    def validated_net(self) -> Net:
        """The network that is validated and kept: the average of the weights, if there is one."""
        net = self.average.module if self.recipe.ema_decay else self.net
        assert isinstance(net, ColorNet | FilmNet)
        return net

    def predictor(self) -> Predictor:
        """Return that network as films are coloured with it: folded, in the machine's dtype."""
        return Predictor(self.validated_net, str(self.device))

    def validate(self) -> Score:
        """Return the validation score, and keep the weights if it is the best so far."""
        self._average_buffers()
        score = None
        if self.processes.rank == 0:
            is_flipped = self.recipe.is_flip_averaged
            score = validate(self.predictor(), self.split.validation, is_flip_averaged=is_flipped)
            self._warn_unreadable(score.unreadable)
        score = self.processes.broadcast(score)
        assert score is not None
        is_better = score.loss < self.best_loss
        self.num_stale_validations = 0 if is_better else self.num_stale_validations + 1
        if is_better:
            self.best_loss = score.loss
        if self.processes.rank == 0 and is_better:
            self._save_best(score)
        return score

    def _save_best(self, score: Score) -> None:
        path, state = self.folder / BEST, self.validated_net.state_dict()
        weights_store.save(state, path)
        write_card(
            path,
            self.split,
            self.recipe,
            self.device,
            num_steps=self.step,
            learning_seconds=round(self.seconds),
            num_processes=self.processes.size,
            begun_from=self.initial_digests,
            validation=asdict(score) | {"short_side": SHORT_SIDE},
        )
        if self.recipe.is_kept_by_epoch:
            epoch = self.step // self.steps_per_epoch
            path = self.folder / f"model-epoch-{epoch}-losses-{score.loss:.3f}.pth"
            with atomic_write(path) as partial:
                torch.save({name: value.cpu() for name, value in state.items()}, partial)

    def _warn_unreadable(self, names: Iterable[str]) -> None:
        for name in sorted(set(names) - self.unreadable - {""}):
            log.warning("%s cannot be read; passed over", name)
        self.unreadable |= set(names) - {""}


def _color_weights(recipe: Recipe, split: Split) -> Tensor | None:
    """Return the weight of each colour, None if all weigh the same."""
    if not recipe.rarity:
        return None  # counting reads a thousand pictures
    return rarity_weights(color_frequencies(split.training), recipe.rarity)
