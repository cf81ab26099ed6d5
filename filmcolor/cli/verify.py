"""The command line's way to compare a film with its output: verify."""

import math
from pathlib import Path

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import film_argument, quiet_option
from filmcolor.cli.progress import progress_bar


@click.command()
@film_argument
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option("--luma", is_flag=True, help="Also decode both and compare every frame's luma.")
@quiet_option
def verify(film: Path, output: Path, luma: bool, quiet: bool) -> None:
    """Compare OUTPUT with the FILM that it was made from.

    Frames and their times, the shape of pixels, chapters, and every packet of sound and
    subtitles. Exit code 0 says that nothing was lost; else one line says what differs.
    """
    from filmcolor.output import verify as verification
    from filmcolor.video.probe import probe

    num_frames = verification.verify(film, output)
    told = f"{output} is whole: {num_frames} frames, at their times, with all that {film} holds"
    if luma:
        source = probe(film)
        with progress_bar(quiet) as progress:
            difference = verification.compare_luma(
                source, probe(output, source.video_number), progress
            )
        told += (
            "; luma is the film's own, to the bit"
            if math.isinf(difference.psnr)
            else f"; luma differs in {difference.num_different} frames, PSNR "
            f"{difference.psnr:.1f} dB"
        )
    say(told, quiet)
