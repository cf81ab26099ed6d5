"""The command line's way from films to films in colour: run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import in_one_line, say, table
from filmcolor.cli.event_log import RunLog
from filmcolor.cli.inputs import FilmList, is_pattern, list_films
from filmcolor.cli.options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    color_options,
    color_options_of,
    force_option,
    guidance_options,
    quiet_option,
    range_options,
    source_options,
    time_range_of,
)
from filmcolor.cli.progress import FilmBars, progress_bar

if TYPE_CHECKING:
    from filmcolor.pipeline.workers import Outcome
    from filmcolor.runtime.profiler import Profiler


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
    help="Films, or segments of one film, to colour at a time, each in a process of its own.",
)
@range_options
@color_options
@guidance_options
@source_options
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
@click.option(
    "--drop-unsupported",
    is_flag=True,
    help="Leave out what the output's container cannot hold, and say what, instead of stopping.",
)
@click.option("--profile", "is_profiled", is_flag=True, help="Also print what each stage costs.")
@click.option(
    "--restart", is_flag=True, help="Begin again what was cut off, instead of going on with it."
)
@click.option(
    "--skip-existing", is_flag=True, help="Leave films alone whose output is there already."
)
@click.option(
    "--log",
    "log_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append what happens to FILE, a line of JSON for each event.",
)
@click.option("--no-tag", is_flag=True, help="Do not name filmcolor in the output's metadata.")
@click.option(
    "--strict", is_flag=True, help="Exit with 1 when a film was damaged, though it was coloured."
)
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
    drop_unsupported: bool,
    is_profiled: bool,
    restart: bool,
    skip_existing: bool,
    log_path: Path | None,
    no_tag: bool,
    strict: bool,
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
    time_range = time_range_of(choices)
    is_one = len(films) == 1 and not is_pattern(films[0])
    if is_profiled and not (is_one and jobs == 1):
        raise click.UsageError("--profile is of one film, in one process")
    listed = list_films(films, output)

    with _stopped_like_ctrl_c():
        from filmcolor.output.options import Encoding

        settings = {
            "time_range": time_range,
            "options": color_options_of(choices),
            "encoding": Encoding(purpose, codec, crf, preset, pix_fmt, drop_unsupported),
            "force": force,
            "restart": restart,
            "tag": not no_tag,
        }
        manner = _Manner(jobs, is_profiled, skip_existing, strict, quiet, RunLog(log_path))
        if is_one:
            _run_one(listed.films[0], output, manner, settings)
        else:
            _run_many(listed, output, manner, settings)


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a run goes about its films, whatever they shall look like."""

    jobs: int
    is_profiled: bool
    skip_existing: bool
    strict: bool
    quiet: bool
    log: RunLog


def _run_one(film: Path, output: Path | None, manner: _Manner, settings: dict[str, Any]) -> None:
    from filmcolor.pipeline.batch import colorize, output_path
    from filmcolor.runtime.profiler import Profiler

    profiler = Profiler() if manner.is_profiled else None
    with manner.log.of(film), progress_bar(manner.quiet) as progress:
        if manner.skip_existing if output is None else output.is_dir():
            output = output_path(film, output, settings["encoding"])
        if manner.skip_existing and output is not None and output.is_file():
            say(f"{output} is there already, left alone", manner.quiet)
            return
        report = colorize(
            film, output, jobs=manner.jobs, progress=progress, profiler=profiler, **settings
        )
    manner.log.finished(film, report)
    say(str(report), manner.quiet)
    if profiler:
        click.echo("\n".join(_described(profiler, report.num_frames)))
    for line in report.damage:
        click.echo(in_one_line(_warning(film, line)), err=True)
    if manner.strict and report.damage:
        click.get_current_context().exit(EXIT_ERROR)


def _warning(film: Path, line: str) -> str:
    return f"filmcolor: warning: {film}: {line}"


def _described(profiler: "Profiler", num_frames: int) -> Iterator[str]:
    costs = profiler.costs()
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
    listed: FilmList, output: Path | None, manner: _Manner, settings: dict[str, Any]
) -> None:
    from filmcolor.pipeline.batch import colorize_many

    outcomes: list[Outcome] = []
    with FilmBars(manner.quiet) as bars:

        def finished(outcome: "Outcome") -> None:
            outcomes.append(outcome)
            bars.close(outcome.film)
            if outcome.report:
                manner.log.finished(outcome.film, outcome.report)
                bars.say(str(outcome.report))
                for line in outcome.report.damage:
                    bars.warn(_warning(outcome.film, line))
            elif outcome.error:
                manner.log.failed(outcome.film, str(outcome.error))
                bars.complain(outcome.film, str(outcome.error))

        try:
            colorize_many(
                listed.films,
                output,
                jobs=manner.jobs,
                skip_existing=manner.skip_existing,
                progress=bars.advance,
                finished=finished,
                **settings,
            )
            code = EXIT_ERROR if any(_is_bad(o, manner.strict) for o in outcomes) else 0
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    num_done = sum(outcome.report is not None for outcome in outcomes)
    num_skipped = sum(outcome.is_skipped for outcome in outcomes)
    failed = [outcome.film.name for outcome in outcomes if outcome.error]
    line = f"{num_done} of {len(listed.films)} films in colour"
    if num_skipped:
        line += f", {num_skipped} were there already"
    if failed:
        line += f", {len(failed)} failed: {', '.join(failed)}"
    if code == EXIT_INTERRUPTED:
        manner.log.write("interrupted")
        going_on = "the same command with --skip-existing goes on"
        click.echo(f"filmcolor: interrupted; {line}; {going_on}", err=True)
    else:
        left_out = f"; {len(listed.left_out)} of earlier runs left out" if listed.left_out else ""
        say(line + left_out, manner.quiet)
    click.get_current_context().exit(code)


def _is_bad(outcome: "Outcome", strict: bool) -> bool:
    return bool(outcome.error) or (strict and bool(outcome.report and outcome.report.damage))


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
