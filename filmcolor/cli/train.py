"""The `train` command: trains a network on colour pictures."""

import logging
import os
from pathlib import Path
from typing import Any

import click

from filmcolor.cli.console import print_line
from filmcolor.cli.help import command, option
from filmcolor.cli.options import EXIT_INTERRUPTED, OUTPUT, path_option, quiet_option
from filmcolor.cli.progress import progress_bar

_START, _DATA, _LEARNING, _VALIDATION = "Start", "Data", "Learning", "Validation"


class SizeList(click.ParamType):
    """One number, or several with commas."""

    name = "sizes"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the numbers."""
        try:
            return tuple(int(size) for size in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, nor several with commas", param, ctx)


@command()
@click.argument("stills", type=click.Path(path_type=Path), metavar="DIR")
@path_option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    section=OUTPUT,
    help="Folder for weights, checkpoint, curves and samples.",
)
@path_option(
    "--export-encoder",
    metavar="FILE",
    section=OUTPUT,
    help="Also write the encoder of the best weights, as export-encoder does; overwrites FILE.",
)
@option(
    "--recipe",
    "recipe_name",
    default="film",
    show_default=True,
    metavar="NAME",
    section=_START,
    help="film; adapt, to fine-tune given weights on stills of one film; tutorial, as of 2018.",
)
@option(
    "--init",
    metavar="NAME|PATH",
    section=_START,
    help="Start from these weights, of a network or of the film network's encoder alone.",
)
@option("--network", metavar="NAME", section=_START, help="film or tutorial.")
@option(
    "--num-pictures",
    type=int,
    metavar="N",
    section=_DATA,
    help="Number of pictures to train on, repeats included.",
)
@option("--batch-size", type=int, metavar="N", section=_DATA, help="Pictures per step.")
@option(
    "--size",
    "sizes",
    type=SizeList(),
    metavar="PIXELS",
    section=_DATA,
    help="Side of the square crops; several: 128,160.",
)
@option(
    "--smallest-crop",
    type=float,
    metavar="X",
    section=_DATA,
    help="Smallest crop, as a share of the picture's area.",
)
@option(
    "--old-stock",
    type=float,
    metavar="X",
    section=_DATA,
    help="Share of pictures that are made to look like old film, 0 to 1.",
)
@option(
    "--rarity",
    type=float,
    metavar="X",
    section=_LEARNING,
    help="Extra weight of rare colours in the film network's loss, 0 to 1.",
)
@option(
    "--consistency",
    type=float,
    metavar="X",
    section=_LEARNING,
    help="Weight of the agreement between two aged versions of a picture.",
)
@option("--learning-rate", type=float, metavar="X", section=_LEARNING, help="Peak learning rate.")
@option(
    "--encoder-rate",
    type=float,
    metavar="X",
    section=_LEARNING,
    help="Share of the learning rate for the encoder; 0: it is not trained, which is faster.",
)
@option("--schedule", metavar="NAME", section=_LEARNING, help="one-cycle or constant.")
@option(
    "--ema-decay",
    type=float,
    metavar="X",
    section=_LEARNING,
    help="Decay of the averaged weights; 0: no averaging.",
)
@option(
    "--seed",
    type=int,
    metavar="N",
    section=_LEARNING,
    help="Seed: the same seed gives the same training.",
)
@path_option(
    "--validation",
    metavar="DIR",
    section=_VALIDATION,
    help="Validation pictures.  [default: DIR/val, otherwise whole films are held out]",
)
@option(
    "--validate-every",
    type=int,
    metavar="STEPS",
    section=_VALIDATION,
    help="Steps between validations; 0: one per epoch.",
)
@option(
    "--patience",
    type=int,
    metavar="N",
    section=_VALIDATION,
    help="Stop after N validations without improvement.",
)
@option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda or mps.")
@option(
    "--num-workers",
    type=int,
    default=2,
    show_default=True,
    metavar="N",
    help="Processes that read pictures.",
)
@quiet_option
def train(
    stills: Path,
    output: Path,
    export_encoder: Path | None,
    recipe_name: str,
    validation: Path | None,
    init: str | None,
    device: str,
    num_workers: int,
    quiet: bool,
    **params: Any,
) -> None:
    """Train a network on the colour pictures in DIR.

    After an interruption the same command continues from the last checkpoint. The best weights are
    kept as best.safetensors in the output folder. Under torchrun, several processes train one
    network. Options without a default get it from the recipe.
    """
    from tqdm.contrib.logging import logging_redirect_tqdm

    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun only one process prints
    quiet = quiet or not is_first
    if not quiet:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("filmcolor").setLevel(logging.INFO)
    with progress_bar(quiet, stills, unit="step") as progress, logging_redirect_tqdm():
        from filmcolor.train.data.dataset import split_stills
        from filmcolor.train.distributed import leave_process_group
        from filmcolor.train.export import check_export
        from filmcolor.train.export import export_encoder as export
        from filmcolor.train.fit import fit
        from filmcolor.train.initialization import network_name
        from filmcolor.train.recipe import get_recipe
        from filmcolor.train.trainer import BEST

        if export_encoder is not None:
            check_export(export_encoder, output / BEST, force=True)
        changes = {name: value for name, value in params.items() if value is not None}
        if recipe_name == "adapt" and init is not None:
            changes.setdefault("network", network_name(init))
        num_stills = 0
        if recipe_name == "tutorial":  # its length is given in epochs
            num_stills = len(split_stills(stills, validation, changes.get("seed", 0)).training)
        try:
            path = fit(
                stills,
                output,
                get_recipe(recipe_name, num_stills, **changes),
                validation=validation,
                initial_weights=init,
                device=device,
                num_workers=num_workers,
                progress=progress,
            )
        except KeyboardInterrupt:
            line = "filmcolor: interrupted; the same command goes on from its last checkpoint"
            click.echo(line, err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
        finally:
            leave_process_group()
    if export_encoder is not None and is_first:
        export(path, export_encoder, force=True)
    print_line(str(path), quiet)
