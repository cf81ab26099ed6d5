"""Is anything of the film lost? Colours films losslessly and compares all that should be equal.

    python benchmarks/fidelity.py FILM... [--size 64]

Each film is run with FFV1 into MP4 (its clock is the film's) and both are decoded: luma and
times of every frame must be equal, `verify` must pass (it compares the copied packets).
`--size` is small because the colours themselves are not judged here.
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
    for theirs, ours in zip_longest(read_luma(source), read_luma(result)):
        num_frames += 1
        if theirs is None or ours is None:
            num_lumas += 1
            continue
        num_lumas += not np.array_equal(theirs.luma, ours.luma)
        num_times += theirs.pts * source.time_base != ours.pts * result.time_base
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
