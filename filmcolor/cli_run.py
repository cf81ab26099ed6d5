"""The command line's way from films to films in colour: run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli_options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    FilmBars,
    force_option,
    look_of,
    look_options,
    progress_bar,
    quiet_option,
    range_options,
    say,
    span_of,
    table,
)
from filmcolor.film_list import FilmList, is_pattern, list_films

if TYPE_CHECKING:
    from filmcolor.profiling import Profile


@click.command()
@click.argument(
    "films", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILM..."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="The file to write; a folder for many, made where it is missing.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Films to colour at a time, each in a process of its own.",
)
@range_options
@look_options
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["share", "archive", "edit", "master"]),
    default="share",
    show_default=True,
    help="H.264 to share, 10-bit H.265 to archive, ProRes to edit, FFV1 as a master.",
)
@click.option("--codec", metavar="NAME", help="Encoder: libx264, libx265, libsvtav1, ffv1…")
@click.option("--crf", type=int, metavar="N", help="Constant quality, lower is better.")
@click.option("--preset", metavar="NAME", help="The encoder's speed preset.")
@click.option("--pix-fmt", metavar="NAME", help="yuv420p, yuv422p10le…")
@click.option("--profile", "is_profiled", is_flag=True, help="Also print what each stage costs.")
@force_option
@quiet_option
def run(
    films: tuple[Path, ...],
    output: Path | None,
    jobs: int,
    purpose: str,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    pix_fmt: str | None,
    is_profiled: bool,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Colour each FILM, with its sound and everything else it holds.

    The result stands beside the film as NAME.color.mp4 (or the film's own container),
    unless -o says otherwise. It is compared with the film before it gets its name.

    FILM may be a pattern in quotes, '*.mp4' or 'reels/**/*.mkv', which leaves out what
    earlier runs wrote. A film that fails does not stop the others. A range is of each.
    """
    span = span_of(choices)
    is_one = len(films) == 1 and not is_pattern(films[0])
    if is_profiled and not is_one:
        raise click.UsageError("--profile is of one film")
    listed = list_films(films, output)

    with _stopped_like_ctrl_c():
        from filmcolor.plan import Encoding

        wishes = {
            "span": span,
            "look": look_of(choices),
            "encoding": Encoding(purpose, codec, crf, preset, pix_fmt),
            "force": force,
        }
        if is_one:
            _run_one(listed.films[0], output, is_profiled, quiet, wishes)
        else:
            _run_many(listed, output, jobs, quiet, wishes)


def _run_one(
    film: Path, output: Path | None, is_profiled: bool, quiet: bool, wishes: dict[str, Any]
) -> None:
    from filmcolor.batch import output_path
    from filmcolor.pipeline import colorize
    from filmcolor.profiling import Profile

    profile = Profile() if is_profiled else None
    if output is not None and output.is_dir():
        output = output_path(film, output, wishes["encoding"])
    with progress_bar(quiet) as progress:
        report = colorize(film, output, progress=progress, profile=profile, **wishes)
    say(str(report), quiet)
    if profile:
        click.echo("\n".join(_described(profile, report.num_frames)))


def _described(profile: "Profile", num_frames: int) -> Iterator[str]:
    costs = profile.costs()
    share = 1000.0 / num_frames
    rows: list[dict[str, Any]] = [
        {"stage": c.stage, "processor": share * c.processor_seconds, "wall": share * c.wall_seconds}
        for c in costs
    ]
    total = sum(row["processor"] for row in rows)
    rows.append({"stage": "whole run", "processor": total, "wall": rows[-1]["wall"]})
    rows[-2]["wall"] = None  # it has no beginning and no end of its own
    yield from table(
        (
            ("ms a frame", "stage", "{}"),
            ("processor", "processor", "{:.2f}"),
            ("wall, not waiting", "wall", "{:.2f}"),
        ),
        rows,
    )


def _run_many(
    listed: FilmList, output: Path | None, jobs: int, quiet: bool, wishes: dict[str, Any]
) -> None:
    from filmcolor.batch import colorize_films
    from filmcolor.workers import Outcome

    outcomes: list[Outcome] = []
    with FilmBars(quiet) as bars:

        def finished(outcome: Outcome) -> None:
            outcomes.append(outcome)
            bars.close(outcome.film)
            if outcome.error is None:
                bars.say(str(outcome.report))
            else:
                bars.complain(outcome.film, outcome.error)

        try:
            colorize_films(
                listed.films, output, jobs=jobs, progress=bars.advance, finished=finished, **wishes
            )
            code = EXIT_ERROR if any(outcome.error for outcome in outcomes) else 0
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    failed = [outcome.film.name for outcome in outcomes if outcome.error]
    line = f"{len(outcomes) - len(failed)} of {len(listed.films)} films in colour"
    if failed:
        line += f", {len(failed)} failed: {', '.join(failed)}"
    if code == EXIT_INTERRUPTED:
        click.echo(f"filmcolor: interrupted; {line}; nothing else was left behind", err=True)
    else:
        left_out = f"; {len(listed.left_out)} of earlier runs left out" if listed.left_out else ""
        say(line + left_out, quiet)
    click.get_current_context().exit(code)


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end a run through everything that cleans up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [kind for kind in kinds if signal.getsignal(kind) == signal.SIG_DFL]  # nohup ignores
    for kind in ours:
        signal.signal(kind, interrupt)
    try:
        yield
    finally:
        for kind in ours:
            signal.signal(kind, signal.SIG_DFL)
