"""The `photo` command: photographs in colour."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.console import escape_controls, print_line, summarize_batch
from filmcolor.cli.event_log import EventLog
from filmcolor.cli.help import command
from filmcolor.cli.interrupts import report_interrupt, signals_as_interrupt
from filmcolor.cli.notices import notices
from filmcolor.cli.options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    OUTPUT,
    REFERENCES,
    color_options,
    force_option,
    jobs_option,
    log_option,
    make_color_options,
    path_option,
    quiet_option,
    skip_existing_option,
)
from filmcolor.cli.progress import BatchProgress

if TYPE_CHECKING:
    from filmcolor.pipeline.photo_batch import PhotoOutcome, PhotoSettings


@command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@path_option(
    "-o",
    "--output",
    metavar="FILE|DIR",
    section=OUTPUT,
    help="File to write; for several pictures a folder, created if missing.",
)
@force_option
@color_options
@path_option(
    "--hints",
    metavar="PICTURE",
    section=REFERENCES,
    help="Colour strokes on a transparent picture of one photograph, which fill the areas around "
    "them.",
)
@jobs_option("Number of processes that colour pictures.")
@skip_existing_option("Skip pictures that have a result already.")
@log_option
@quiet_option
def photo(
    pictures: tuple[Path, ...],
    output: Path | None,
    force: bool,
    hints: Path | None,
    jobs: int,
    skip_existing: bool,
    log_path: Path | None,
    quiet: bool,
    **params: Any,
) -> None:
    """Colour photographs: JPEG, PNG, TIFF, AVIF, HEIC and others.

    The result is beside the picture as NAME.color.ext, unless -o is given; pictures that are not
    JPEG, PNG or TIFF become PNG. 16-bit pictures stay 16-bit.

    IMAGE may be a folder, which is read with its subfolders, or a pattern in quotes,
    'album/**/*.jpg'. Results keep their subfolders in the folder that -o names. Results of earlier
    runs are left out. A picture that fails does not stop the others.
    """
    from filmcolor.pipeline.album import is_folder_or_pattern
    from filmcolor.pipeline.photo_batch import PhotoSettings

    with signals_as_interrupt():
        settings = PhotoSettings(make_color_options(params), force, skip_existing)
        log = EventLog(log_path)
        if len(pictures) == 1 and not is_folder_or_pattern(pictures[0]):
            _color_single(pictures[0], output, hints, settings, _Mode(jobs, log, quiet))
        elif hints is not None:
            raise click.UsageError("--hints are strokes on one picture; name that picture alone")
        else:
            _color_batch(pictures, output, settings, _Mode(jobs, log, quiet))


def _color_single(
    picture: Path,
    output: Path | None,
    hints: Path | None,
    settings: "PhotoSettings",
    mode: "_Mode",
) -> None:
    """Colour one picture; `output` is a folder if it is one already, or has no suffix."""
    from filmcolor.files import new_folder
    from filmcolor.pipeline.photo import colorize_photo, photo_path

    is_folder = output is not None and (output.is_dir() or not output.suffix)
    folder = output if is_folder else None
    target = photo_path(picture, folder) if is_folder or output is None else output
    if settings.skip_existing and target.is_file():
        print_line(f"{target} is there already, left alone", mode.quiet)
        return
    lines = nullcontext() if mode.quiet else notices(lambda line: click.echo(line, err=True))
    with lines, mode.log.recording_errors(picture), new_folder(folder):
        colorize_photo(picture, target, options=settings.options, hints=hints, force=settings.force)
    mode.log.write("finished", film=str(picture), output=str(target))
    print_line(str(target), mode.quiet)


@dataclass(frozen=True, slots=True)
class _Mode:
    """Options that do not change the results."""

    jobs: int
    log: EventLog
    quiet: bool


def _color_batch(
    names: tuple[Path, ...], output: Path | None, settings: "PhotoSettings", mode: _Mode
) -> None:
    """Colour all pictures that the names stand for, print a summary, and exit."""
    from filmcolor.pipeline.album import list_pictures
    from filmcolor.pipeline.photo_batch import color_album

    album = list_pictures(names, output)
    outcomes: list[PhotoOutcome] = []
    label = names[0] if len(names) == 1 else Path("all pictures")
    with BatchProgress(mode.quiet, "picture", has_labels=False) as progress:

        def finish(outcome: "PhotoOutcome") -> None:
            outcomes.append(outcome)
            if outcome.error:
                mode.log.failed(outcome.picture, str(outcome.error))
                progress.print_error(outcome.picture, str(outcome.error))
            elif not outcome.is_skipped:
                mode.log.write("finished", film=str(outcome.picture), output=str(outcome.output))
                progress.print_line(str(outcome.output))

        try:
            color_album(
                album,
                output,
                settings,
                mode.jobs,
                lambda done, total: progress.advance(label, done, total),
                finish,
            )
            code = EXIT_ERROR if any(outcome.error for outcome in outcomes) else 0
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    summary = _format_summary(outcomes, len(album.pictures))
    if code == EXIT_INTERRUPTED:
        report_interrupt(mode.log, summary)
    elif not mode.quiet:
        if album.excluded:
            where = "of earlier runs" if output is None else f"of earlier runs or in {output}"
            summary += f"; {len(album.excluded)} {where} left out"
        click.echo(escape_controls(summary), err=True)  # stdout has the paths alone
    click.get_current_context().exit(code)


def _format_summary(outcomes: list["PhotoOutcome"], num_pictures: int) -> str:
    num_skipped = sum(outcome.is_skipped for outcome in outcomes)
    failed = [outcome.picture.name for outcome in outcomes if outcome.error]
    return summarize_batch(
        "pictures",
        num_pictures,
        num_done=len(outcomes) - num_skipped - len(failed),
        num_skipped=num_skipped,
        failed=failed,
    )
