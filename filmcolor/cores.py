"""Who may use how many cores: the pools of OpenCV and PyTorch, set on purpose.

Every stage of the pipeline runs in a thread of its own, beside the decoder's and the
encoder's. Pools inside the stages would only fight with those over the same cores.
"""

import os
import sys
import threading
from contextlib import suppress

import cv2

_num_processes = 1
_NICER = 10  # steps, of 19: more give nothing more
_LARGE = 24 << 10  # bytes of a coded frame
_MOST = 16  # of a decoder's threads: each holds frames, and FFmpeg takes no more by itself


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


def num_decoder_threads(bytes_per_frame: float) -> int:
    """Return how many threads the decoder of a film takes that is coloured and encoded too.

    `bytes_per_frame`: of the coded film. Of small frames decoding is the least of the work, and
    more threads only take turns with the encoder's.
    """
    num = num_cores() if bytes_per_frame >= _LARGE else num_cores() // 2
    return min(_MOST, max(1, num // _num_processes))


def give_way() -> None:
    """Let the encoder's threads go before the calling one, where the system can (Linux).

    The encoder sets the pace where there are few cores. The other stages work ahead of it, and
    what they need is found while it waits for itself.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # sandboxes may forbid it
            niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICER
            os.setpriority(os.PRIO_PROCESS, thread, min(19, niceness))
