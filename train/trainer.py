"""One training run: its networks, its place in the data, its steps and checkpoints."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from filmcolor import weights
from filmcolor.errors import OutputError, SettingsError, WeightsError
from filmcolor.model import ColorNet, ContextNet
from filmcolor.predict import choose_device, choose_dtype
from filmcolor.train.card import write_card
from filmcolor.train.dataset import Draws, Split, StillsDataset
from filmcolor.train.losses import Loss, rarity_weights, survey
from filmcolor.train.recipe import Recipe
from filmcolor.train.start import SCRATCH, Start, build_network
from filmcolor.train.stock import luma_and_ab, old_stock
from filmcolor.train.validation import Score, validate

log = logging.getLogger(__name__)
_NUM_CONTEXT_FROZEN = 7  # blocks of the context branch that a frozen start holds: to H/8
_NUM_TRUNK_FROZEN = 5  # of the trunk: its first convolution and layer 1
_COUNTS = ("best_loss", "num_without_better", "seconds")  # that a checkpoint holds


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of the processes of `torchrun` this is; one alone without it."""

    rank: int = 0
    num: int = 1

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other processes, if `torchrun` started some."""
        num = int(os.environ.get("WORLD_SIZE", "1"))
        if num > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), num) if num > 1 else cls()


class Learner(nn.Module):
    """The network with its loss, as one module that answers luma: what DDP wraps."""

    def __init__(self, net: ColorNet, loss: Loss) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, luma: Tensor) -> Tensor:
        """Return what the loss judges, of luma (N, 1, H, W)."""
        return self.loss.answer(self.net, luma)


class Trainer:
    """One training run: its network, averaged weights, optimizer and place in the data."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        split: Split,
        start: Start = SCRATCH,
        device: str = "auto",
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder, self.split = recipe, folder, split
        self.ranks = Ranks.join()
        self.device = choose_device(device)
        self.step, self.best_loss, self.num_without_better = 0, float("inf"), 0
        self.seconds = 0.0  # learned for, in all
        self.unreadable: set[str] = set()
        self.begun_from = list(start)
        net = build_network(recipe, start).to(memory_format=torch.channels_last)
        rarity = rarity_weights(survey(split.training), recipe.rarity)
        loss = Loss(recipe.loss, rarity)
        if net.bins is not None:
            net.bins.centers.copy_(loss.centers)
        self.learner = Learner(net, loss).to(self.device)
        self.net = self.learner.net
        for module in self._frozen():
            module.requires_grad_(False)
        self.model: nn.Module = self.learner
        if self.ranks.num > 1:
            self.model = DistributedDataParallel(self.learner)
        self.average = AveragedModel(
            self.net, avg_fn=_warm_average(recipe.ema_decay), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=recipe.weight_decay)
        self.schedule = self._schedule()

    @property
    def num_steps(self) -> int:
        """Optimizer steps in all."""
        return max(1, self.recipe.num_pictures // (self.recipe.batch_size * self.ranks.num))

    @property
    def steps_an_epoch(self) -> int:
        """Steps after which every picture was seen once, on the average."""
        batch = self.recipe.batch_size * self.ranks.num
        return max(1, round(len(self.split.training) / batch))

    @property
    def checkpoint(self) -> Path:
        """Where the run's whole state is kept, to go on after an interruption."""
        return self.folder / "checkpoint.pt"

    @property
    def is_out_of_patience(self) -> bool:
        """True when validations have not become better for as long as the recipe waits."""
        return 0 < self.recipe.patience <= self.num_without_better

    def _frozen(self) -> list[nn.Module]:
        if not self.recipe.is_start_frozen:
            return []
        frozen: list[nn.Module] = [self.net.midlevel_resnet[:_NUM_TRUNK_FROZEN]]
        if isinstance(self.net, ContextNet):
            frozen.append(self.net.context[:_NUM_CONTEXT_FROZEN])
        return frozen

    def _groups(self) -> list[dict[str, Any]]:
        context, others = [], []
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                (context if name.startswith("context.") else others).append(parameter)
        rate = self.recipe.learning_rate
        groups: list[dict[str, Any]] = [{"params": others, "lr": rate}]
        if context:
            groups.append({"params": context, "lr": rate * self.recipe.context_rate})
        return groups

    def _schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        if self.recipe.schedule == "constant":
            return torch.optim.lr_scheduler.ConstantLR(self.optimizer, 1.0)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=self.num_steps + 1, pct_start=0.1
        )

    def resume(self) -> bool:
        """Take up the run where its last checkpoint left it; False when there is none.

        Raises SettingsError when the checkpoint is of another recipe or of other data,
        WeightsError when it cannot be read.
        """
        if not self.checkpoint.exists():
            return False
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            told, data = state["recipe"], state["data"]
        except Exception as error:  # a broken archive ends in anything
            raise WeightsError(
                f"{self.checkpoint} is broken; delete it to begin anew in the same folder"
            ) from error
        if told != self._told():
            strange = [k for k, v in self._told().items() if told.get(k) != v]
            raise SettingsError(
                f"{self.checkpoint} is of another recipe ({', '.join(strange)} differ); "
                "choose another folder or delete it"
            )
        if data != self.split.fingerprint:
            raise SettingsError(
                f"{self.checkpoint} is of other data: pictures came, went or changed; "
                "choose another folder or delete it"
            )
        for name in ("net", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        for name in _COUNTS:
            setattr(self, name, state[name])
        return True

    def _told(self) -> dict[str, Any]:
        """Return what a checkpoint must agree in, as a checkpoint holds it."""
        told = asdict(self.recipe) | {"num_processes": self.ranks.num}
        return told | {"sizes": list(self.recipe.sizes)}

    def save(self) -> None:
        """Write the whole state, whole or not at all."""
        self._agree()
        if self.ranks.rank:
            return
        parts = ("net", "average", "optimizer", "schedule")
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in parts}
        state |= {"recipe": self._told(), "data": self.split.fingerprint, "step": self.step}
        state |= {name: getattr(self, name) for name in _COUNTS}
        partial = self.checkpoint.with_suffix(".partial")
        try:
            torch.save(state, partial)
            partial.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises RuntimeError
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"{self.checkpoint} cannot be written ({error}); what was saved before is whole: "
                "make room, and the same command goes on from it"
            ) from error

    def _agree(self) -> None:
        """Make all processes' running statistics the mean of theirs."""
        if self.ranks.num == 1:
            return
        for module in (self.net, self.average.module):
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.ranks.num

    def train_step(self, pictures: Tensor) -> float:
        """Learn from one batch of uint8 RGB (N, 3, H, W) and return its loss."""
        started = time.monotonic()
        self.model.train()
        for module in self._frozen():
            module.eval()
        recipe = self.recipe
        pictures = pictures.to(self.device, non_blocking=True)
        seed = (recipe.seed * 1_000_003 + self.step) * 4096 + self.ranks.rank
        generator = torch.Generator(self.device).manual_seed(seed)
        luma, ab = luma_and_ab(pictures)
        num, num_twice = len(pictures), len(pictures) // 8 if recipe.consistency else 0
        views = [old_stock(pictures, luma, generator, recipe.old_stock)]
        if num_twice:
            views.append(old_stock(pictures[:num_twice], luma[:num_twice], generator, 1.0))
            ab = torch.cat([ab, ab[:num_twice]])
        shown = torch.cat(views).contiguous(memory_format=torch.channels_last)
        dtype = choose_dtype(self.device)
        is_narrow = dtype is not torch.float32
        with torch.autocast(self.device.type, dtype if is_narrow else None, enabled=is_narrow):
            answer = self.model(shown)
        loss: Tensor = self.learner.loss(answer, ab)
        if num_twice:
            colors = answer.float() if self.net.bins is None else self.net.bins.colors(answer)
            difference = nn.functional.mse_loss(colors[:num_twice], colors[num:])
            loss = loss + recipe.consistency * difference * num_twice / num
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if recipe.ema_decay:
            self.average.update_parameters(self.net)
        self.step += 1
        told = loss.item()
        self.seconds += time.monotonic() - started
        return told

    @property
    def judged(self) -> ColorNet:
        """The network that is validated and kept: the average where there is one."""
        net = self.average.module if self.recipe.ema_decay else self.net
        assert isinstance(net, ColorNet)
        return net

    def keep_if_best(self) -> Score:
        """Validate, and keep the weights when they are the best so far."""
        self._agree()
        score = validate(
            self.judged, self.split.validation, is_flip_averaged=self.recipe.is_flip_averaged
        )
        is_better = score.loss < self.best_loss
        self.num_without_better = 0 if is_better else self.num_without_better + 1
        if is_better:
            self.best_loss = score.loss
        if self.ranks.rank == 0 and is_better:
            try:
                path = self.folder / "best.safetensors"
                weights.save(self.judged.state_dict(), path)
                facts = {"num_steps": self.step, "seconds": round(self.seconds)}
                facts |= {"num_processes": self.ranks.num, "begun_from": self.begun_from}
                write_card(path, self.split, self.recipe, **facts, validation=asdict(score))
                if self.recipe.network == "tutorial":
                    self._save_as_the_tutorial_does(score)
            except OSError as error:
                raise OutputError(
                    f"weights cannot be written to {self.folder} ({error.strerror or error}); "
                    "make room, and the same command goes on"
                ) from error
        return score

    def _save_as_the_tutorial_does(self, score: Score) -> None:
        epoch = self.step // self.steps_an_epoch
        state = {k: v.cpu() for k, v in self.judged.state_dict().items()}
        path = self.folder / f"model-epoch-{epoch}-losses-{score.loss:.3f}.pth"
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def batches(self, num_workers: int) -> Iterator[Tensor]:
        """Yield uint8 RGB batches (N, 3, size, size) for the steps that are still to do."""
        draws = Draws(
            len(self.split.training),
            range(self.step, self.num_steps),
            self.recipe.batch_size,
            self.recipe.sizes,
            self.recipe.seed,
            self.ranks.rank,
            self.ranks.num,
        )
        loader = DataLoader(
            StillsDataset(self.split.training, self.recipe.smallest_crop),
            batch_sampler=draws,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
        )
        for pictures, unreadable in loader:
            for name in sorted(set(unreadable) - self.unreadable - {""}):
                log.warning("%s cannot be read; passed over", name)
            self.unreadable |= set(unreadable) - {""}
            yield pictures


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return an exponential average that forgets a run's first, untrained steps."""

    def average(kept: Tensor, new: Tensor, num: Tensor | int) -> Tensor:
        weight = min(decay, (1.0 + float(num)) / (10.0 + float(num)))
        return kept + (new - kept) * (1.0 - weight)

    return average
