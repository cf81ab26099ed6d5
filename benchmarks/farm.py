"""How long does an archive take on N machines, what does it cost, and what is the limit?

    python benchmarks/farm.py [--hours 4000] [--nodes 1,4,16,64,256] [--cores 16] [--price 0.04]

Simulates an archive of newsreel items, shorts and features on clusters of each size
(`farm_simulation.py`). Prints hours, money, storage traffic, how much of the paid time was useful
work, and what limits the time: the work, the storage, the joins, or the longest film by itself.
Then the number of nodes from which each is the limit. Rates of failures and speeds are assumptions;
set your own. `farm_check.py` compares the simulation with a real run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, inf, log
from typing import NamedTuple

import click
import numpy as np
from farm_model import Cluster, Cost, Film
from farm_simulation import Result, Simulation

# Processor seconds: `farm_costs.py`, AMD EPYC with AVX512-BF16, 2 cores, 2026-11-29, beside other
# work; a grainy feature film, default settings (H.264, crf 20, medium), `--recolor`. Sizes of the
# output are from there too. Films have, by assumption, 4, 8 and 16 Mbit/s.
COSTS = {
    480: Cost(color=23.5, plan=0.1, join=0.1, film_mb=30.0, output_mb=4.6),
    720: Cost(color=43.5, plan=0.1, join=0.1, film_mb=60.0, output_mb=8.2),
    1080: Cost(color=92.0, plan=0.1, join=0.15, film_mb=120.0, output_mb=16.7),
}


class Kind(NamedTuple):
    """Films of a kind; their lengths are lognormal."""

    share: float  # of the archive's hours
    mean: float  # minutes
    sigma: float  # of the length's logarithm
    heights: dict[int, float]  # share of each


# Means: British Pathé has 85,000 items in 3,500 hours (British Library, The Newsroom blog, 23 April
# 2014). A reel of 1,000 feet of 35 mm film, 16 frames to the foot, lasts 11 minutes. Popular
# features lasted 90 minutes in 1931 and about 120 in 1960 (R. Olson, "Movies aren't actually much
# longer than they used to be", 2014). Shares, sigmas and heights are assumptions.
KINDS = (
    Kind(0.4, 2.5, 0.6, {480: 0.7, 720: 0.2, 1080: 0.1}),  # items of newsreels
    Kind(0.2, 11.0, 0.5, {480: 0.5, 720: 0.3, 1080: 0.2}),  # shorts
    Kind(0.4, 100.0, 0.25, {480: 0.3, 720: 0.2, 1080: 0.5}),  # features
)


def make_archive(hours: float, seed: int) -> list[Film]:
    """Return films of all kinds that last so many hours together."""
    rng = np.random.default_rng(seed)
    films = []
    for kind in KINDS:
        left = 60.0 * hours * kind.share
        while left > 0.0:
            minutes = rng.lognormal(log(kind.mean) - kind.sigma**2 / 2, kind.sigma)
            height = rng.choice(list(kind.heights), p=list(kind.heights.values()))
            films.append(Film(float(min(minutes, left)), COSTS[int(height)]))
            left -= films[-1].minutes
    return films


def find_limits(films: Sequence[Film], cluster: Cluster, result: Result) -> dict[str, float]:
    """Return lower bounds of the seconds that a simulated archive took, by what limits it."""
    joins = [cluster.seconds(film.join()) for film in films]
    longest_pieces = (
        max(cluster.seconds(film.piece(0)), cluster.seconds(film.piece(film.num_pieces - 1)))
        for film in films
    )
    alone = (  # a film with a worker for each of its pieces
        cluster.seconds(film.plan()) + piece + join
        for film, piece, join in zip(films, longest_pieces, joins)
    )
    worker_seconds = result.useful + result.repeated + result.lost
    return {
        "work": worker_seconds / cluster.num_workers,
        "storage": (result.read_mb + result.written_mb) / cluster.storage_mb,
        "joins": sum(joins) / cluster.joins_at_once,
        "longest film": cluster.start_seconds + max(alone),
    }


def useful_share(cluster: Cluster, result: Result) -> float:
    """Return the share of the paid time that workers spent on work done once."""
    paid = result.paid_core_seconds / cluster.cores * cluster.workers_per_node
    return result.useful / paid


def limits_by_nodes(cluster: Cluster, limits: dict[str, float]) -> Iterator[str]:
    """Yield a line for each limit but the work: at how many nodes it takes as long as the work."""
    node_seconds = limits["work"] * cluster.nodes
    for name, seconds in limits.items():
        if name != "work":
            count = ceil(node_seconds / seconds) if seconds else inf
            yield f"{name}: no limit" if count == inf else f"{name}: from {count:,} nodes on"


@click.command()
@click.option("--hours", type=float, default=4000.0, show_default=True, help="Length of all films.")
@click.option("--nodes", default="1,4,16,64,256", show_default=True, help="Numbers of nodes.")
@click.option("--cores", type=click.IntRange(2, 64), default=16, show_default=True)
@click.option("--price", type=float, default=0.04, show_default=True, help="Of a core's hour.")
@click.option(
    "--storage", type=float, default=1250.0, show_default=True, help="MB/s of the storage."
)
@click.option("--network", type=float, default=1250.0, show_default=True, help="MB/s of a node.")
@click.option(
    "--piece-failures", type=float, default=0.001, show_default=True, help="Share of tasks."
)
@click.option("--node-failures", type=float, default=0.0002, show_default=True, help="Per hour.")
@click.option(
    "--preemptions", type=float, default=0.0, show_default=True, help="Per node and hour."
)
@click.option("--alone", is_flag=True, help="A process for each piece, as in an array of jobs.")
@click.option("--joins", type=int, help="Joins at once, if there is a limit.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(
    hours: float,
    nodes: str,
    cores: int,
    price: float,
    storage: float,
    network: float,
    piece_failures: float,
    node_failures: float,
    preemptions: float,
    alone: bool,
    joins: int | None,
    seed: int,
) -> None:
    """Print what an archive takes on clusters of several sizes."""
    films = make_archive(hours, seed)
    minutes = sum(film.minutes for film in films)
    click.echo(f"{len(films):,} films, {minutes / 60:,.0f} hours; nodes of {cores} cores")
    cluster = Cluster(
        nodes=1,
        cores=cores,
        network_mb=network,
        storage_mb=storage,
        is_each_piece_alone=alone,
        joins_at_once=inf if joins is None else joins,
        piece_failures=piece_failures,
        node_failures=node_failures,
        preemptions=preemptions,
    )
    click.echo(" nodes     hours   core hours      money    read TB  written TB  useful  limit")
    for count in map(int, nodes.split(",")):
        cluster = replace(cluster, nodes=count)
        result = Simulation(films, cluster, seed).run()
        limits = find_limits(films, cluster, result)
        core_hours = result.paid_core_seconds / 3600
        click.echo(
            f"{count:6,} {result.seconds / 3600:9,.1f} {core_hours:12,.0f} "
            f"{core_hours * price:10,.0f} {result.read_mb / 1e6:10,.1f} "
            f"{result.written_mb / 1e6:11,.1f} {useful_share(cluster, result):7.0%}  "
            f"{max(limits, key=lambda name: limits[name])}"
        )
    for line in limits_by_nodes(cluster, limits):
        click.echo(line)


if __name__ == "__main__":
    main()
