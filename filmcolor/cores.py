"""Who may use how many cores: the pools of OpenCV and PyTorch, set on purpose.

Every stage of the pipeline runs in a thread of its own, beside the decoder's and the
encoder's. Pools inside the stages would only fight with those over the same cores.
"""

import os

import cv2


def num_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(num_processes: int = 1) -> None:
    """Set the pools of this process, one of `num_processes` that colour films on this machine."""
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(max(1, num_cores() // num_processes))
