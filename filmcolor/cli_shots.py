"""The command that lists a film's shots."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click

from filmcolor.cli_options import (
    film_argument,
    progress_bar,
    quiet_option,
    range_options,
    say,
    span_of,
)


@click.command()
@film_argument
@range_options
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also write one picture of the first frames of all shots.",
)
@click.option("--force", is_flag=True, help="Overwrite the sheet.")
@quiet_option
def shots(
    film: Path,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """List the shots of FILM: where each begins and ends, and how it begins.

    Hard cuts, dissolves and fades; the shots of a run, across which no colour is averaged.
    """
    if as_json and as_csv:
        raise click.UsageError("choose --json or --csv, not both")
    span = span_of(choices)
    with progress_bar(quiet) as progress:
        from filmcolor.shot_list import find_shots
        from filmcolor.timecodes import timecode

        found = find_shots(film, span=span, sheet=sheet, force=force, progress=progress)
    rows = [
        {
            "number": shot.number,
            "first": shot.first,
            "stop": shot.stop,
            "start_seconds": float(shot.start_seconds),
            "end_seconds": float(shot.end_seconds),
            "start": timecode(float(shot.start_seconds)),
            "end": timecode(float(shot.end_seconds)),
            "kind": shot.kind,
        }
        for shot in found
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif as_csv:
        click.echo(_csv(rows), nl=False)
    else:
        click.echo(_table(rows))
        if sheet:
            say(str(sheet), quiet)


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["shot    first   frames  start         end            seconds  begins by"]
    for row in rows:
        frames, seconds = row["stop"] - row["first"], row["end_seconds"] - row["start_seconds"]
        lines.append(
            f"{row['number']:4} {row['first']:8} {frames:8}  {row['start']}  {row['end']} "
            f"{seconds:9.3f}  {row['kind']}"
        )
    return "\n".join(lines)
