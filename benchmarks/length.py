"""Does a frame of a long film cost as much as one of a short film?

    python benchmarks/length.py FILM [--seconds 30] [--times 60] [--height 480] [--pairs 3]

Colours the film looped to about `--seconds` (whole loops, so that all films show the same), to
twice that, and to `--times` that, alternating. The cost of the first, which includes start-up and
look-ahead, is subtracted from the others. Prints medians of wall and processor time per frame, and
their ratios.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import av
import click
from transcode import CRF, run_timed, scale

RATE = 24  # of the films that `scale` writes


@click.command()
@click.argument("film", type=click.Path(path_type=Path))
@click.option("--seconds", default=30, show_default=True)
@click.option("--times", default=60, show_default=True)
@click.option("--height", default=480, show_default=True)
@click.option("--pairs", default=3, show_default=True)
def main(film: Path, seconds: int, times: int, height: int, pairs: int) -> None:
    """Compare the cost of a frame in a short and in a long film, both looped from FILM."""
    with tempfile.TemporaryDirectory() as folder:
        num_frames = sum(1 for _ in av.open(str(film)).decode(video=0))
        short = num_frames * max(1, round(seconds * RATE / num_frames))
        lengths = [short, 2 * short, short * times]
        films = []
        for length in lengths:
            path = scale(film, height, Path(folder), length)
            films.append(path.rename(path.with_name(f"{length}.mp4")))
        program = str(Path(sys.executable).with_name("filmcolor"))
        target = str(Path(folder) / "out.mp4")
        options = ["-o", target, "--force", "--quiet", "--recolor"]
        options += ["--codec", "libx264", "--crf", CRF]
        options += ["--preset", "veryfast"]
        costs: list[list[tuple[float, float]]] = [[], []]
        for _ in range(pairs):
            first, *others = (run_timed([program, "run", str(path), *options]) for path in films)
            for cost, length, of_length in zip(others, lengths[1:], costs, strict=True):
                per_frame = [1000.0 * (c - f) / (length - short) for c, f in zip(cost, first)]
                of_length.append((per_frame[0], per_frame[1]))
    medians = [
        [statistics.median(values) for values in zip(*of_length, strict=True)]
        for of_length in costs
    ]
    for length, (wall, processor) in zip(lengths[1:], medians, strict=True):
        click.echo(
            f"{length} frames: {wall:.2f} ms of wall, {processor:.2f} of processor time per frame"
        )
    (wall, processor), (long_wall, long_processor) = medians
    click.echo(f"ratio {long_wall / wall:.3f} of wall, {long_processor / processor:.3f}")


if __name__ == "__main__":
    main()
