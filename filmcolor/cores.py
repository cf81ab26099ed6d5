"""Who may use how many cores: the pools of OpenCV and PyTorch, set on purpose.

Every stage of the pipeline runs in a thread of its own, beside the decoder's and the
encoder's. Pools inside the stages would only fight with those over the same cores.
"""

import os

import cv2

_num_processes = 1


def num_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(num_processes: int) -> None:
    """Say that this process is one of `num_processes` that colour films on this machine."""
    global _num_processes
    _num_processes = num_processes


def set_pools(*, is_network_busy: bool) -> None:
    """Set the pools of this process for a film.

    `is_network_busy`: the network colours every frame, and is what the other stages wait
    for; else one core is more than it needs.
    """
    import torch

    cv2.setNumThreads(1)
    own = max(1, num_cores() // _num_processes)
    torch.set_num_threads(own if is_network_busy else 1)


def num_decoder_threads() -> int:
    """Return how many threads the decoder of a film takes that is coloured and encoded too.

    It is the least of the work: more threads only take turns with the encoder's.
    """
    return max(1, num_cores() // (2 * _num_processes))
