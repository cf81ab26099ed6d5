"""The event log of a run, for programs: one line of JSON per event."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filmcolor.errors import FilmcolorError, OutputError
from filmcolor.version import __version__

if TYPE_CHECKING:
    from filmcolor.pipeline.report import Report


class EventLog:
    """Appends events to a file, or discards them when there is no path.

    Each event has a "time" (ISO 8601, UTC) and an "event": begun, finished, failed or interrupted.
    A line is written and the file closed before the run continues.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
            self.write("interrupted", film=str(film), kept=str(interrupt))
            raise

    def finished(self, film: Path, report: "Report") -> None:
        """Log that a film is finished, with its report."""
        self.write("finished", film=str(film), **{**asdict(report), "output": str(report.output)})

    def failed(self, film: Path, error: str) -> None:
        """Log that a film failed, with the reason."""
        self.write("failed", film=str(film), error=error)

    def write(self, event: str, **details: Any) -> None:
        """Append an event. Raises OutputError when the file cannot be written."""
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **details}, ensure_ascii=True)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written ({error.strerror}); choose another --log"
            ) from error
