"""Training in several processes, as `torchrun` starts them."""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from filmcolor.network.device import choose_device


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of the processes of `torchrun` this is; one alone without it."""

    rank: int = 0
    num: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Ranks":
        """Meet the other processes, if `torchrun` started some."""
        num = int(os.environ.get("WORLD_SIZE", "1"))
        if num > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), num) if num > 1 else cls()

    def agree_on(self, thing: Any) -> Any:
        """Return the first process's thing, in all of them."""
        if self.num == 1:
            return thing
        things = [thing]
        dist.broadcast_object_list(things)
        return things[0]


def leave_others() -> None:
    """Take leave of the other processes of `torchrun`, if there are some."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def own_device(name: str) -> torch.device:
    """Return this process's device: under `torchrun`, each takes a card of its own."""
    local_rank = os.environ.get("LOCAL_RANK")
    if local_rank is not None and choose_device(name).type == "cuda":
        device = choose_device(f"cuda:{local_rank}")
        torch.cuda.set_device(device)
        return device
    return choose_device(name)
