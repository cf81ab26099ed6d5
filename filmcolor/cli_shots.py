"""The command that lists a film's shots, and exports a frame of each."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click

from filmcolor.cli_options import (
    film_argument,
    look_of,
    look_options,
    progress_bar,
    quiet_option,
    range_options,
    say,
    source_options,
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
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write one good frame of each shot, coloured, to be painted and handed back.",
)
@look_options
@source_options
@click.option("--force", is_flag=True, help="Overwrite the sheet, and pictures.")
@quiet_option
def shots(
    film: Path,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    export: Path | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """List the shots of FILM: where each begins and ends, and how it begins.

    Hard cuts, dissolves and fades; the shots of a run, across which no colour is averaged.

    With --export, DIR gets frame-NUMBER.png of each shot in colour, and the grey one beside
    it. Paint on the coloured ones, and give DIR to run as --reference. How they are coloured,
    the options from --weights to --deinterlace say, as for run.
    """
    if as_json and as_csv:
        raise click.UsageError("choose --json or --csv, not both")
    span = span_of(choices)
    with progress_bar(quiet) as progress:
        from filmcolor.shot_list import find_shots
        from filmcolor.timecodes import timecode

        common: dict[str, Any] = {"span": span, "force": force, "progress": progress}
        if sheet or not export:
            found = find_shots(film, sheet=sheet, **common)
        if export:
            from filmcolor.exports import export_shots

            exported = export_shots(film, export, look=look_of(choices), **common)
            found = [shot for shot, _ in exported]
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
        for written in (sheet, export):
            if written:
                say(str(written), quiet)


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
