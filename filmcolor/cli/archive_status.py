"""The `archive status` command: what the books of an archive say."""

import csv
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import escape_controls, print_json, print_line, table
from filmcolor.cli.help import command, option
from filmcolor.cli.options import EXIT_ERROR, OUTPUT, json_option
from filmcolor.cli.progress import format_duration

if TYPE_CHECKING:
    from filmcolor.farm.archive_records import FilmRecord
    from filmcolor.farm.archive_status import ArchiveStatus

_WIDTH = 80  # columns
_MAX_FILMS = 20  # that need a person, with their reasons


@command("status")
@click.argument(
    "folder", default=Path(), type=click.Path(path_type=Path), metavar="[FOLDER]", required=False
)
@json_option
@option(
    "--csv", "as_csv", is_flag=True, section=OUTPUT, help="Print a table with all films as CSV."
)
@option(
    "--sha256",
    "as_sums",
    is_flag=True,
    section=OUTPUT,
    help="Print the SHA-256 of films and outputs, as `sha256sum -c` reads them.",
)
@option(
    "--check",
    "is_check",
    is_flag=True,
    section=OUTPUT,
    help="Read all films and outputs whole, and compare their SHA-256 with the books.",
)
def status(folder: Path, as_json: bool, as_csv: bool, as_sums: bool, is_check: bool) -> None:
    """Print how far the archive in FOLDER is, also while it is being made.

    FOLDER is that of `archive -o`, by default the current one. A table gives the films in each
    state, the hours that are done and left, the speed, and the time left; lines below it give the
    reasons of films that need a person. The folders of the films are not read, except with --check,
    which exits with 1 if a file is not as it was.
    """
    from filmcolor.farm.archive_status import (
        check_fixity,
        film_rows,
        read_status,
        sha256_lines,
        status_json,
    )

    if as_json + as_csv + as_sums + is_check > 1:
        raise click.UsageError("choose one of --json, --csv, --sha256 and --check")
    books = read_status(folder)
    if as_json:
        print_json(status_json(books))
    elif as_csv:
        _print_csv(list(film_rows(books)))
    elif as_sums:
        for line in sha256_lines(books):
            click.echo(line)
    elif is_check:
        num_wrong = num_files = 0
        for _, fault in check_fixity(books):
            num_files += 1
            if fault:
                num_wrong += 1
                click.echo(escape_controls(f"filmcolor: {fault}"), err=True)
        print_line(f"{num_files - num_wrong} of {num_files} files are as they were entered")
        click.get_current_context().exit(EXIT_ERROR if num_wrong else 0)
    else:
        for line in describe_status(books):
            print_line(line)


def describe_status(books: "ArchiveStatus") -> Iterator[str]:
    """Yield the lines of the table and below it, of at most 80 columns where names allow it."""
    yield from _wrap(f"{books.folder}: {_activity(books)}")
    yield from table(
        (
            ("", "state", "{}"),
            ("films", "films", "{}"),
            ("hours", "hours", "{:.2f}"),
            ("hours spent", "spent", "{:.2f}"),
        ),
        list(_rows(books)),
    )
    yield from _wrap(_progress_line(books))
    damaged = [film for film in books.films if film.state == "verified" and film.damage]
    if damaged:
        yield f"{len(damaged)} of the verified films were damaged before, see below"
    yield from _details(books, damaged)


def _activity(books: "ArchiveStatus") -> str:
    if books.is_running:
        return f"being coloured since {books.runs[-1]['started_at']}" if books.runs else "begun"
    if not books.runs:
        return "nothing was coloured yet"
    last = books.runs[-1]
    return f"no run now; the last one {_ending(last)}, {last['ended_at'] or last['started_at']}"


def _ending(run: dict[str, Any]) -> str:
    endings = {"done": "was finished", "interrupted": "was interrupted", "stopped": "had an error"}
    return endings.get(run["ending"] or "", "was cut off")


def _rows(books: "ArchiveStatus") -> Iterator[dict[str, Any]]:
    """Yield the rows of the table: states that some film has, then all."""
    from filmcolor.farm.archive_records import STATES

    for name, films in (*((s, books.in_state(s)) for s in STATES), ("all", books.films)):
        if films or name == "all":
            yield {
                "state": name.replace("-", " "),
                "films": len(films),
                "hours": sum(film.film_seconds or 0.0 for film in films) / 3600,
                "spent": sum(film.wall_seconds for film in films) / 3600,
            }


def _progress_line(books: "ArchiveStatus") -> str:
    line = f"{books.film_seconds_left / 3600:.2f} hours of film left"
    if books.speed:
        line += f"; {books.speed:.2f} × real time"
    if books.seconds_left:
        line += f": {format_duration(books.seconds_left)} left"
    return line


def _details(books: "ArchiveStatus", damaged: list["FilmRecord"]) -> Iterator[str]:
    """Yield lines about films that need a person, the first of them."""
    from filmcolor.farm.archive_records import FILM_MISSING, NEEDS_PERSON

    films = [film for state in (*NEEDS_PERSON, FILM_MISSING) for film in books.in_state(state)]
    lines = [(film, film.state.replace("-", " "), film.error) for film in films]
    lines += [(film, "damaged", "; ".join(film.damage)) for film in damaged]
    for film, state, reason in lines[:_MAX_FILMS]:
        path = str(books.path_of(film))
        reason = reason or _default_reason(books, film)
        text = reason if path in reason else f"{path}: {reason}" if reason else path
        yield from _wrap(f"{state}: {text}")
    if len(lines) > _MAX_FILMS:
        yield f"and {len(lines) - _MAX_FILMS} more; --csv lists all"


def _default_reason(books: "ArchiveStatus", film: "FilmRecord") -> str:
    is_of_output = film.state in ("output-missing", "output-changed")
    return str(books.output_of(film)) if is_of_output else ""


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(
        escape_controls(text),
        _WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print_csv(rows: list[dict[str, Any]]) -> None:
    """Print rows with a heading; lists are JSON, as RFC 4180 has none."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            json.dumps(value) if isinstance(value, list | tuple) else value
            for value in row.values()
        )
