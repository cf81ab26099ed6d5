"""Does the model of `farm.py` predict a real run? A film of many pieces with `run --jobs`.

    python benchmarks/farm_check.py FILM [--jobs 2] [--height 240] [--minutes 4] [--times 3]

Loops FILM to `--minutes` and to `--times` that. The short film is coloured before and after the
long one; the progress of these two runs gives the seconds until the first frame, the frames per
second, and the seconds to join. The model then predicts the long run. Prints both durations, and
the ratio.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
from farm_model import CONTEXT_MINUTES, Cluster, Cost, Film, Simulation
from transcode import scale

FRAMES_PER_MINUTE = 24 * 60  # of the films that `scale` writes


class Measured(NamedTuple):
    """Seconds of a run."""

    all: float
    until_first_frame: float
    per_minute: float  # of film, all workers together, from the first frame to the last
    join: float


def run(film: Path, jobs: int) -> Measured:
    """Colour a film and return what its progress says about the time it takes."""
    program = str(Path(sys.executable).with_name("filmcolor"))
    output = str(film.with_name("out.mp4"))
    command = [program, "run", str(film), "-o", output, "--jobs", str(jobs), "--recolor"]
    started = time.monotonic()
    progress: list[tuple[float, int]] = []  # seconds, frames done
    arguments = [*command, "--force", "--progress", "json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["done"]:
                progress.append((time.monotonic() - started, event["done"]))
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed")
    (first, early), (last, late) = progress[0], progress[-1]
    per_minute = (last - first) / (late - early) * FRAMES_PER_MINUTE
    return Measured(seconds, first, per_minute, seconds - last)


def predict(short: Measured, minutes: int, times: int, jobs: int) -> float:
    """Return the seconds of a film that is `times` as long as a measured one of `minutes`."""
    # each worker but the first begins amid the film, and colours frames around its first piece
    color = short.per_minute * jobs * minutes / (minutes + CONTEXT_MINUTES * (jobs - 1))
    cost = Cost(color, plan=0.0, join=short.join / minutes, film_mb=0.0, output_mb=0.0)
    cluster = Cluster(jobs, 1, 1, busy=1.0, start_seconds=short.until_first_frame)
    return Simulation([Film(float(minutes * times), cost)], cluster).run().seconds


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--jobs", default=2, show_default=True)
@click.option("--height", default=240, show_default=True)
@click.option("--minutes", default=4, show_default=True)
@click.option("--times", default=3, show_default=True)
def main(film: Path, jobs: int, height: int, minutes: int, times: int) -> None:
    """Compare the model's prediction for a looped FILM with a run."""
    with tempfile.TemporaryDirectory() as folder:
        frames = minutes * FRAMES_PER_MINUTE
        short, long = (
            scale(film, height, Path(folder), length).rename(Path(folder, f"{length}.mp4"))
            for length in (frames, times * frames)
        )
        before, measured, after = (run(path, jobs) for path in (short, long, short))
    for name, values in (("short", before), ("long", measured), ("short", after)):
        click.echo(f"{name}: " + ", ".join(f"{v:.1f}" for v in values))
    mean = Measured(*(sum(values) / 2 for values in zip(before, after, strict=True)))
    for source, seconds in (
        ("the short runs", predict(mean, minutes, times, jobs)),
        ("the speed of the long run itself", predict(measured, minutes * times, 1, jobs)),
    ):
        click.echo(
            f"from {source}: predicted {seconds:.1f} s, measured {measured.all:.1f} s, "
            f"ratio {seconds / measured.all:.3f}"
        )


if __name__ == "__main__":
    main()
