"""Measures where the time of a run goes, stage by stage."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_WAITING = ""  # for another thread: belongs to no stage
STAGES = (
    "decode",
    "downscale",
    "chroma classes",
    "shots",
    "motion",
    "network",
    "model",
    "matched shots",
    "coloured film",
    "likeness",
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
    """The cost of a stage: seconds of processor time, and of wall time without waiting."""

    stage: str
    processor_seconds: float
    wall_seconds: float


class Profiler:
    """Adds up the time that each stage takes, over all threads it runs in.

    Stages nest: time spent in an inner stage, such as the one that supplies the items, is not
    counted for the outer one. Threads that a codec starts itself belong to no stage; they and
    everything else are counted as REST.
    """

    def __init__(self) -> None:
        self._costs = {stage: [0.0, 0.0] for stage in (*STAGES, _WAITING)}
        self._thread = threading.local()  # stack: the open sections; mark: time counted so far
        self._lock = threading.Lock()
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the same items; the time it takes to make them counts for the stage."""
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
            close_iterator(iterator)

    @contextmanager
    def section(self, stage: str) -> Iterator[None]:
        """Count the time inside for the stage, except that of sections inside.

        Raises ValueError for a stage that is not in STAGES.
        """
        if stage not in self._costs:
            raise ValueError(f"unknown stage {stage!r}; add it to profiler.STAGES")
        stack = self._stack()
        self._charge(stack)
        stack.append(stage)
        try:
            yield
        finally:
            self._charge(stack)
            stack.pop()

    def waiting(self) -> AbstractContextManager[None]:
        """Count the time inside for no stage."""
        return self.section(_WAITING)

    def costs(self) -> list[StageCost]:
        """Return the cost of each stage, in the order of STAGES, and the rest of the process.

        The wall time of the rest is that of the whole.
        """
        with self._lock:
            costs = [StageCost(stage, *self._costs[stage]) for stage in STAGES]
        processor = time.process_time() - self._processor
        rest = processor - sum(cost.processor_seconds for cost in costs)
        return [*costs, StageCost(REST, max(0.0, rest), time.perf_counter() - self._wall)]

    def _stack(self) -> list[str]:
        """Return the calling thread's open sections, the innermost last."""
        if not hasattr(self._thread, "stack"):
            self._thread.stack = []
            self._thread.mark = time.thread_time(), time.perf_counter()
        stack: list[str] = self._thread.stack
        return stack

    def _charge(self, stack: list[str]) -> None:
        """Count the thread's time since the last call for the innermost section."""
        before, now = self._thread.mark, (time.thread_time(), time.perf_counter())
        self._thread.mark = now
        if stack:
            with self._lock:
                cost = self._costs[stack[-1]]
                cost[0] += now[0] - before[0]
                cost[1] += now[1] - before[1]


def section(profiler: Profiler | None, stage: str) -> AbstractContextManager[None]:
    """Return `profiler.section`, or a context that does nothing without a profiler."""
    return profiler.section(stage) if profiler else nullcontext()


def timed(profiler: Profiler | None, stage: str, items: Iterable[T]) -> Iterable[T]:
    """Return `profiler.timed`, or the items themselves without a profiler."""
    return profiler.timed(stage, items) if profiler else items


def close_iterator(iterator: Iterable[object]) -> None:
    """Close an iterator that can be closed: a generator then runs its clean-up code."""
    close = getattr(iterator, "close", None)
    if close:
        close()
