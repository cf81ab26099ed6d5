"""A stage in a thread of its own gives what it would give here, and stops when asked."""

import threading
from collections.abc import Iterator

import pytest

from filmcolor.runtime.prefetch import Prefetch, in_bursts


class Source:
    """Numbers, counted as they are taken; told when it is close_quietly."""

    def __init__(self, num: int, error: Exception | None = None) -> None:
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
    with Prefetch(iter(Source(num, ValueError("spoiled"))), 16) as items:  # noqa: SIM117
        with pytest.raises(ValueError, match="spoiled"):
            for item in items:
                taken.append(item)
    assert taken == list(range(num))


def test_it_goes_no_further_ahead_than_its_depth() -> None:
    source = Source(1000)
    with Prefetch(iter(source), 8) as items:
        assert next(iter(items)) == 0
    assert source.is_closed.wait(5.0)
    assert source.num_taken <= 8 + 3 * 4  # in the queue, in either hand, and one more that waits


def test_bursts_are_the_same_items() -> None:
    source = Source(10)
    burst = in_bursts(iter(source), 4)
    assert next(burst) == 0
    assert source.num_taken == 4
    assert list(burst) == list(range(1, 10))


def test_bursts_close_what_they_take_from() -> None:
    source = Source(10)
    burst = in_bursts(iter(source), 4)
    assert next(burst) == 0
    burst.close()
    assert source.is_closed.is_set()
