"""The `archive` command: the films of whole folders in colour, with books that are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.archive_status import status
from filmcolor.cli.console import escape_controls, list_names, print_line
from filmcolor.cli.engines import engine_options, pop_engine
from filmcolor.cli.event_log import EventLog
from filmcolor.cli.help import SectionCommand, command, option
from filmcolor.cli.interrupts import signals_as_interrupt
from filmcolor.cli.json_progress import JsonProgress
from filmcolor.cli.options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    LONG_RUNS,
    OUTPUT,
    color_options,
    force_option,
    jobs_option,
    log_option,
    make_color_options,
    path_option,
    pop_encoding,
    quiet_option,
    rate_options,
    shared_guidance_options,
    source_options,
)
from filmcolor.cli.progress import BatchProgress
from filmcolor.cli.run import (
    encoding_options,
    progress_option,
    restart_option,
    strict_equal_option,
    strict_option,
)

if TYPE_CHECKING:
    from filmcolor.farm.archive import ArchiveSummary
    from filmcolor.pipeline.tasks import Outcome

_STATUS = "status"
# what a person should know of films in a state, by its summary's name
_PROBLEMS = {
    "failed": "{} failed: {}; `filmcolor archive status` gives the reasons, --retry tries again",
    "film-replaced": "{} replaced by another file since, the output is of the earlier one: {}; "
    "--retry colours the new one",
    "film-missing": "{} gone from the folder, outputs they have are kept: {}",
    "output-missing": "{} without the output that was there: {}; --retry colours it again",
    "output-changed": "{} with an output that was changed since: {}; it stays as it is, "
    "--retry --force replaces it",
}


class _ArchiveCommand(SectionCommand):
    """The command, or `status` where that word comes first: a folder of this name is ./status."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command that the words mean."""
        if args[:1] == [_STATUS]:
            return status.make_context(f"{info_name} {_STATUS}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@command(cls=_ArchiveCommand)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER]...")
@path_option(
    "-o",
    "--output",
    metavar="FOLDER",
    required=True,
    section=OUTPUT,
    help="The archive: outputs in the same tree as their films, and the books.",
)
@encoding_options
@force_option
@color_options
@shared_guidance_options
@source_options
@rate_options
@jobs_option("Number of films that are coloured side by side.")
@engine_options
@option(
    "--retry",
    is_flag=True,
    section=LONG_RUNS,
    help="Also colour films that failed, that were replaced by another file, or whose output is "
    "gone.",
)
@restart_option
@strict_equal_option
@strict_option
@log_option
@progress_option
@quiet_option
def archive(
    folders: tuple[Path, ...],
    output: Path,
    jobs: int,
    force: bool,
    retry: bool,
    restart: bool,
    strict_equal: bool,
    strict: bool,
    log_path: Path | None,
    progress_format: str,
    quiet: bool,
    **params: Any,
) -> None:
    """Colour all films in each FOLDER and its subfolders, and keep books of them.

    The books are an SQLite file in the archive. `filmcolor archive status` prints what they say.
    The same command goes on after an interrupt or a power cut; without FOLDER it takes those of the
    books. Verified films are skipped at once, and coloured only once. A film that was replaced, or
    is gone, is told. Nothing is written into a FOLDER.

    Exit code 0: every film of the archive is verified. 1: some failed, were replaced, lack their
    output, wait, or are gone and were never coloured.
    """
    engine = pop_engine(params, jobs)
    is_json = progress_format == "json"
    if is_json and quiet:
        raise click.UsageError("--progress json prints events alone; leave out --quiet")
    with signals_as_interrupt():
        from filmcolor.farm.archive import color_archive, local_engine
        from filmcolor.pipeline.run import RunSettings

        encoding, tag = pop_encoding(params), not params.pop("no_tag")
        settings = RunSettings(
            make_color_options(params),
            encoding,
            force=force,
            restart=restart,
            tag=tag,
            strict_equal=strict_equal,
        )
        log = EventLog(log_path, is_printed=is_json)
        display = JsonProgress(log) if is_json else BatchProgress(quiet)
        with display as progress:

            def finish(outcome: "Outcome") -> None:
                progress.close(outcome.film)
                if outcome.report:
                    log.finished(outcome.film, outcome.report)
                    progress.print_line(str(outcome.report))
                    for line in outcome.report.damage:
                        progress.warn(f"filmcolor: warning: {outcome.film}: {line}")
                else:
                    log.failed(outcome.film, str(outcome.error))
                    progress.print_error(outcome.film, str(outcome.error))

            try:
                summary = color_archive(
                    folders,
                    output,
                    settings,
                    engine or local_engine(jobs),
                    retry=retry,
                    progress=progress.advance,
                    finished=finish,
                )
            except KeyboardInterrupt:
                summary = None
    if summary is None:
        _report_interrupt(log, output)
        click.get_current_context().exit(EXIT_INTERRUPTED)
    for line in describe_summary(summary):
        log.write("summary", text=line)
        print_line(line, quiet or is_json)
    is_failure = not summary.is_complete or (strict and summary.num_damaged)
    click.get_current_context().exit(EXIT_ERROR if is_failure else 0)


def _report_interrupt(log: EventLog, output: Path) -> None:
    message = "the same command goes on; `filmcolor archive status` shows how far it is"
    log.interrupted(archive=str(output))
    click.echo(escape_controls(f"filmcolor: interrupted; {message}"), err=True)


def describe_summary(summary: "ArchiveSummary") -> Iterator[str]:
    """Yield the lines about an archive after a run: the first for all, then what is unusual."""
    num_verified = len(summary.films.get("verified", ()))
    line = f"{num_verified} of {summary.num_films} films are in colour and verified"
    yield f"{line}, {summary.num_colored} of them by this run"
    for state, text in _PROBLEMS.items():
        if films := summary.films.get(state):
            yield text.format(len(films), list_names([film.name for film in films]))
    if waiting := summary.films.get("waiting"):
        yield f"{len(waiting)} of other folders are waiting"
    if summary.num_adopted:
        yield f"{summary.num_adopted} had been finished before, and are in the books now"
    if moved := summary.review.moved:
        names = list_names([Path(path).name for path in moved])
        yield f"{len(moved)} moved since, the outputs stay where they are: {names}"
    if summary.num_other_settings:
        yield (
            f"{summary.num_other_settings} were coloured with other settings or versions, and stay "
            "so; for all in the present ones, choose a new folder with -o"
        )
    if summary.left_out:
        things = (f"{what} ({number})" for what, number in summary.left_out.items())
        yield f"left out: {', '.join(things)}"
