"""Lets background work stand back while a person waits for a picture."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_WAIT = 10.0  # seconds: a request that hangs must not stop the background for ever


class Gate:
    """Counts what a person waits for; background work waits until there is nothing.

    `background`: held by work in the background, which is done one thing at a time.
    """

    def __init__(self) -> None:
        self.background = threading.Lock()
        self._condition = threading.Condition()
        self._num_urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold back the background during a request."""
        with self._condition:
            self._num_urgent += 1
        try:
            yield
        finally:
            with self._condition:
                self._num_urgent -= 1
                self._condition.notify_all()

    def wait(self) -> None:
        """Return when no request is urgent."""
        if self._num_urgent:
            with self._condition:
                self._condition.wait_for(lambda: not self._num_urgent, _LONGEST_WAIT)
