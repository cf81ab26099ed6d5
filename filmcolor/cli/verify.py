"""The `verify` command: compares an output with its film."""

import math
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import (
    film_argument,
    pop_source_options,
    quiet_option,
    rate_options_unsectioned,
)
from filmcolor.cli.progress import progress_bar


@command()
@film_argument
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@option("--luma", is_flag=True, help="Also decode both and compare the luma of every frame.")
@rate_options_unsectioned
@quiet_option
def verify(film: Path, output: Path, luma: bool, quiet: bool, **params: Any) -> None:
    """Check that OUTPUT holds everything of FILM.

    Compares the frames and their times, the pixel aspect, the chapters, and every packet of sound
    and subtitles. Of images it compares the numbers and headers, and decodes each; their pattern
    is OUTPUT. --rate and the like are those that OUTPUT was made with. Exit code 0: nothing
    was lost. Otherwise one line names the first difference.
    """
    from filmcolor.output.luma_comparison import compare_luma
    from filmcolor.output.verify import verify as verify_film
    from filmcolor.video.probe import probe
    from filmcolor.video.sequence_names import find_sequence

    source_options = pop_source_options(params)
    num_frames = verify_film(film, output, source_options=source_options)
    message = f"{output} is whole: {num_frames} frames, at their times, with all that {film} holds"
    if find_sequence(output) is not None:
        message = f"{output} is whole: {num_frames} images, numbered as the frames of {film}"
    if luma:
        source = source_options.apply(probe(film))
        with progress_bar(quiet, film) as progress:
            difference = compare_luma(source, probe(output, source.video_number), progress)
        message += (
            "; luma is the film's own, to the bit"
            if math.isinf(difference.psnr)
            else f"; luma differs in {difference.num_different} frames, PSNR "
            f"{difference.psnr:.1f} dB"
        )
    print_line(message, quiet)
