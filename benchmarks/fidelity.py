"""Is anything of the film lost? Colours films losslessly and compares them with their sources.

    python benchmarks/fidelity.py FILM... [--size 64]

Each film is coloured with FFV1 into MP4, which keeps its clock, and both are decoded: luma and
times of all frames must be equal, and `verify` must pass (it compares the copied packets). `--size`
is small because colours are not compared here.
"""

import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

import click
import numpy as np

from filmcolor import ColorOptions, Encoding, FilmcolorError, colorize, probe
from filmcolor.video.decoder import read_luma


def compare(film: Path, output: Path) -> tuple[int, int, int]:
    """Return (frames, frames whose luma differs, frames whose time differs)."""
    source = probe(film)
    result = probe(output, source.video_number)
    num_frames = num_lumas = num_times = 0
    for old, new in zip_longest(read_luma(source), read_luma(result)):
        num_frames += 1
        if old is None or new is None:
            num_lumas += 1
            continue
        num_lumas += not np.array_equal(old.luma, new.luma)
        num_times += old.pts * source.time_base != new.pts * result.time_base
    return num_frames, num_lumas, num_times


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--size", type=int, default=64, show_default=True)
def main(films: tuple[Path, ...], size: int) -> None:
    """Colour each of FILMS losslessly and compare it with its source."""
    num_bad = 0
    for film in films:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "out.mp4"
            try:
                colorize(
                    film, output, options=ColorOptions(size=size), encoding=Encoding(codec="ffv1")
                )
                frames, lumas, times = compare(film, output)
                verdict = f"{frames} frames, luma differs in {lumas}, time differs in {times}"
                num_bad += bool(lumas or times)
            except FilmcolorError as error:
                verdict, num_bad = f"FAILED: {error}", num_bad + 1
        click.echo(f"{film.name}: {verdict}")
    click.echo(f"{len(films) - num_bad} of {len(films)} films whole")
    sys.exit(bool(num_bad))


if __name__ == "__main__":
    main()
