"""The optimizer of a training run, its learning rates, and the average of the weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from filmcolor.network.model import ColorNet, ContextNet
from filmcolor.train.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]

_NUM_CONTEXT_FROZEN = 7  # blocks of the context branch, to H/8
_NUM_TRUNK_FROZEN = 5  # stages of the trunk: its first convolution and layer 1
_WARM_UP = 0.1  # share of the steps in which the one-cycle learning rate rises


def frozen_modules(net: ColorNet, recipe: Recipe) -> list[nn.Module]:
    """Return the first layers of a network, if the recipe does not train them.

    They keep the edges and textures that more data taught them, and a step takes half the time
    (`train/LOG.md`).
    """
    if not recipe.is_start_frozen:
        return []
    modules: list[nn.Module] = [net.midlevel_resnet[:_NUM_TRUNK_FROZEN]]
    if isinstance(net, ContextNet):
        modules.append(net.context[:_NUM_CONTEXT_FROZEN])
    return modules


def build_optimizer(net: ColorNet, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters.

    The context branch has a learning rate of its own.
    """
    context: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            (context if name.startswith("context.") else others).append(parameter)
    groups: list[dict[str, Any]] = [{"params": others, "lr": recipe.learning_rate}]
    if context:
        groups.append({"params": context, "lr": recipe.learning_rate * recipe.context_rate})
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


def build_average(net: ColorNet, recipe: Recipe) -> AveragedModel:
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
