"""A stage of the pipeline in a thread of its own, a few items ahead."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from filmcolor.profiling import Profile

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Runs an iterable in a thread of its own, at most `depth` items ahead.

    An error there is raised here; leaving the context stops the thread. `profile`: told of
    the time that either thread waits for the other.
    """

    def __init__(self, items: Iterable[T], depth: int, profile: Profile | None = None) -> None:
        self._items, self._profile = items, profile
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
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
        while True:
            with self._waiting():
                kind, item = self._queue.get()
            if kind == "item":
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return

    def _work(self) -> None:
        try:
            for item in self._items:
                self._put("item", item)
                if self._is_stopped.is_set():
                    return
            self._put("end", None)
        except BaseException as error:  # raised again in the reader's thread
            self._put("error", error)
        finally:
            close = getattr(self._items, "close", None)
            if close:
                close()

    def _put(self, kind: str, item: T | BaseException | None) -> None:
        with self._waiting():
            while not self._is_stopped.is_set():
                try:
                    self._queue.put((kind, item), timeout=0.1)
                    return
                except queue.Full:
                    continue

    def _waiting(self) -> AbstractContextManager[None]:
        return self._profile.waiting() if self._profile else nullcontext()
