"""Progress as events on stdout, for programs that run filmcolor: `--progress json`."""

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from filmcolor.cli.event_log import EventLog
from filmcolor.cli.notices import notices
from filmcolor.runtime.platform import stop_without_reader

INTERVAL_SECONDS = 0.2  # at least, between two events about one film

_clock = time.monotonic


class JsonProgress:
    """Prints progress and notices as events; takes the place of `BatchProgress`.

    Results and errors are events of the log, so their lines are not printed. In its context a run
    stops as if interrupted when the program that reads stdout is gone.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._times: dict[Path, float] = {}  # of the last event, by film
        self._context = ExitStack()

    def __enter__(self) -> "JsonProgress":
        with suppress(OSError, ValueError):  # stdout has no descriptor
            stop_without_reader(sys.stdout.fileno())
        self._context.enter_context(notices(lambda line: self._log.print("notice", text=line)))
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def advance(self, film: Path, done: int, total: int | None) -> None:
        """Print a film's progress, at most five times a second. `total`: None if unknown."""
        now = _clock()
        if done == total or now - self._times.get(film, -INTERVAL_SECONDS) >= INTERVAL_SECONDS:
            self._times[film] = now
            self._log.print("progress", film=str(film), done=done, total=total)

    def close(self, film: Path) -> None:
        """Forget a film."""
        self._times.pop(film, None)

    def print_line(self, line: str) -> None:
        """Print nothing: the event "finished" has the line."""

    def warn(self, line: str) -> None:
        """Print nothing: the event "finished" has the line."""

    def print_error(self, film: Path, reason: str) -> None:
        """Print nothing: the event "failed" has the reason."""
