"""Lines, tables and JSON on stdout."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from filmcolor.errors import OutputError

_MAX_NAMES = 5  # of films or pictures in a message
_NO_VALUE = "–"  # in a table


def print_line(line: str, quiet: bool = False) -> None:
    """Print a line of results on stdout, unless quiet."""
    if not quiet:
        with translate_write_errors():
            click.echo(escape_controls(line))


def print_json(value: Any) -> None:
    """Print a value as JSON; paths and fractions become strings."""
    click.echo(json.dumps(value, default=str, indent=2, ensure_ascii=False))


@contextmanager
def translate_write_errors() -> Iterator[None]:
    """Raise OutputError when results cannot be printed, on a full disk for example."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the results cannot be printed ({error.strerror}); the film is done, see its folder"
        ) from error


def summarize_names(names: Sequence[str]) -> str:
    """Return the number of pictures, and the first of their names."""
    return f"{len(names)} of the pictures ({list_names(names)})"


def summarize_batch(
    noun: str, total: int, *, num_done: int, num_skipped: int, failed: Sequence[str]
) -> str:
    """Return how many films or pictures are in colour, were there already, or failed.

    `noun`: in the plural. `failed`: names, of which the first are listed.
    """
    summary = f"{num_done} of {total} {noun} in colour"
    if num_skipped:
        summary += f", {num_skipped} {'was' if num_skipped == 1 else 'were'} there already"
    if failed:
        summary += f", {len(failed)} failed: {list_names(failed)}"
    return summary


def list_names(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{', '.join(names[:_MAX_NAMES])}{more}"


def escape_controls(message: str) -> str:
    """Return a message with its control characters escaped.

    Names of films may hold line breaks and terminal sequences. Surrogates stay: they stand for
    bytes of a name that are no text.
    """
    return "".join(
        c if c.isprintable() or "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in message
    )


def table(
    columns: Sequence[tuple[str, str, str]], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the lines of a table: its heading, then one for each row.

    `columns`: (heading, key of a row, format). Text is aligned to the left, numbers to the right.
    A column without any value is left out; None is a missing value.
    """
    cells: list[list[str]] = []
    for heading, key, form in columns:
        values = [row[key] for row in rows if row[key] is not None]
        if values:
            column = [heading]
            column += [_NO_VALUE if row[key] is None else form.format(row[key]) for row in rows]
            width = max(map(len, column))
            is_text = isinstance(values[0], str)
            cells.append([c.ljust(width) if is_text else c.rjust(width) for c in column])
    for line in zip(*cells, strict=True):
        yield "  ".join(line).rstrip()
