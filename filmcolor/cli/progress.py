"""Progress on stderr: bars on a terminal, plain lines in logs, CI and pipes."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import click

from filmcolor.cli.console import escape_controls, translate_write_errors
from filmcolor.cli.notices import notices

_MIN_SECONDS = 1.0  # from a film's first progress until its speed is told
INTERVAL_SECONDS = 10.0  # at least, between two plain lines

_MAX_LABEL = 24  # characters of a film's name beside its bar
_clock = time.monotonic


def is_terminal() -> bool:
    """Return whether stderr is a terminal, where a bar can be redrawn."""
    return sys.stderr.isatty()


@contextmanager
def progress_bar(
    quiet: bool, source: Path, unit: str = "frame"
) -> Iterator[Callable[..., None] | None]:
    """Give a callback (done, total, ...) that shows progress on stderr; None when quiet.

    `source`: the film or folder that plain lines name. `unit`: a singular noun.
    """
    if quiet:
        yield None
        return
    display = _make_display(unit, has_labels=False)

    def advance(done: int, total: int | None, *_: Any) -> None:
        display.update(source, done, total)

    try:
        with notices(_warn):
            yield advance
    finally:
        display.close(source)


class BatchProgress:
    """Progress of a batch, and result lines above its bars.

    Films that are coloured side by side have a bar each, with a label; pictures share one.
    """

    def __init__(self, quiet: bool, unit: str = "frame", has_labels: bool = True) -> None:
        self._quiet = quiet
        self._display = _make_display(unit, has_labels)
        self._films: set[Path] = set()
        self._context = ExitStack()

    def __enter__(self) -> "BatchProgress":
        if not self._quiet:
            self._context.enter_context(notices(_warn))
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()
        for film in list(self._films):
            self.close(film)

    def advance(self, film: Path, done: int, total: int | None) -> None:
        """Show a film's progress."""
        if not self._quiet:
            self._films.add(film)
            self._display.update(film, done, total)

    def close(self, film: Path) -> None:
        """End a film's progress, whether it has begun or not."""
        if film in self._films:
            self._films.remove(film)
            self._display.close(film)

    def print_line(self, line: str) -> None:
        """Print a line of results on stdout, unless quiet."""
        if not self._quiet:
            _write(line, sys.stdout)

    def warn(self, line: str) -> None:
        """Print a line on stderr."""
        _warn(line)

    def print_error(self, film: Path, reason: str) -> None:
        """Print on stderr why a film failed, in a line that names the film."""
        name = "" if str(film) in reason else f"{film}: "
        self.warn(f"filmcolor: {name}{reason}")


class TerminalProgress:
    """Redraws a tqdm bar for each film.

    A bar appears with the first progress, so that an error before it is one line. With labels, each
    bar has its film's name and a row of its own, the first free one.
    """

    def __init__(self, unit: str, has_labels: bool) -> None:
        self._unit = unit
        self._has_labels = has_labels
        self._bars: dict[Path, Any] = {}
        self._rows: dict[Path, int] = {}

    def update(self, film: Path, done: int, total: int | None) -> None:
        """Redraw a film's bar. `total`: None if unknown."""
        if film not in self._bars:
            self._bars[film] = self._open(film, done)
        bar = self._bars[film]
        bar.total = max(total, done) if total else None
        bar.update(done - bar.n)

    def close(self, film: Path) -> None:
        """Remove a film's bar, if it has one."""
        if film in self._bars:
            self._bars.pop(film).close()
            if self._has_labels:
                del self._rows[film]
                _write("", sys.stderr, end="\r")  # a lower bar leaves the cursor at its end

    def _open(self, film: Path, done: int) -> Any:
        from tqdm import tqdm

        attributes: dict[str, Any] = {}
        if self._has_labels:
            self._rows[film] = next(n for n in count() if n not in self._rows.values())
            attributes = {"desc": _shorten(film.name), "position": self._rows[film]}
        return tqdm(
            unit=self._unit, initial=done - 1, dynamic_ncols=True, leave=False, **attributes
        )


@dataclass(slots=True)
class _Count:
    """How far a film is."""

    start_time: float  # seconds, of the first progress
    num_before: int  # frames that were done by then
    done: int
    total: int | None
    line_time: float  # seconds, of its last line; at first start_time


class PlainProgress:
    """Prints a line about one film, at most every ten seconds; several films take turns.

    A run that is shorter prints none.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._counts: dict[Path, _Count] = {}
        self._line_time: float | None = None

    def update(self, film: Path, done: int, total: int | None) -> None:
        """Count a film's progress, and print a line if one is due. `total`: None if unknown."""
        now = _clock()
        entry = self._counts.get(film)
        if entry is None or done < entry.done:  # a second clip of the same film begins again
            entry = self._counts[film] = _Count(now, done, done, total, now)
        entry.done, entry.total = done, total
        if self._line_time is None:
            self._line_time = now
        moving = {  # others have no speed yet
            f: c
            for f, c in self._counts.items()
            if c.done > c.num_before and now - c.start_time >= _MIN_SECONDS
        }
        if now - self._line_time >= INTERVAL_SECONDS and moving:
            self._line_time = now
            self._print_oldest(moving, now)

    def close(self, film: Path) -> None:
        """Forget a film."""
        self._counts.pop(film, None)

    def _print_oldest(self, counts: Mapping[Path, _Count], now: float) -> None:
        """Print a line about that of some films that has had none for the longest time."""
        film, entry = min(counts.items(), key=lambda item: item[1].line_time)
        entry.line_time = now
        with suppress(OSError):  # a full log must not stop the run
            click.echo(escape_controls(self._format(film, entry, now)), err=True)

    def _format(self, film: Path, entry: _Count, now: float) -> str:
        line = f"{film.name or film}: {entry.done}"
        if entry.total:
            line += f" of {max(entry.total, entry.done)}"
        line += f" {self._unit}s"
        num_done, seconds = entry.done - entry.num_before, now - entry.start_time
        if num_done and seconds:
            rate = num_done / seconds
            line += f", {rate:.1f} {self._unit}s/s"
            if entry.total:
                line += f", {format_duration(max(entry.total - entry.done, 0) / rate)} left"
        return line


def _make_display(unit: str, has_labels: bool) -> TerminalProgress | PlainProgress:
    return TerminalProgress(unit, has_labels) if is_terminal() else PlainProgress(unit)


def _write(line: str, file: TextIO, end: str = "\n") -> None:
    """Print a line above the bars, if there are any."""
    from tqdm import tqdm

    with translate_write_errors():
        tqdm.write(escape_controls(line), file=file, end=end)
        file.flush()


def _warn(line: str) -> None:
    _write(line, sys.stderr)


def _shorten(name: str) -> str:
    """Return a name of at most _MAX_LABEL characters: its beginning and its end."""
    return name if len(name) <= _MAX_LABEL else f"{name[:13]}…{name[-10:]}"


def format_duration(seconds: float) -> str:
    """Return M:SS, or H:MM:SS from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
