"""One training run: its networks, its place in the data, its steps and checkpoints."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from filmcolor import weights
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.files import atomic_write
from filmcolor.network.device import choose_dtype
from filmcolor.network.model import ColorNet, ContextNet
from filmcolor.network.predictor import Predictor
from filmcolor.train.data.dataset import Draws, Split, StillsDataset
from filmcolor.train.data.film_stock import luma_and_ab, old_stock
from filmcolor.train.distributed import Ranks, own_device
from filmcolor.train.initialization import SCRATCH, Start, build_network
from filmcolor.train.losses import Loss, rarity_weights, survey
from filmcolor.train.model_card import write_card
from filmcolor.train.recipe import Recipe
from filmcolor.train.validation import SHORT_SIDE, Score, validate

Tensors = tuple[Tensor, ...] | list[Tensor]

log = logging.getLogger(__name__)
_NUM_CONTEXT_FROZEN = 7  # blocks of the context branch that a frozen start holds: to H/8
_NUM_TRUNK_FROZEN = 5  # of the trunk: its first convolution and layer 1
_NUM_BEFORE_BINS = 10  # of the decoder's layers
_WARM_UP = 0.1  # share of the steps
_COUNTS = ("best_loss", "num_without_better", "seconds")  # that a checkpoint holds


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
        self.device = own_device(device)
        self.ranks = Ranks.join(self.device)
        self.step, self.best_loss, self.num_without_better = 0, float("inf"), 0
        self.seconds = 0.0  # learned for, in all
        self.unreadable: set[str] = set()
        self.begun_from, self.fingerprint = start.files, split.fingerprint
        net = build_network(recipe, start).to(memory_format=torch.channels_last)
        rarity = rarity_weights(survey(split.training), recipe.rarity)
        loss = Loss(recipe.loss, rarity)
        if net.bins is not None:
            net.bins.centers.copy_(loss.centers)
            net.upsample[_NUM_BEFORE_BINS:].requires_grad_(False)  # what bins leave out
        self.learner = Learner(net, loss).to(self.device)
        self.net = self.learner.net
        for module in self._frozen():
            module.requires_grad_(False)
        self.model: nn.Module = self.learner
        if self.ranks.num > 1:
            self.model = DistributedDataParallel(self.learner)
        self.average = AveragedModel(
            self.net, multi_avg_fn=_warm_average(recipe.ema_decay), use_buffers=True
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
        context: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
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
            self.optimizer,
            rates,
            total_steps=self.num_steps + 1,
            pct_start=max(_WARM_UP, 1.5 / (self.num_steps + 1)),  # never just one step
        )

    def resume(self) -> bool:
        """Take up the run where its last checkpoint left it; False when there is none.

        Raises SettingsError when the checkpoint is of another recipe or of other data,
        WeightsError when it cannot be read.
        """
        if not self.checkpoint.exists():
            return False
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
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
        if data != self.fingerprint:
            raise SettingsError(
                f"{self.checkpoint} is of other data: pictures came, went or changed; "
                "choose another folder or delete it"
            )
        for name in ("net", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        for name in _COUNTS:
            setattr(self, name, state[name])
        if self.ranks.agree_on(self.step) != self.step:
            raise SettingsError(f"{self.folder} must be one folder for all processes of torchrun")
        return True

    def _told(self) -> dict[str, Any]:
        """Return what a checkpoint must agree in, as a checkpoint holds it."""
        told = asdict(self.recipe) | {"sizes": list(self.recipe.sizes)}
        return told | {"num_processes": self.ranks.num, "begun_from": self.begun_from}

    def save(self) -> None:
        """Write the whole state, whole or not at all."""
        self._agree()
        if self.ranks.rank:
            return
        parts = ("net", "average", "optimizer", "schedule")
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in parts}
        state |= {"recipe": self._told(), "data": self.fingerprint, "step": self.step}
        state |= {name: getattr(self, name) for name in _COUNTS}
        with atomic_write(self.checkpoint) as partial:
            torch.save(state, partial)

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
        num = len(pictures)
        num_twice = max(1, num // 8) if recipe.consistency else 0
        views = [old_stock(pictures, luma, generator, recipe.old_stock)]
        if num_twice:
            views.append(old_stock(pictures[:num_twice], luma[:num_twice], generator, 1.0))
            ab = torch.cat([ab, ab[:num_twice]])
        shown = torch.cat(views).contiguous(memory_format=torch.channels_last)
        with self._narrow():
            answer = self.model(shown)
        loss: Tensor = self.learner.loss(answer, ab)
        if num_twice:
            colors = answer.float() if self.net.bins is None else self.net.bins.colors(answer)
            difference = nn.functional.mse_loss(colors[:num_twice], colors[num:])
            loss = loss + recipe.consistency * difference * num_twice / num
        told = loss.item()
        if not math.isfinite(told):
            raise SettingsError(
                f"the loss is no number at step {self.step + 1}: lower --learning-rate; the same "
                "command with a new folder begins anew"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if recipe.ema_decay:
            self.average.update_parameters(self.net)
        self.step += 1
        self.seconds += time.monotonic() - started
        return told

    def _narrow(self) -> AbstractContextManager[Any]:
        """Compute in bfloat16 where that is fast; float16 would need its losses scaled."""
        if choose_dtype(self.device) is torch.bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    @property
    def judged(self) -> ColorNet:
        """The network that is validated and kept: the average where there is one."""
        net = self.average.module if self.recipe.ema_decay else self.net
        assert isinstance(net, ColorNet)
        return net

    def predictor(self) -> Predictor:
        """Return the judged network as a film's frames would meet it."""
        return Predictor(self.judged, str(self.device))

    def keep_if_best(self) -> Score:
        """Validate, and keep the weights when they are the best so far."""
        self._agree()
        score = None
        if self.ranks.rank == 0:
            is_flipped = self.recipe.is_flip_averaged
            score = validate(self.predictor(), self.split.validation, is_flip_averaged=is_flipped)
            self._tell_unreadable(score.unreadable)
        score = self.ranks.agree_on(score)
        is_better = score.loss < self.best_loss
        self.num_without_better = 0 if is_better else self.num_without_better + 1
        if is_better:
            self.best_loss = score.loss
        if self.ranks.rank == 0 and is_better:
            self._keep(score)
        return score

    def _keep(self, score: Score) -> None:
        path, state = self.folder / "best.safetensors", self.judged.state_dict()
        weights.save(state, path)
        write_card(
            path,
            self.split,
            self.recipe,
            self.device,
            num_steps=self.step,
            learning_seconds=round(self.seconds),
            num_processes=self.ranks.num,
            begun_from=self.begun_from,
            validation=asdict(score) | {"short_side": SHORT_SIDE},
        )
        if self.recipe.is_kept_by_epoch:
            epoch = self.step // self.steps_an_epoch
            path = self.folder / f"model-epoch-{epoch}-losses-{score.loss:.3f}.pth"
            with atomic_write(path) as partial:
                torch.save({name: value.cpu() for name, value in state.items()}, partial)

    def _tell_unreadable(self, names: Iterable[str]) -> None:
        for name in sorted(set(names) - self.unreadable - {""}):
            log.warning("%s cannot be read; passed over", name)
        self.unreadable |= set(names) - {""}

    def batches(self, num_workers: int) -> Iterator[Tensor]:
        """Yield uint8 RGB batches (N, 3, size, size) for the steps that are still to do.

        `num_workers`: processes that read pictures; 0 reads in this one.
        """
        if num_workers < 0:
            raise SettingsError(f"{num_workers} workers: give 0 or more")
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
            self._tell_unreadable(unreadable)
            yield pictures


def _warm_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return an exponential average that forgets a run's first, untrained steps."""

    def average(kept: Tensors, new: Tensors, num: Tensor | int) -> None:
        weight = min(decay, (1.0 + float(num)) / (10.0 + float(num)))
        floats = [(k, n) for k, n in zip(kept, new) if k.is_floating_point()]
        if floats:
            torch._foreach_lerp_([k for k, _ in floats], [n for _, n in floats], 1.0 - weight)
        for k, n in zip(kept, new):
            if not k.is_floating_point():  # how many batches the norms have seen
                k.copy_(n)

    return average
