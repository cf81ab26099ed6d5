"""Thread pools and priorities: which stage may use how many cores.

Every stage of the pipeline runs in its own thread, beside the decoder's and the encoder's. Pools
inside the stages would compete with them for the same cores, so OpenCV's pool is off and the
network has one core, except where it colours every frame (`--smooth off`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from filmcolor.runtime.platform import lower_thread_priority, num_cores

_num_processes = 1
_lock = threading.Lock()
_num_users = 0  # of `thread_pools`, at this moment
_host_threads = 0, 0  # OpenCV's and PyTorch's, before the first of them
_NICENESS = 10  # of 19, added to a stage's thread; 1, 5 and 19 measured about the same
_LARGE_FRAME = 24 << 10  # bytes of a coded frame
_MAX_DECODER_THREADS = 16  # each holds frames; FFmpeg's own limit


def set_num_processes(num_processes: int) -> None:
    """Declare that `num_processes` processes like this one share the machine's cores.

    Workers call it once, when they start.
    """
    global _num_processes
    _num_processes = num_processes


@contextmanager
def thread_pools(*, is_network_busy: bool) -> Iterator[None]:
    """Limit the thread pools of OpenCV and PyTorch while colouring; restore them at the end.

    Contexts may overlap, as those of two generators do that are read in turn: the last one to end
    restores OpenCV's pool. PyTorch's setting belongs to the calling thread, so each context
    restores it.
    `is_network_busy`: the network colours every frame and the other stages wait for it; else one
    core is more than it needs.
    """
    global _num_users, _host_threads
    import torch

    share = max(1, num_cores() // _num_processes)
    with _lock:
        if _num_users == 0:
            _host_threads = cv2.getNumThreads(), torch.get_num_threads()
        _num_users += 1
        cv2.setNumThreads(1)
        torch.set_num_threads(share if is_network_busy else 1)
    try:
        yield
    finally:
        with _lock:
            _num_users -= 1
            if _num_users == 0:
                cv2.setNumThreads(_host_threads[0])
            torch.set_num_threads(_host_threads[1])


def num_model_threads() -> int:
    """Return how many threads a model of others gets: this process's share of the cores.

    It runs seldom and for seconds; meanwhile the other stages have little to do.
    """
    return max(1, num_cores() // _num_processes)


def num_decoder_threads(bytes_per_frame: float) -> int:
    """Return how many threads the decoder of a film gets.

    `bytes_per_frame`: of the coded film. Small frames get half the cores: with all of them the
    decoder competes with the encoder (2 to 6 % more time). Large ones get all, because there
    decoding is what the other stages wait for (7 % less time at 480p, 12 % at 1080p, on a grainy
    film and two cores).
    """
    num = num_cores() if bytes_per_frame >= _LARGE_FRAME else num_cores() // 2
    return min(_MAX_DECODER_THREADS, max(1, num // _num_processes))


def decoder_thread_choices(bytes_per_frame: float) -> tuple[int, ...]:
    """Return the numbers of threads with which a run may have decoded a film, likely ones first.

    What a decoder makes of a damaged film depends on them.
    """
    return tuple(dict.fromkeys((num_decoder_threads(bytes_per_frame), 1)))


def lower_priority() -> None:
    """Lower the calling thread's priority below the encoder's, on Linux.

    The encoder sets the pace where cores are few; the other stages run ahead of it, in the time
    that it waits. Saves 2 to 3 % of a run on two cores.
    """
    lower_thread_priority(_NICENESS)
