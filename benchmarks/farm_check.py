"""Does the simulation of `farm.py` predict a real run? Films on two workers of this machine.

    python benchmarks/farm_check.py FILM [--workers 2] [--height 120] [--minutes 4,3,2,1]

Loops FILM to several lengths, and runs `plan`, `piece` and `join` on as many processes at a time as
there are workers. The simulation gets the mean duration of each kind of command, and predicts how
long the whole takes. Prints both, and their ratio.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import click
from farm_model import CONTEXT_MINUTES, Cluster, Cost, Film
from farm_simulation import Simulation
from transcode import scale

FRAMES_PER_MINUTE = 24 * 60  # of the films that `scale` writes
PROGRAM = str(Path(sys.executable).with_name("filmcolor"))


def run(words: Sequence[str]) -> float:
    """Run a command of filmcolor and return how many seconds it took."""
    started = time.monotonic()
    subprocess.run([PROGRAM, *words, "--quiet"], check=True)
    return time.monotonic() - started


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--workers", default=2, show_default=True)
@click.option("--height", default=120, show_default=True)
@click.option("--minutes", default="4,3,2,1", show_default=True, help="Of each film.")
def main(film: Path, workers: int, height: int, minutes: str) -> None:
    """Compare the simulation's prediction for loops of FILM with a run."""
    lengths = sorted(map(int, minutes.split(",")), reverse=True)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(workers) as pool:
        folder = Path(name)
        plans, joins = [], []
        for number, length in enumerate(lengths):
            source = scale(film, height, folder, length * FRAMES_PER_MINUTE)
            source = source.rename(folder / f"{number}.mp4")
            work, output = str(folder / f"{number}"), str(folder / f"{number}.color.mp4")
            plans.append(["plan", str(source), "-o", output, "--work", work, "--recolor"])
            joins.append(["join", work])
        started = time.monotonic()
        plan = list(pool.map(run, plans))
        lists = [Path(work, "commands.txt").read_text().splitlines() for _, work in joins]
        pieces = [
            ["piece", w, str(n)] for (_, w), list_ in zip(joins, lists) for n in range(len(list_))
        ]
        piece = list(pool.map(run, pieces))
        join = list(pool.map(run, joins))
        measured = time.monotonic() - started
        start = run(["piece", joins[0][1], "0"])  # the film is joined: nothing but the start
    total = sum(lengths)
    alone = len(pieces) - len(lengths)  # pieces with frames before them
    cost = Cost(
        color=(sum(piece) - start * len(piece)) / (total + CONTEXT_MINUTES * alone),
        plan=(sum(plan) - start * len(plan)) / total,
        join=(sum(join) - start * len(join)) / total,
        film_mb=0.0,
        output_mb=0.0,
    )
    cluster = Cluster(workers, 1, 1, 1.0, inf, inf, start, is_each_piece_alone=True)
    predicted = Simulation([Film(float(n), cost) for n in lengths], cluster).run().seconds
    click.echo(
        f"{len(pieces)} pieces, {sum(piece) / len(piece):.1f} s each: predicted {predicted:.1f} s, "
        f"measured {measured:.1f} s, ratio {predicted / measured:.3f}"
    )


if __name__ == "__main__":
    main()
