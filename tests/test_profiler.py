"""The profiler counts each stage's own time; thread pools share the threads."""

import os
import sys
import threading
import time
from collections.abc import Iterator

import cv2
import pytest
import torch

from filmcolor.runtime import threads
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.runtime.profiler import REST, STAGES, Profiler, StageCost, section, timed

STEP = 0.02  # seconds


def burn(seconds: float) -> None:
    """Keep the processor busy."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def busy(items: range, seconds: float) -> Iterator[int]:
    for item in items:
        burn(seconds)
        yield item


def by_stage(profiler: Profiler) -> dict[str, StageCost]:
    return {cost.stage: cost for cost in profiler.costs()}


def test_a_stage_is_not_charged_for_the_one_before_it() -> None:
    profiler = Profiler()

    def second() -> Iterator[int]:
        for item in profiler.timed("decode", busy(range(5), STEP)):
            burn(2 * STEP)
            yield item

    assert list(profiler.timed("downscale", second())) == list(range(5))
    costs = by_stage(profiler)
    assert costs["decode"].processor_seconds == pytest.approx(5 * STEP, abs=STEP)
    assert costs["downscale"].processor_seconds == pytest.approx(10 * STEP, abs=STEP)
    assert list(costs) == [*STAGES, REST]


def test_sections_inside_each_other_add_up_to_the_whole() -> None:
    profiler = Profiler()
    with profiler.section("encode"):
        burn(STEP)
        with profiler.section("mux"):
            burn(2 * STEP)
        burn(STEP)
    costs = by_stage(profiler)
    assert costs["encode"].processor_seconds == pytest.approx(2 * STEP, abs=STEP / 2)
    assert costs["mux"].processor_seconds == pytest.approx(2 * STEP, abs=STEP / 2)


def test_waiting_for_another_thread_counts_for_no_stage() -> None:
    profiler = Profiler()

    def slow() -> Iterator[int]:
        for item in range(5):
            time.sleep(STEP)
            yield item

    with Prefetch(timed(profiler, "decode", slow()), 2, profiler) as items:
        assert list(profiler.timed("chroma", items)) == list(range(5))
    costs = by_stage(profiler)
    assert costs["decode"].wall_seconds >= 5 * STEP
    assert costs["decode"].processor_seconds < 2 * STEP
    assert costs["chroma"].wall_seconds < 2 * STEP


def test_leaving_early_closes_the_timed_items() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(5)
        finally:
            closed.append(True)

    stage = Profiler().timed("decode", items())
    assert next(iter(stage)) == 0
    stage.close()  # type: ignore[attr-defined]
    assert closed


def test_without_a_profiler_nothing_is_counted() -> None:
    items = range(3)
    assert timed(None, "decode", items) is items
    with section(None, "encode"):
        pass


def test_an_unknown_stage_is_refused_and_leaves_no_section_open() -> None:
    profiler = Profiler()
    with pytest.raises(ValueError, match="unknown stage 'encoding'"), profiler.section("encoding"):
        pass
    with profiler.section("encode"):
        burn(STEP)
    assert by_stage(profiler)["encode"].processor_seconds >= STEP


@pytest.fixture
def pools() -> Iterator[None]:
    """Restore the pools."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    threads.set_num_processes(1)
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize(
    ("num_processes", "is_network_busy", "num_threads"),
    [(1, True, 8), (1, False, 1), (4, True, 2), (16, True, 1)],
)
def test_pools_do_not_fight_over_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    pools: None,
    num_processes: int,
    is_network_busy: bool,
    num_threads: int,
) -> None:
    monkeypatch.setattr(threads, "num_cores", lambda: 8)
    threads.set_num_processes(num_processes)
    before = torch.get_num_threads(), cv2.getNumThreads()
    with threads.thread_pools(is_network_busy=is_network_busy):
        assert torch.get_num_threads() == num_threads
        assert cv2.getNumThreads() == 1
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_contexts_that_overlap_restore_the_pools_too(pools: None) -> None:
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    first = threads.thread_pools(is_network_busy=False)
    second = threads.thread_pools(is_network_busy=False)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1  # the second still colours
    second.__exit__(None, None, None)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)


@pytest.mark.parametrize(
    ("num_cores", "kilobytes", "num_processes", "num_threads"),
    [
        *[(8, 100, 1, 8), (8, 10, 1, 4), (8, 0, 1, 4)],
        *[(8, 100, 4, 2), (8, 10, 4, 1), (8, 10, 16, 1)],
        *[(64, 100, 1, 16), (64, 10, 1, 16), (64, 100, 8, 8), (1, 100, 1, 1), (1, 0, 1, 1)],
    ],
)
def test_decoders_of_large_frames_take_all_cores(
    monkeypatch: pytest.MonkeyPatch,
    pools: None,
    num_cores: int,
    kilobytes: float,
    num_processes: int,
    num_threads: int,
) -> None:
    monkeypatch.setattr(threads, "num_cores", lambda: num_cores)
    threads.set_num_processes(num_processes)
    assert threads.num_decoder_threads(kilobytes * 1024) == num_threads


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_stages_give_way_to_the_encoder_and_no_other_thread_does() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def after_each_call() -> Iterator[int]:
        yield niceness()
        for _ in range(2):
            threads.lower_priority()  # 19 is the most
            yield niceness()

    before = niceness()
    with Prefetch(after_each_call(), 8) as items:
        assert list(items) == [min(19, before + 10 * n) for n in (1, 2, 3)]
    assert niceness() == before
