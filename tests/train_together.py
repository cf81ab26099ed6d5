"""What each process of test_train's torchrun does: a few steps, then its state is written."""

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
    network="film", num_pictures=24, batch_size=4, sizes=(32,), validate_every=2, ema_decay=0.9
)


def main(stills: Path, folder: Path) -> None:
    trainer_module.validate = lambda net, paths, is_flip_averaged: validate(net, paths, 48)
    fit(stills, folder, SMALL, num_workers=0, device="cpu")
    dist.barrier()  # the first process has written the checkpoint
    again = Trainer(SMALL, folder, split_stills(stills), device="cpu")
    assert again.resume()
    assert again.step == again.num_steps == 3
    trainer = Trainer(SMALL, folder, split_stills(stills), device="cpu")
    draws = []
    for pictures in trainer.batches(num_workers=0):
        draws.append(float(pictures.float().mean()))
        trainer.train_step(pictures)
    trainer.save()  # here the processes agree on their running statistics
    state = {"net": trainer.net.state_dict(), "average": trainer.average.module.state_dict()}
    torch.save(state | {"draws": draws}, folder / f"rank-{trainer.ranks.rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
