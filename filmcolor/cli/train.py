"""The command line of training: train."""

import logging
import os
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import say
from filmcolor.cli.options import EXIT_INTERRUPTED, quiet_option
from filmcolor.cli.progress import progress_bar


class Sizes(click.ParamType):
    """One number, or several with commas."""

    name = "sizes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the numbers."""
        try:
            return tuple(int(size) for size in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, nor several with commas", param, ctx)


@click.command()
@click.argument("stills", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Weights, checkpoint, curves and samples go here.",
)
@click.option(
    "--recipe",
    "recipe_name",
    default="film",
    show_default=True,
    metavar="NAME",
    help="film; adapt: on from given weights with one film's stills; tutorial: as of 2018.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="FrameBuilder to judge by.  [default: DIR/val, else whole films held back]",
)
@click.option("--init", metavar="NAME|PATH", help="Begin from these weights.")
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    metavar="TFLITE",
    help="Begin the film network's context from a quantised MobileNetV2.",
)
@click.option("--network", metavar="NAME", help="film or tutorial.")
@click.option("--loss", metavar="NAME", help="mse, huber or bins.")
@click.option("--rarity", type=float, metavar="X", help="How much rare colours weigh, 0 to 1.")
@click.option(
    "--num-pictures", type=int, metavar="N", help="How many to learn from, repeats counted."
)
@click.option("--batch-size", type=int, metavar="N", help="Pictures to learn from at a time.")
@click.option(
    "--size", "sizes", type=Sizes(), metavar="PIXELS", help="Side of the squares; several: 128,160."
)
@click.option("--smallest-crop", type=float, metavar="X", help="Least share of a picture's area.")
@click.option("--old-stock", type=float, metavar="X", help="Share of pictures to age, 0 to 1.")
@click.option(
    "--consistency", type=float, metavar="X", help="Weight of agreement between two agings."
)
@click.option("--learning-rate", type=float, metavar="X", help="The highest.")
@click.option("--schedule", metavar="NAME", help="one-cycle or constant.")
@click.option("--ema-decay", type=float, metavar="X", help="Of the averaged weights; 0: none.")
@click.option(
    "--freeze-start/--train-start",
    "is_start_frozen",
    default=None,
    help="Leave the first layers as they begin, which is quicker.",
)
@click.option("--validate-every", type=int, metavar="STEPS", help="0: once an epoch.")
@click.option(
    "--patience", type=int, metavar="N", help="End after N validations without a better one."
)
@click.option("--seed", type=int, metavar="N", help="The same seed, the same training.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps.")
@click.option("--num-workers", type=int, default=2, show_default=True, metavar="N", help="Readers.")
@quiet_option
def train(
    stills: Path,
    output: Path,
    recipe_name: str,
    validation: Path | None,
    init: str | None,
    teacher: Path | None,
    device: str,
    num_workers: int,
    quiet: bool,
    **changes: Any,
) -> None:
    """Train a network on the colour pictures in DIR; stopped, the same command goes on.

    The best weights are kept as best.safetensors in the output folder. Under torchrun,
    several processes train one network together.
    """
    from tqdm.contrib.logging import logging_redirect_tqdm

    quiet = quiet or os.environ.get("RANK", "0") != "0"  # of torchrun's processes one speaks
    if not quiet:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("filmcolor").setLevel(logging.INFO)
    with progress_bar(quiet, unit="step") as progress, logging_redirect_tqdm():
        from filmcolor.train.data.dataset import split_stills
        from filmcolor.train.distributed import leave_others
        from filmcolor.train.fit import fit
        from filmcolor.train.initialization import Start, network_of
        from filmcolor.train.recipe import recipe

        chosen = {name: value for name, value in changes.items() if value is not None}
        if recipe_name == "adapt" and init is not None:
            chosen.setdefault("network", network_of(init))
        num_stills = 0
        if recipe_name == "tutorial":  # its length is told in epochs
            num_stills = len(split_stills(stills, validation, chosen.get("seed", 0)).training)
        try:
            path = fit(
                stills,
                output,
                recipe(recipe_name, num_stills, **chosen),
                validation=validation,
                start=Start(init, teacher),
                device=device,
                num_workers=num_workers,
                progress=progress,
            )
        except KeyboardInterrupt:
            line = "filmcolor: interrupted; the same command goes on from its last checkpoint"
            click.echo(line, err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
        finally:
            leave_others()
    say(str(path), quiet)
