"""A stage in a background thread gives the same items, and stops when its reader does."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from filmcolor.runtime.prefetch import Prefetch, in_bursts
from filmcolor.runtime.profiler import Profiler


class Source:
    """Yields numbers, counts those taken, and records that it was closed."""

    def __init__(self, num: int, error: BaseException | None = None) -> None:
        self.num, self.error, self.num_taken = num, error, 0
        self.is_closed = threading.Event()

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.num):
                self.num_taken += 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.is_closed.set()


@pytest.mark.parametrize("num", [0, 1, 3, 4, 5, 50])
@pytest.mark.parametrize("depth", [1, 2, 16])
def test_items_come_in_order(num: int, depth: int) -> None:
    with Prefetch(iter(Source(num)), depth) as items:
        assert list(items) == list(range(num))


@pytest.mark.parametrize("num", [0, 2, 9])
def test_an_error_comes_after_the_items_before_it(num: int) -> None:
    taken = []
    with Prefetch(iter(Source(num, ValueError("broken"))), 16) as items:  # noqa: SIM117
        with pytest.raises(ValueError, match="broken"):
            for item in items:
                taken.append(item)
    assert taken == list(range(num))


def test_it_goes_no_further_ahead_than_its_depth() -> None:
    source = Source(1000)
    with Prefetch(iter(source), 8) as items:
        assert next(iter(items)) == 0
    assert source.is_closed.wait(5.0)
    assert (
        source.num_taken <= 8 + 3 * 4
    )  # in the queue, in both threads' bursts, and one burst that waits


def test_bursts_are_the_same_items() -> None:
    source = Source(10)
    burst = in_bursts(iter(source), 4)
    assert next(burst) == 0
    assert source.num_taken == 4
    assert list(burst) == list(range(1, 10))


def test_bursts_close_their_source() -> None:
    source = Source(10)
    burst = in_bursts(iter(source), 4)
    assert next(burst) == 0
    burst.close()
    assert source.is_closed.is_set()


@pytest.mark.parametrize("error", [KeyError("stage"), SystemExit(1), KeyboardInterrupt()])
def test_an_error_ends_a_chain_of_threads(error: BaseException) -> None:
    """The innermost of three threads fails while the others wait for it."""
    with (
        Prefetch(iter(Source(2, error)), 8) as first,
        Prefetch(iter(first), 8) as second,
        Prefetch(iter(second), 8) as third,
        pytest.raises(type(error)),
    ):
        list(third)


def test_an_unknown_stage_is_an_error_and_no_hang() -> None:
    profiler = Profiler()
    unknown = profiler.timed("no such stage", range(3))
    with (
        Prefetch(unknown, 8, profiler) as first,
        Prefetch(profiler.timed("decode", first), 8, profiler) as second,
        pytest.raises(ValueError, match="no such stage"),
    ):
        list(second)


def test_an_error_while_closing_reaches_the_reader() -> None:
    class Closing:
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

        def close(self) -> None:
            raise OSError("cannot be closed")

    taken = []
    with Prefetch(Closing(), 8) as items:  # noqa: SIM117
        with pytest.raises(OSError, match="cannot be closed"):
            for item in items:
                taken.append(item)
    assert taken == [0, 1, 2]


def test_a_reader_does_not_wait_for_a_thread_that_has_ended() -> None:
    with Prefetch(iter(Source(1000)), 8) as items:
        iterator = iter(items)
        assert next(iterator) == 0
    with pytest.raises(RuntimeError, match="inside its context"):
        list(iterator)
    with pytest.raises(RuntimeError, match="inside its context"):
        next(iter(Prefetch(iter(Source(3)), 8)))  # never entered


def test_a_reader_in_another_thread_ends_with_the_context() -> None:
    def slow() -> Iterator[int]:
        yield 0
        stop.wait(10.0)

    def read() -> None:
        with suppress(RuntimeError):  # if the thread ended before it delivered everything
            list(items)

    stop = threading.Event()
    with Prefetch(slow(), 1) as items:
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        time.sleep(0.05)
        stop.set()
    reader.join(5.0)
    assert not reader.is_alive()
