"""Training in several processes, as `torchrun` starts them."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from filmcolor.network.device import choose_device

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The position of this process among those of `torchrun`; a single process without it."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "ProcessGroup":
        """Return this process's position, after connecting to the others if there are any."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), size) if size > 1 else cls()

    def broadcast(self, value: T) -> T:
        """Return the first process's value, in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


def leave_process_group() -> None:
    """Disconnect from the other processes of `torchrun`, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def local_device(name: str) -> torch.device:
    """Return this process's device: under `torchrun` each process gets a GPU of its own."""
    local_rank = os.environ.get("LOCAL_RANK")
    if local_rank is not None and choose_device(name).type == "cuda":
        device = choose_device(f"cuda:{local_rank}")
        torch.cuda.set_device(device)
        return device
    return choose_device(name)
