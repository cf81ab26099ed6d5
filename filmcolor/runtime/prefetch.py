"""Runs a stage of the pipeline in a background thread, a few items ahead of its reader.

Items are handed over up to four at a time, stages of one thread take up to eight (`in_bursts`), and
queues hold more of small frames. Waking a thread for each frame, finding the caches cold for each,
and an encoder that waits for the network's batches took 8 % of a run at 480p. Fewer threads, or a
shorter switch interval of the interpreter, made no difference beside that.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Generic, TypeVar

from filmcolor.runtime.profiler import Profiler, close_iterator
from filmcolor.runtime.threads import lower_priority

T = TypeVar("T")
_MAX_BURST = 4  # items handed over at a time
_POLL_SECONDS = 0.1  # between two looks at whether the other thread is still there


def in_bursts(items: Iterable[T], num: int) -> Iterator[T]:
    """Yield the same items, taken `num` at a time.

    Between two stages of one thread: the data of each stage stays in the cache for a while.
    """
    iterator = iter(items)
    try:
        while burst := list(islice(iterator, num)):
            yield from burst
    finally:
        close_iterator(iterator)


class Prefetch(Generic[T]):
    """Iterates in a background thread, buffering up to `depth` items.

    A context manager: its iterator raises what the thread raised, after the items before it, and
    leaving it stops the thread and closes the items. Neither side waits for a thread that has
    ended. `profiler`: does not count the time that either thread waits for the other.
    """

    def __init__(self, items: Iterable[T], depth: int, profiler: Profiler | None = None) -> None:
        self._items, self._profiler = items, profiler
        self._max_burst = min(_MAX_BURST, max(1, depth // 4))
        # (items, end); end: False, True after the last item, or the error that ended the thread
        self._queue: queue.Queue[tuple[list[T], BaseException | bool]] = queue.Queue(
            max(1, depth // self._max_burst)
        )
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Prefetch[T]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=_POLL_SECONDS / 2)
            except queue.Empty:
                continue

    def __iter__(self) -> Iterator[T]:
        end: BaseException | bool = False
        while not end:
            with self._waiting():
                items, end = self._get()
            yield from items
        if isinstance(end, BaseException):
            raise end

    def _get(self) -> tuple[list[T], BaseException | bool]:
        while True:
            is_alive = self._thread.is_alive()  # before: what it put last must be found
            try:
                return self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not is_alive:
                    raise RuntimeError("Prefetch can only be read inside its context") from None

    def _run(self) -> None:
        burst: list[T] = []
        end: BaseException | bool = True
        try:
            lower_priority()
            try:
                for item in self._items:
                    burst.append(item)
                    if len(burst) == self._max_burst:
                        self._put(burst)
                        burst = []
                    if self._is_stopped.is_set():
                        break
            finally:
                close_iterator(self._items)
        except BaseException as error:  # raised again in the reader's thread
            end = error
        self._put(burst, end)

    def _put(self, burst: list[T], end: BaseException | bool = False) -> None:
        with self._waiting():
            while not self._is_stopped.is_set():
                try:
                    self._queue.put((burst, end), timeout=_POLL_SECONDS)
                    return
                except queue.Full:
                    continue

    def _waiting(self) -> AbstractContextManager[None]:
        return self._profiler.waiting() if self._profiler else nullcontext()
