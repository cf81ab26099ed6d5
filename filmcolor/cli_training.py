"""The command line's teaching half: train."""

from pathlib import Path
from typing import Any

import click

from filmcolor.cli_options import progress_bar, quiet_option, say


@click.command()
@click.argument("stills", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Colour pictures that are held back to choose the best weights.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Weights, checkpoint and log go here.",
)
@click.option(
    "--init", type=click.Path(path_type=Path), metavar="WEIGHTS", help="Begin from these."
)
@click.option(
    "--num-pictures",
    type=int,
    default=100_000,
    show_default=True,
    metavar="N",
    help="How many to learn from, repeats counted.",
)
@click.option(
    "--batch-size",
    type=int,
    default=32,
    show_default=True,
    metavar="N",
    help="Pictures to learn from at a time.",
)
@click.option(
    "--size",
    type=int,
    default=160,
    show_default=True,
    metavar="PIXELS",
    help="Side of the squares that are cut out.",
)
@click.option(
    "--learning-rate",
    type=float,
    default=2e-3,
    show_default=True,
    metavar="X",
    help="The highest, at the end of warming up.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed, the same training.",
)
@quiet_option
def train(
    stills: Path, validation: Path, output: Path, init: Path | None, quiet: bool, **recipe: Any
) -> None:
    """Train the network on the colour pictures in DIR; stopped, the same command goes on.

    The best weights are kept as best.safetensors in the output folder.
    """
    with progress_bar(quiet, unit="step") as progress:
        from filmcolor.train.fit import Recipe, fit

        path = fit(stills, validation, output, Recipe(**recipe), init, progress)
    say(str(path), quiet)
