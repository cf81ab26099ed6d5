"""How fast is training? Pictures per second, and the share of time spent waiting for data.

    python benchmarks/training.py --stills DIR [--init NAME|PATH] [--encoder-rate 1] [--steps 20]

Times the whole loop, including reading and aging of pictures, after a few steps of warm-up. An
encoder rate of 0 needs initial weights.
"""

import tempfile
import time
from pathlib import Path

import click
import torch

from filmcolor.train.data.dataset import split_stills
from filmcolor.train.recipe import get_recipe
from filmcolor.train.trainer import Trainer

WARM_UP = 5  # steps


@click.command()
@click.option("--stills", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option("--network", default="film", show_default=True, metavar="NAME")
@click.option("--init", metavar="NAME|PATH")
@click.option("--size", default=160, show_default=True, metavar="PIXELS")
@click.option("--batch-size", default=64, show_default=True, metavar="N")
@click.option("--steps", default=20, show_default=True, metavar="N")
@click.option("--num-workers", default=2, show_default=True, metavar="N")
@click.option("--encoder-rate", default=0.0, show_default=True, metavar="X")
@click.option("--consistency", default=0.0, show_default=True, metavar="X")
@click.option("--plain", is_flag=True, help="No aging of pictures.")
def main(
    stills: Path,
    network: str,
    init: str | None,
    size: int,
    batch_size: int,
    steps: int,
    num_workers: int,
    encoder_rate: float,
    consistency: float,
    plain: bool,
) -> None:
    """Print pictures per second, and the share of the time not spent waiting for data."""
    changes = {"old_stock": 0.0} if plain else {}
    recipe = get_recipe(
        "film",
        num_stills=0,
        network=network,
        sizes=(size,),
        batch_size=batch_size,
        num_pictures=(WARM_UP + steps) * batch_size,
        encoder_rate=encoder_rate,
        consistency=consistency,
        **changes,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Path(folder), split_stills(stills), init)
        waited, started, step_ended = 0.0, 0.0, 0.0
        for pictures in trainer.batches(num_workers):
            if trainer.step == WARM_UP:
                started = time.monotonic()
            elif trainer.step > WARM_UP:
                waited += time.monotonic() - step_ended
            trainer.train_step(pictures)
            step_ended = time.monotonic()
        seconds = time.monotonic() - started
    print(
        f"{network}, {size} px, batches of {batch_size} on {trainer.device} "
        f"({torch.get_num_threads()} threads): {steps * batch_size / seconds:.1f} pictures/s, "
        f"{100 * (1 - waited / seconds):.0f} % busy"
    )


if __name__ == "__main__":
    main()
