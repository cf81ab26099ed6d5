"""The `run` command: films in, the same films out in colour."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import escape_controls, print_line, summarize_batch, table
from filmcolor.cli.engines import engine_options, pop_engine
from filmcolor.cli.event_log import EventLog
from filmcolor.cli.help import command, option
from filmcolor.cli.inputs import FilmList, list_films
from filmcolor.cli.interrupts import report_interrupt, signals_as_interrupt
from filmcolor.cli.json_progress import JsonProgress
from filmcolor.cli.options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    LONG_RUNS,
    OUTPUT,
    color_options,
    combine,
    force_option,
    guidance_options,
    jobs_option,
    log_option,
    make_color_options,
    path_option,
    pop_time_range,
    quiet_option,
    range_options,
    rate_options,
    skip_existing_option,
    source_options,
)
from filmcolor.cli.progress import BatchProgress, progress_bar

if TYPE_CHECKING:
    from filmcolor.pipeline.tasks import Engine, Outcome
    from filmcolor.runtime.profiler import Profiler

encoding_options = combine(
    option(
        "--for",
        "purpose",
        type=click.Choice(["share", "archive", "edit", "master"]),
        default="share",
        show_default=True,
        section=OUTPUT,
        help="H.264 to share, 10-bit H.265 to archive, ProRes to edit, lossless FFV1 as a master.",
    ),
    option(
        "--codec",
        metavar="NAME",
        section=OUTPUT,
        help="FFmpeg encoder: libx264, libx265, libsvtav1, ffv1…",
    ),
    option(
        "--crf",
        type=int,
        metavar="N",
        section=OUTPUT,
        help="Constant quality of the encoder; lower is better.",
    ),
    option("--preset", metavar="NAME", section=OUTPUT, help="Speed preset of the encoder."),
    option("--pix-fmt", metavar="NAME", section=OUTPUT, help="yuv420p, yuv422p10le…"),
    option(
        "--drop-unsupported",
        is_flag=True,
        section=OUTPUT,
        help="Drop streams that the container cannot hold, and list them, instead of stopping.",
    ),
    option(
        "--convert-audio",
        is_flag=True,
        section=OUTPUT,
        help="Convert sound that the container cannot hold to FLAC (in MOV to ALAC), losslessly.",
    ),
    option(
        "--captions",
        is_flag=True,
        section=OUTPUT,
        help="Also write closed captions beside the output, as NAME.scc and NAME.srt.",
    ),
    option(
        "--no-tag",
        is_flag=True,
        section=OUTPUT,
        help="Do not mention filmcolor in the metadata.",
    ),
)
_output_options = combine(
    path_option(
        "-o",
        "--output",
        metavar="FILE|DIR",
        section=OUTPUT,
        help="File to write, or images: 'out/%06d.png'; for several films a folder, created if "
        "missing.",
    ),
    encoding_options,
    force_option,
)
restart_option = option(
    "--restart",
    is_flag=True,
    section=LONG_RUNS,
    help="Start again instead of continuing an interrupted run.",
)
strict_equal_option = option(
    "--strict-equal",
    is_flag=True,
    section=LONG_RUNS,
    help="Refuse pieces of machines with another kind of processor or other versions of libraries.",
)
strict_option = option(
    "--strict",
    is_flag=True,
    section=LONG_RUNS,
    help="Exit with code 1 if a film was damaged, though it was coloured.",
)
progress_option = option(
    "--progress",
    "progress_format",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    section=LONG_RUNS,
    help="json: print events for another program on stdout, one line of JSON each.",
)
_long_run_options = combine(
    jobs_option("Number of processes that colour films, or segments of a single film."),
    engine_options,
    restart_option,
    strict_equal_option,
    skip_existing_option("Skip films that have an output already."),
    strict_option,
    log_option,
    progress_option,
)


@command()
@click.argument(
    "films", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILM..."
)
@_output_options
@range_options
@color_options
@guidance_options
@source_options
@rate_options
@_long_run_options
@option("--profile", "is_profiled", is_flag=True, help="Also print the cost of each stage.")
@quiet_option
def run(
    films: tuple[Path, ...],
    output: Path | None,
    purpose: str,
    codec: str | None,
    crf: int | None,
    preset: str | None,
    pix_fmt: str | None,
    drop_unsupported: bool,
    convert_audio: bool,
    captions: bool,
    no_tag: bool,
    force: bool,
    jobs: int,
    restart: bool,
    strict_equal: bool,
    skip_existing: bool,
    strict: bool,
    log_path: Path | None,
    progress_format: str,
    is_profiled: bool,
    quiet: bool,
    **params: Any,
) -> None:
    """Colour each FILM, and keep its sound and everything else in it.

    The result is beside the film as NAME.color.mp4 (or in the film's own container), unless -o is
    given. It is compared with the film before it gets its name. With -o 'out/frame_%06d.png' it is
    images in a folder, which is created if missing: PNG, TIFF, EXR or DPX.

    FILM may be a pattern in quotes, '*.mp4' or 'reels/**/*.mkv', which excludes the outputs of
    earlier runs. Numbered images are one film: 'scan/reel_%06d.dpx', or their folder. A film that
    fails does not stop the others. A range applies to each film.
    """
    time_range = pop_time_range(params)
    film_list = list_films(films, output)
    engine = pop_engine(params, jobs)
    if is_profiled and not (film_list.is_single and jobs == 1 and engine is None):
        raise click.UsageError("--profile is of one film, in one process")
    is_json = progress_format == "json"
    if is_json and (quiet or is_profiled):
        name = "--quiet" if quiet else "--profile"
        raise click.UsageError(f"--progress json prints events alone; leave out {name}")

    with signals_as_interrupt():
        from filmcolor.output.options import Encoding

        settings = {
            "time_range": time_range,
            "options": make_color_options(params),
            "encoding": Encoding(
                purpose, codec, crf, preset, pix_fmt, drop_unsupported, convert_audio, captions
            ),
            "force": force,
            "restart": restart,
            "strict_equal": strict_equal,
            "tag": not no_tag,
        }
        log = EventLog(log_path, is_printed=is_json)
        mode = _RunMode(
            jobs, engine, is_profiled, skip_existing, strict, quiet or is_json, is_json, log
        )
        if film_list.is_single:
            _run_single(film_list.films[0], output, mode, settings)
        else:
            _run_batch(film_list, output, mode, settings)


@dataclass(frozen=True, slots=True)
class _RunMode:
    """Options of a run that do not change its output."""

    jobs: int
    engine: "Engine | None"
    is_profiled: bool
    skip_existing: bool
    strict: bool
    quiet: bool  # no lines for people on stdout
    is_json: bool  # events there instead
    log: EventLog


def _run_single(film: Path, output: Path | None, mode: _RunMode, settings: dict[str, Any]) -> None:
    """Colour one film; with --strict, exit with 1 if it was damaged."""
    from filmcolor.output.image_names import has_images
    from filmcolor.pipeline.batch import colorize, output_path
    from filmcolor.runtime.profiler import Profiler

    profiler = Profiler() if mode.is_profiled else None
    with mode.log.recording_errors(film), _show_progress(film, mode) as progress:
        if mode.skip_existing if output is None else output.is_dir():
            output = output_path(film, output, settings["encoding"], settings["options"])
        if mode.skip_existing and output is not None and (output.is_file() or has_images(output)):
            mode.log.skipped(film, output)
            print_line(f"{output} is there already, left alone", mode.quiet)
            return
        report = colorize(
            film,
            output,
            jobs=mode.jobs,
            engine=mode.engine,
            progress=progress,
            profiler=profiler,
            **settings,
        )
    mode.log.finished(film, report)
    print_line(str(report), mode.quiet)
    if profiler:
        click.echo("\n".join(_format_profile(profiler, report.num_frames)))
    for line in () if mode.is_json else report.damage:
        click.echo(escape_controls(_format_warning(film, line)), err=True)
    if mode.strict and report.damage:
        click.get_current_context().exit(EXIT_ERROR)


@contextmanager
def _show_progress(film: Path, mode: _RunMode) -> Iterator[Callable[..., None] | None]:
    """Give a callback (done, total) that shows the progress of one film; None when quiet."""
    if mode.is_json:
        with JsonProgress(mode.log) as display:
            yield partial(display.advance, film)
    else:
        with progress_bar(mode.quiet, film) as progress:
            yield progress


def _run_batch(
    film_list: FilmList, output: Path | None, mode: _RunMode, settings: dict[str, Any]
) -> None:
    """Colour several films, print a summary, and exit."""
    from filmcolor.pipeline.batch import colorize_many

    outcomes: list[Outcome] = []
    display = JsonProgress(mode.log) if mode.is_json else BatchProgress(mode.quiet)
    with display as progress:

        def finish(outcome: "Outcome") -> None:
            outcomes.append(outcome)
            progress.close(outcome.film)
            if outcome.report:
                mode.log.finished(outcome.film, outcome.report)
                progress.print_line(str(outcome.report))
                for line in outcome.report.damage:
                    progress.warn(_format_warning(outcome.film, line))
            elif outcome.error:
                mode.log.failed(outcome.film, str(outcome.error))
                progress.print_error(outcome.film, str(outcome.error))
            else:
                mode.log.skipped(outcome.film)

        try:
            colorize_many(
                film_list.films,
                output,
                jobs=mode.jobs,
                engine=mode.engine,
                skip_existing=mode.skip_existing,
                progress=progress.advance,
                finished=finish,
                **settings,
            )
            code = EXIT_ERROR if any(_is_failure(o, mode.strict) for o in outcomes) else 0
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    summary = _format_summary(outcomes, len(film_list.films))
    if code == EXIT_INTERRUPTED:
        report_interrupt(mode.log, summary)
    else:
        if film_list.excluded:
            summary += f"; {len(film_list.excluded)} of earlier runs left out"
        mode.log.write("summary", text=summary)
        print_line(summary, mode.quiet)
    click.get_current_context().exit(code)


def _is_failure(outcome: "Outcome", is_strict: bool) -> bool:
    return bool(outcome.error or (is_strict and outcome.report and outcome.report.damage))


def _format_summary(outcomes: list["Outcome"], num_films: int) -> str:
    return summarize_batch(
        "films",
        num_films,
        num_done=sum(outcome.report is not None for outcome in outcomes),
        num_skipped=sum(outcome.is_skipped for outcome in outcomes),
        failed=[outcome.film.name for outcome in outcomes if outcome.error],
    )


def _format_warning(film: Path, line: str) -> str:
    return f"filmcolor: warning: {film}: {line}"


def _format_profile(profiler: "Profiler", num_frames: int) -> Iterator[str]:
    """Yield the lines of a table: milliseconds per frame of each stage, and of the whole run."""
    factor = 1000.0 / num_frames
    rows: list[dict[str, Any]] = [
        {
            "stage": cost.stage,
            "processor": factor * cost.processor_seconds,
            "wall": factor * cost.wall_seconds,
        }
        for cost in profiler.costs()
    ]
    total = sum(row["processor"] for row in rows)
    rows.append({"stage": "whole run", "processor": total, "wall": rows[-1]["wall"]})
    rows[-2]["wall"] = None  # the remainder: its wall time is that of the whole run
    yield from table(
        (
            ("ms a frame", "stage", "{}"),
            ("processor", "processor", "{:.2f}"),
            ("wall, not waiting", "wall", "{:.2f}"),
        ),
        rows,
    )
