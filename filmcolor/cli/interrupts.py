"""Signals that end a command as Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from filmcolor.runtime.platform import STOP_SIGNALS


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM and a closed terminal into KeyboardInterrupt, so that a run cleans up.

    A signal that is ignored, by nohup for example, stays ignored.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [number for number in STOP_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
