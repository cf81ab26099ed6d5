"""Trains a few steps in each process of test_train's torchrun, and writes the process's state."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from filmcolor.train import trainer as trainer_module
from filmcolor.train.data.dataset import split_stills
from filmcolor.train.fit import fit
from filmcolor.train.recipe import Recipe
from filmcolor.train.trainer import Trainer
from filmcolor.train.validation import validate

SMALL = Recipe(
    num_pictures=24,
    batch_size=4,
    sizes=(32,),
    consistency=1.0,
    encoder_rate=1.0,
    validate_every=2,
    ema_decay=0.9,
)


def main(stills: Path, folder: Path) -> None:
    trainer_module.validate = lambda net, paths, is_flip_averaged: validate(net, paths, 48)
    fit(stills, folder, SMALL, num_workers=0, device="cpu")
    dist.barrier()  # until the first process has written the checkpoint
    resumed = Trainer(SMALL, folder, split_stills(stills), device="cpu")
    assert resumed.resume()
    assert resumed.step == resumed.num_steps == 3
    trainer = Trainer(SMALL, folder, split_stills(stills), device="cpu")
    means = []
    for pictures in trainer.batches(num_workers=0):
        means.append(float(pictures.float().mean()))
        trainer.train_step(pictures)
    trainer.save()  # averages the running statistics of the processes
    state = {"net": trainer.net.state_dict(), "average": trainer.average.module.state_dict()}
    torch.save(state | {"means": means}, folder / f"rank-{trainer.processes.rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
