"""Does a frame of a long film cost what one of a short film does?

    python benchmarks/length.py FILM [--seconds 30] [--times 60] [--height 480] [--pairs 3]

Colours the film looped to about `--seconds`, whole loops so that both show the same, and to
`--times` as long, in turns. The time of
colouring one frame, start of the program included, is taken off each. Prints the wall and
processor time a frame, medians, and their ratios.
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
        lengths = [short, short * times]
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
            start = timed([program, "run", str(films[0]), *options, "--frames", "0:1"])
            for path, length, own in zip(films, lengths, costs, strict=True):
                cost = timed([program, "run", str(path), *options])
                per_frame = [1000.0 * (c - s) / (length - 1) for c, s in zip(cost, start)]
                own.append((per_frame[0], per_frame[1]))
    medians = [[statistics.median(values) for values in zip(*own, strict=True)] for own in costs]
    for length, (wall, processor) in zip(lengths, medians, strict=True):
        click.echo(f"{length} frames: {wall:.2f} ms of wall, {processor:.2f} of processor a frame")
    (wall, processor), (long_wall, long_processor) = medians
    click.echo(f"ratio {long_wall / wall:.3f} of wall, {long_processor / processor:.3f}")


if __name__ == "__main__":
    main()
