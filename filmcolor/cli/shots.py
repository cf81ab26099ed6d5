"""The command that lists a film's shots, and exports a frame of each."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import (
    color_options,
    color_options_of,
    film_argument,
    quiet_option,
    range_options,
    source_options,
    time_range_of,
)
from filmcolor.cli.progress import progress_bar


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
@color_options
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
    time_range = time_range_of(choices)
    with progress_bar(quiet) as progress:
        from filmcolor.previews.shot_sheet import shot_sheet
        from filmcolor.shots.listing import find_shots
        from filmcolor.timecodes import format_timecode

        common: dict[str, Any] = {"time_range": time_range, "progress": progress}
        if sheet:
            found = shot_sheet(film, sheet, force=force, **common)
        elif not export:
            found = find_shots(film, **common)
        if export:
            from filmcolor.previews.shot_export import export_shots

            options = color_options_of(choices)
            exported = export_shots(film, export, options=options, force=force, **common)
            found = [shot for shot, _ in exported]
    rows = [
        {
            "number": shot.number,
            "first": shot.first,
            "stop": shot.stop,
            "start_seconds": float(shot.start_seconds),
            "end_seconds": float(shot.end_seconds),
            "start": format_timecode(float(shot.start_seconds)),
            "end": format_timecode(float(shot.end_seconds)),
            "transition": shot.transition,
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
            f"{seconds:9.3f}  {row['transition']}"
        )
    return "\n".join(lines)
