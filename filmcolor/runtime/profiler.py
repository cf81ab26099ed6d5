"""Where the time of a run goes, stage by stage."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_WAITING = ""  # for another thread: nobody's work
STAGES = (
    "decode",
    "downscale",
    "chroma classes",
    "shots",
    "motion",
    "network",
    "references",
    "steadying",
    "chroma",
    "frame building",
    "encode",
    "copied streams",
    "mux",
    "verify",
)
REST = "codecs' own threads, start and end"


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage cost: seconds of the processor, and of the clock without waiting for others."""

    stage: str
    processor_seconds: float
    wall_seconds: float


class Profiler:
    """Adds up the time that each stage takes in the threads it runs in.

    What a stage asks of the one before it, in the same thread, is that one's. Threads that
    a codec starts itself are nobody's: what they and everything else cost is REST.
    """

    def __init__(self) -> None:
        self._costs = {stage: [0.0, 0.0] for stage in (*STAGES, _WAITING)}
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the same items; the time spent on making them is the stage's."""
        iterator = iter(items)
        try:
            while True:
                with self.section(stage):
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close:
                close()

    @contextmanager
    def section(self, stage: str) -> Iterator[None]:
        """Count the time inside as the stage's, but for what other stages take of it."""
        stack = self._stack()
        self._charge(stack)
        stack.append(stage)
        try:
            yield
        finally:
            self._charge(stack)
            stack.pop()

    def waiting(self) -> AbstractContextManager[None]:
        """Count the time inside as no stage's."""
        return self.section(_WAITING)

    def costs(self) -> list[StageCost]:
        """Return each stage's cost, in the order of STAGES, and the rest of the process's.

        The rest has the wall time of the whole.
        """
        with self._lock:
            costs = [StageCost(stage, *self._costs[stage]) for stage in STAGES]
        processor = time.process_time() - self._processor
        rest = processor - sum(cost.processor_seconds for cost in costs)
        return [*costs, StageCost(REST, max(0.0, rest), time.perf_counter() - self._wall)]

    def _stack(self) -> list[str]:
        if not hasattr(self._own, "stack"):
            self._own.stack = []
            self._own.mark = time.thread_time(), time.perf_counter()
        stack: list[str] = self._own.stack
        return stack

    def _charge(self, stack: list[str]) -> None:
        before, now = self._own.mark, (time.thread_time(), time.perf_counter())
        self._own.mark = now
        if stack:
            with self._lock:
                cost = self._costs[stack[-1]]
                cost[0] += now[0] - before[0]
                cost[1] += now[1] - before[1]


def section(profiler: Profiler | None, stage: str) -> AbstractContextManager[None]:
    """Return what counts the time inside as a stage's, where there is a profile."""
    return profiler.section(stage) if profiler else nullcontext()


def timed(profiler: Profiler | None, stage: str, items: Iterable[T]) -> Iterable[T]:
    """Return the same items, their making counted as a stage's where there is a profile."""
    return profiler.timed(stage, items) if profiler else items
