"""What does Ray cost? A film on two workers of a cluster, over `run --jobs 2` on the same cores.

    python benchmarks/ray_overhead.py FILM [--height 240] [--pieces 20] [--seconds 15] [--pairs 5]

FILM is scaled to `--height` and looped to `--pieces` pieces of `--seconds` each; pieces of a run
have 60 seconds, so the time between pieces counts four times as much here. The cluster is started
for the benchmark, a node with two CPUs, and keeps running. Its workers get the priority of other
processes, not Ray's lower one (a niceness of 15), so that work beside the benchmark slows both ways
down alike. These take turns, and both start their workers anew each time, as the commands do:
the time until all films are joined, without Python's own start. Prints the median ratio with its
range, and the same without the workers' start, which a longer film divides by its length.
"""

import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from transcode import scale

from filmcolor.farm.ray_engine import ray_engine
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments import segment

NUM_WORKERS = 2
RATE = 24  # of the films that `scale` writes


def start_cluster() -> Any:
    """Start a Ray cluster of one node with CPUs for the workers, and a token."""
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    from ray.cluster_utils import Cluster

    head = {"num_cpus": NUM_WORKERS, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    os.environ["RAY_ADDRESS"] = cluster.address
    return cluster


def measure(film: Path, output: Path, **how: Any) -> tuple[float, float]:
    """Colour a film; return the seconds of all, and those after the first frame."""
    first: list[float] = []

    def advance(*_: object) -> None:
        if not first:
            first.append(time.monotonic())

    started = time.monotonic()
    colorize(film, output, options=ColorOptions(recolor=True), progress=advance, force=True, **how)
    stopped = time.monotonic()
    return stopped - started, stopped - first[0]


def describe(ratios: list[float]) -> str:
    """Return the median of ratios and their range."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--height", default=240, show_default=True)
@click.option("--pieces", default=20, show_default=True)
@click.option("--seconds", default=15, show_default=True, help="Of a piece.")
@click.option("--pairs", default=5, show_default=True)
def main(film: Path, height: int, pieces: int, seconds: int, pairs: int) -> None:
    """Compare Ray with `--jobs` on loops of FILM."""
    segment._SECONDS = seconds
    ways: dict[str, Callable[[Path, Path], tuple[float, float]]] = {
        "jobs": lambda film, output: measure(film, output, jobs=NUM_WORKERS),
        "Ray": lambda film, output: measure(film, output, engine=ray_engine(cores=1)),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = scale(film, height, folder, pieces * seconds * RATE)
        cluster = start_cluster()
        try:
            totals, after = [], []
            for number in range(pairs):
                order = list(ways) if number % 2 else list(ways)[::-1]
                times = {way: ways[way](source, folder / f"{way}.mp4") for way in order}
                totals.append(times["Ray"][0] / times["jobs"][0])
                after.append(times["Ray"][1] / times["jobs"][1])
                (jobs, _), (ray, _) = times["jobs"], times["Ray"]
                click.echo(f"jobs {jobs:.1f} s, Ray {ray:.1f} s: {totals[-1]:.3f}")
        finally:
            cluster.shutdown()
    click.echo(f"Ray over --jobs {NUM_WORKERS}, {pieces} pieces of {seconds} s: {describe(totals)}")
    click.echo(f"without the start of the workers: {describe(after)}")


if __name__ == "__main__":
    main()
