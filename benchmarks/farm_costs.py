"""What does a minute of film cost? The figures of `farm.py`, by the height of the picture.

    python benchmarks/farm_costs.py FILM [--heights 480,720,1080] [--minutes 2]

Scales and loops FILM, plans it, colours its pieces by themselves, joins them, and colours it again
with `run`. Prints processor seconds and megabytes for each minute, less what starting takes.
"""

import sys
import tempfile
from pathlib import Path

import click
from transcode import run_timed, scale

FRAMES_PER_MINUTE = 24 * 60  # of the films that `scale` writes


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--heights", default="480,720,1080", show_default=True)
@click.option("--minutes", default=2, show_default=True)
def main(film: Path, heights: str, minutes: int) -> None:
    """Print the cost of a minute of a scaled and looped FILM."""
    program = str(Path(sys.executable).with_name("filmcolor"))
    click.echo("height  run  piece alone  plan  join  film MB  output MB  (start)")
    for height in map(int, heights.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            source = scale(film, height, Path(folder), minutes * FRAMES_PER_MINUTE)
            output, work = str(Path(folder, "out.mp4")), str(Path(folder, "work"))
            settings = ["-o", output, "--recolor", "--quiet"]

            def processor(*words: str) -> float:
                return run_timed([program, *words])[1]

            plan = processor("plan", str(source), *settings, "--work", work)
            pieces = [processor("piece", work, str(n), "--quiet") for n in range(minutes)]
            start = processor("piece", work, "0", "--quiet")  # it is done: nothing but the start
            join = processor("join", work, "--quiet")
            run = processor("run", str(source), *settings, "--force")
            costs = [run, sum(pieces) - (minutes - 1) * start, plan, join]
            values = [(seconds - start) / minutes for seconds in costs]
            values += [p.stat().st_size / 1e6 / minutes for p in (source, Path(output))]
            words = "  ".join(f"{value:.2f}" for value in values)
            click.echo(f"{height:6d}  {words}  ({start:.2f})")


if __name__ == "__main__":
    main()
