"""Does a frame of a long film cost what one of a short film does?

    python benchmarks/length.py FILM [--seconds 30] [--times 60] [--height 480] [--pairs 3]

Colours the film looped to about `--seconds`, whole loops so that all films show the same, to
twice that, and to `--times` that, in turns. The cost of the first, start of the program and its
look ahead included, is taken off the others. Prints the wall and processor time a frame, medians,
and their ratios.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import av
import click
from transcode import CRF, scaled, timed

RATE = 24  # of what `scaled` writes


@click.command()
@click.argument("film", type=click.Path(path_type=Path))
@click.option("--seconds", default=30, show_default=True)
@click.option("--times", default=60, show_default=True)
@click.option("--height", default=480, show_default=True)
@click.option("--pairs", default=3, show_default=True)
def main(film: Path, seconds: int, times: int, height: int, pairs: int) -> None:
    """Compare a frame's cost in a short FILM with that in a long one."""
    with tempfile.TemporaryDirectory() as folder:
        num_frames = sum(1 for _ in av.open(str(film)).decode(video=0))
        short = num_frames * max(1, round(seconds * RATE / num_frames))
        lengths = [short, 2 * short, short * times]
        films = []
        for length in lengths:
            path = scaled(film, height, Path(folder), length)
            films.append(path.rename(path.with_name(f"{length}.mp4")))
        program = str(Path(sys.executable).with_name("filmcolor"))
        target = str(Path(folder) / "out.mp4")
        options = ["-o", target, "--force", "--quiet", "--recolor"]
        options += ["--codec", "libx264", "--crf", CRF]
        options += ["--preset", "veryfast"]
        costs: list[list[tuple[float, float]]] = [[], []]
        for _ in range(pairs):
            first, *others = (timed([program, "run", str(path), *options]) for path in films)
            for cost, length, own in zip(others, lengths[1:], costs, strict=True):
                per_frame = [1000.0 * (c - f) / (length - short) for c, f in zip(cost, first)]
                own.append((per_frame[0], per_frame[1]))
    medians = [[statistics.median(values) for values in zip(*own, strict=True)] for own in costs]
    for length, (wall, processor) in zip(lengths[1:], medians, strict=True):
        click.echo(f"{length} frames: {wall:.2f} ms of wall, {processor:.2f} of processor a frame")
    (wall, processor), (long_wall, long_processor) = medians
    click.echo(f"ratio {long_wall / wall:.3f} of wall, {long_processor / processor:.3f}")


if __name__ == "__main__":
    main()
