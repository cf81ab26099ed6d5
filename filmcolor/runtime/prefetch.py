"""A stage of the pipeline in a thread of its own, a few items ahead."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Generic, TypeVar

from filmcolor.runtime.profiler import Profiler
from filmcolor.runtime.threads import lower_priority

T = TypeVar("T")
_AT_ONCE = 4  # items: to wake the other thread for each one costs more than most stages do


def in_bursts(items: Iterable[T], num: int) -> Iterator[T]:
    """Yield the same items, `num` taken at a time.

    Between two stages of one thread: what each of them needs stays in the cache for a while.
    """
    iterator = iter(items)
    try:
        while burst := list(islice(iterator, num)):
            yield from burst
    finally:
        close = getattr(iterator, "close", None)
        if close:
            close()


class Prefetch(Generic[T]):
    """Runs an iterable in a thread of its own, `depth` items ahead, and what two hands hold.

    An error there is raised here; leaving the context stops the thread. `profile`: told of
    the time that either thread waits for the other.
    """

    def __init__(self, items: Iterable[T], depth: int, profiler: Profiler | None = None) -> None:
        self._items, self._profiler = items, profiler
        self._most = min(_AT_ONCE, max(1, depth // 4))
        self._queue: queue.Queue[tuple[list[T], BaseException | bool]] = queue.Queue(
            max(1, depth // self._most)
        )
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Prefetch[T]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def __iter__(self) -> Iterator[T]:
        end: BaseException | bool = False
        while not end:
            with self._waiting():
                items, end = self._queue.get()
            yield from items
        if isinstance(end, BaseException):
            raise end

    def _work(self) -> None:
        items: list[T] = []
        lower_priority()
        try:
            for item in self._items:
                items.append(item)
                if len(items) == self._most:
                    self._put(items)
                    items = []
                if self._is_stopped.is_set():
                    return
            self._put(items, True)
        except BaseException as error:  # raised again in the reader's thread
            self._put(items, error)
        finally:
            close = getattr(self._items, "close", None)
            if close:
                close()

    def _put(self, items: list[T], end: BaseException | bool = False) -> None:
        with self._waiting():
            while not self._is_stopped.is_set():
                try:
                    self._queue.put((items, end), timeout=0.1)
                    return
                except queue.Full:
                    continue

    def _waiting(self) -> AbstractContextManager[None]:
        return self._profiler.waiting() if self._profiler else nullcontext()
