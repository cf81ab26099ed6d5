"""The events of a run, for programs: one line of JSON each, in a file or on stdout."""

import errno
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filmcolor.cli.console import translate_write_errors
from filmcolor.errors import FilmcolorError, OutputError
from filmcolor.version import __version__

if TYPE_CHECKING:
    from filmcolor.pipeline.report import Report

_CLOSED = {errno.EPIPE, errno.EINVAL} if sys.platform == "win32" else {errno.EPIPE}


class EventLog:
    """Appends events to a file and prints them on stdout, as far as each is asked for.

    Each event has a "time" (ISO 8601, UTC) and an "event": begun, finished, skipped, failed,
    interrupted or summary; only on stdout also those of `print`. A line is written, and the file
    closed, before the run continues.
    """

    def __init__(self, path: Path | None, is_printed: bool = False) -> None:
        self._path, self._is_printed = path, is_printed
        self._lock = threading.Lock()
        self.write("begun", version=__version__)

    @contextmanager
    def recording_errors(self, film: Path) -> Iterator[None]:
        """Log the error or interrupt that ends the work on a film, and raise it again."""
        try:
            yield
        except FilmcolorError as error:
            self.failed(film, str(error))
            raise
        except KeyboardInterrupt as interrupt:
            self.interrupted(film=str(film), kept=str(interrupt))
            raise

    def finished(self, film: Path, report: "Report") -> None:
        """Log that a film is finished, with its report."""
        from filmcolor.pipeline.report import describe_verification

        details = {**asdict(report), "output": str(report.output)}
        verified = describe_verification(report)
        self.write("finished", film=str(film), summary=str(report), verified=verified, **details)

    def skipped(self, film: Path, output: Path | None = None) -> None:
        """Log that a film was left alone, because it has an output already."""
        details = {} if output is None else {"output": str(output)}
        self.write("skipped", film=str(film), **details)

    def failed(self, film: Path, error: str) -> None:
        """Log that a film failed, with the reason."""
        self.write("failed", film=str(film), error=error)

    def interrupted(self, **details: str) -> None:
        """Log that the work on a film, or on several, was interrupted."""
        with suppress(KeyboardInterrupt):  # raised where stdout has no reader any more
            self.write("interrupted", **details)

    def write(self, event: str, **details: Any) -> None:
        """Append an event, and print it. Raises OutputError when that is impossible."""
        line = _format(event, details)
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError as error:
                raise OutputError(
                    f"{self._path} cannot be written ({error.strerror}); choose another --log"
                ) from error
        with translate_write_errors():
            self._print(line)

    def print(self, event: str, **details: Any) -> None:
        """Print an event that the file does not need: "progress" or "notice"."""
        with suppress(OSError):  # a full disk under stdout must not stop the run
            self._print(_format(event, details))

    def _print(self, line: str) -> None:
        """Print a line; raises KeyboardInterrupt when its reader is gone."""
        if not self._is_printed:
            return
        try:
            with self._lock:  # notices come from other threads
                sys.stdout.write(line)
                sys.stdout.flush()
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            _discard_output()
            # other threads leave it to the next line of the main one
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt from error


def _format(event: str, details: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event, **details}, ensure_ascii=True) + "\n"


def _discard_output() -> None:
    """Lead stdout nowhere: what is buffered would fail once more when Python exits."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
