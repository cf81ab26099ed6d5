"""The optimizer of a training run, its learning rates, and the average of the weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from filmcolor.network.model import FilmNet
from filmcolor.train.losses import Net
from filmcolor.train.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]

_WARM_UP = 0.1  # share of the steps in which the one-cycle learning rate rises


def encoder_of(net: Net) -> nn.Module:
    """Return the part of a network that recognises; the rest turns its features into colours."""
    return net.encoder if isinstance(net, FilmNet) else net.midlevel_resnet


def build_optimizer(net: Net, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters.

    The encoder has a learning rate of its own.
    """
    encoder = list(encoder_of(net).parameters())
    in_encoder = {id(parameter) for parameter in encoder}
    others = [p for p in net.parameters() if id(p) not in in_encoder]
    groups: list[dict[str, Any]] = [{"params": others, "lr": recipe.learning_rate}]
    if recipe.encoder_rate:
        groups.append({"params": encoder, "lr": recipe.learning_rate * recipe.encoder_rate})
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int) -> LRScheduler:
    """Return the learning-rate schedule of a run of `num_steps`."""
    if recipe.schedule == "constant":
        return ConstantLR(optimizer, 1.0)
    return OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=num_steps + 1,
        pct_start=max(_WARM_UP, 1.5 / (num_steps + 1)),  # OneCycleLR divides by the rise less 1
    )


def build_average(net: Net, recipe: Recipe) -> AveragedModel:
    """Return an exponential moving average (EMA) of a network's parameters and buffers.

    Its decay warms up as min(decay, (1 + n) / (10 + n)): with a fixed decay of 0.999, a third of
    the average at step 1000 was still the untrained network (`train/LOG.md`, run 0).
    """
    return AveragedModel(net, multi_avg_fn=_warm_up_average(recipe.ema_decay), use_buffers=True)


def _warm_up_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    def average(averages: Tensors, values: Tensors, num: Tensor | int) -> None:
        weight = min(decay, (1.0 + float(num)) / (10.0 + float(num)))
        floats = [(a, v) for a, v in zip(averages, values) if a.is_floating_point()]
        if floats:
            torch._foreach_lerp_([a for a, _ in floats], [v for _, v in floats], 1.0 - weight)
        for a, v in zip(averages, values):
            if not a.is_floating_point():  # the batch norms' counters
                a.copy_(v)

    return average
