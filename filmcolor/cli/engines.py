"""The options that choose where films are coloured: in processes here, or on a cluster."""

from typing import TYPE_CHECKING, Any

import click

from filmcolor.cli.help import option
from filmcolor.cli.options import LONG_RUNS, combine

if TYPE_CHECKING:
    from filmcolor.pipeline.tasks import Engine

engine_options = combine(
    option(
        "--on",
        "engine_name",
        type=click.Choice(["ray"]),
        section=LONG_RUNS,
        help="Colour on the Ray cluster of RAY_ADDRESS, or the one running here, instead of in "
        "--jobs.",
    ),
    option(
        "--cores",
        type=click.IntRange(1, 1024),
        metavar="N",
        section=LONG_RUNS,
        help="With --on ray: CPUs of each worker, where its node has no GPU.  [default: 2]",
    ),
)


def pop_engine(params: dict[str, Any], jobs: int) -> "Engine | None":
    """Remove the options above from a command's parameters and return the engine, None for --jobs.

    Raises UsageError for options that exclude each other.
    """
    name, cores = params.pop("engine_name"), params.pop("cores")
    if name is None:
        if cores is not None:
            raise click.UsageError("--cores is of a cluster; add --on ray")
        return None
    if jobs != 1:
        raise click.UsageError("--jobs is of this machine, --on ray of a cluster; leave out one")
    from filmcolor.farm.ray_engine import CORES, ray_engine

    return ray_engine(cores or CORES)
