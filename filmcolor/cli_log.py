"""What happened in a run, for machines: a line of JSON for each event."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filmcolor import __version__
from filmcolor.errors import FilmcolorError, OutputError

if TYPE_CHECKING:
    from filmcolor.pipeline import Report


class RunLog:
    """Appends events to a file; to none when there is no path.

    Each has a "time" (ISO 8601, UTC) and an "event": begun, finished, failed, interrupted.
    Every line is on its way to the disk before the run goes on.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.write("begun", version=__version__)

    @contextmanager
    def of(self, film: Path) -> Iterator[None]:
        """Write down what ends the work on a film early."""
        try:
            yield
        except FilmcolorError as error:
            self.failed(film, str(error))
            raise
        except KeyboardInterrupt as stop:
            self.write("interrupted", film=str(film), kept=str(stop))
            raise

    def finished(self, film: Path, report: "Report") -> None:
        """Write down that a film is in colour, and all that is known of it."""
        self.write("finished", film=str(film), **{**asdict(report), "output": str(report.output)})

    def failed(self, film: Path, error: str) -> None:
        """Write down why a film is not in colour."""
        self.write("failed", film=str(film), error=error)

    def write(self, event: str, **facts: Any) -> None:
        """Append an event. Raises OutputError when the file cannot be written."""
        if self._path is None:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=True)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written ({error.strerror}); choose another --log"
            ) from error
