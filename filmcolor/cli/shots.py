"""The `shots` command: lists a film's shots, and exports a frame of each."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import print_json, print_line, table
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    OUTPUT,
    color_options,
    film_argument,
    force_option,
    json_option,
    make_color_options,
    path_option,
    pop_source_options,
    pop_time_range,
    quiet_option,
    range_options,
    rate_options,
    source_options,
)
from filmcolor.cli.progress import progress_bar

if TYPE_CHECKING:
    from filmcolor.shots.listing import Shot

# (heading, key of a row, format)
_COLUMNS = (
    ("shot", "number", "{}"),
    ("first", "first", "{}"),
    ("frames", "num_frames", "{}"),
    ("start", "start", "{}"),
    ("end", "end", "{}"),
    ("seconds", "seconds", "{:.3f}"),
    ("begins by", "kind", "{}"),
)

_MATCH_COLUMNS = (
    ("shot", "shot", "{}"),
    ("looks like shot", "like_shot", "{}"),
    ("in", "exemplar", "{}"),
    ("of its picture", "share", "{:.1%}"),
    ("match", "strength", "{}"),
)


@command()
@film_argument
@json_option
@option("--csv", "as_csv", is_flag=True, section=OUTPUT, help="Print CSV, for spreadsheets.")
@path_option(
    "--sheet",
    metavar="PNG",
    section=OUTPUT,
    help="Also write one picture with the first frame of each shot.",
)
@option(
    "--matches",
    is_flag=True,
    section=OUTPUT,
    help="Also list the shots that show the same things, which --match-shots uses.",
)
@path_option(
    "--export",
    metavar="DIR",
    section=OUTPUT,
    help="Also write one good frame of each shot in colour, to be painted and used as --reference.",
)
@force_option
@range_options
@color_options
@source_options
@rate_options
@quiet_option
def shots(
    film: Path,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    matches: bool,
    export: Path | None,
    force: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """List the shots of FILM, and what begins each.

    A shot begins with a cut, a dissolve or a fade. Colours are never averaged across shots.

    With --export, DIR gets frame-NUMBER.png of each shot in colour and its grey version. Paint over
    the coloured ones, and give DIR to run as --reference. The options from --weights to
    --deinterlace apply to these frames, as in run.
    """
    if as_json and as_csv:
        raise click.UsageError("choose --json or --csv, not both")
    time_range = pop_time_range(params)
    if matches and (as_csv or not time_range.is_whole):
        raise click.UsageError("--matches are of a whole film, and not for --csv")
    with progress_bar(quiet, film) as progress:
        source = pop_source_options(params)
        common: dict[str, Any] = {"time_range": time_range, "progress": progress}
        film_shots: Sequence[Shot]
        if sheet:
            from filmcolor.previews.shot_sheet import shot_sheet

            film_shots = shot_sheet(film, sheet, source=source, force=force, **common)
        elif not export:
            from filmcolor.shots.listing import find_shots

            film_shots = find_shots(film, source=source, **common)
        if export:
            from filmcolor.previews.shot_export import export_shots

            options = make_color_options({**params, "source": source})
            exported = export_shots(film, export, options=options, force=force, **common)
            film_shots = [shot for shot, _ in exported]
        found = _find_matches(film, {**params, "source": source}) if matches else ()
    rows = [_make_row(shot) for shot in film_shots]
    if matches:
        for row in rows:
            row["matches"] = [match for match in found if match["shot"] == row["number"]]
    if as_json:
        print_json(rows)
    elif as_csv:
        click.echo(_format_csv(rows), nl=False)
    else:
        figures = [
            {
                **row,
                "num_frames": row["stop"] - row["first"],
                "seconds": row["end_seconds"] - row["start_seconds"],
            }
            for row in rows
        ]
        click.echo("\n".join(table(_COLUMNS, figures)))
        if matches:
            click.echo("\n".join(("", *table(_MATCH_COLUMNS, found))))
        for path in (sheet, export):
            if path:
                print_line(str(path), quiet)


def _find_matches(film: Path, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the matches of a film's shots as JSON has them."""
    options = make_color_options({**params, "match_shots": True})
    guidance = options.read_guidance(options.probe(film))
    return [
        {
            "shot": match.shot,
            "like_shot": match.exemplar_shot,
            "exemplar": match.exemplar,
            "share": match.share,
            "strength": match.strength,
        }
        for match in guidance.likeness.matches
    ]


def _make_row(shot: "Shot") -> dict[str, Any]:
    """Return a shot as JSON and CSV have it."""
    from filmcolor.timecodes import format_timecode

    start, end = float(shot.start_seconds), float(shot.end_seconds)
    return {
        "number": shot.number,
        "first": shot.first,
        "stop": shot.stop,
        "start_seconds": start,
        "end_seconds": end,
        "start": format_timecode(start),
        "end": format_timecode(end),
        "kind": shot.transition,
    }


def _format_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
