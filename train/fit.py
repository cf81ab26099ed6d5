"""The training loop: steps, validations, checkpoints and records, until it is done."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from filmcolor.errors import OutputError
from filmcolor.files import atomic_write
from filmcolor.train.data.dataset import split_stills
from filmcolor.train.initialization import SCRATCH, Start
from filmcolor.train.recipe import Recipe
from filmcolor.train.trainer import Trainer
from filmcolor.train.training_log import Records, save_samples

log = logging.getLogger(__name__)
_SAVE_SECONDS = 60.0  # between checkpoints

Progress = Callable[[int, int, float], None]  # step, num_steps, loss


def fit(
    stills: Path,
    folder: Path,
    recipe: Recipe,
    *,
    validation: Path | None = None,
    start: Start = SCRATCH,
    device: str = "auto",
    num_workers: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Train on a folder of stills and return the path of the best weights.

    Interrupted, the same call goes on from the last checkpoint in `folder`, to the same
    end, to the bit on one CPU. `progress(step, num_steps, loss)` is called after every
    step. Raises InputError for a folder that teaches nothing, SettingsError when the
    checkpoint is of another recipe or of other data, OutputError when the disk is full.
    """
    split = split_stills(stills, validation, recipe.seed)
    trainer = Trainer(recipe, folder, split, start, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    if trainer.resume():
        log.info("going on from step %d", trainer.step)
    is_first = trainer.ranks.rank == 0
    if is_first:
        with atomic_write(folder / "split.csv") as partial:
            partial.write_text(split.to_csv(), encoding="utf-8")
    if trainer.is_out_of_patience:
        return folder / "best.safetensors"
    records = Records(folder, trainer.step, is_silent=not is_first)
    every = recipe.validate_every or trainer.steps_an_epoch
    saved = time.monotonic()
    try:
        for pictures in records.timed(trainer.batches(num_workers)):
            began = time.monotonic()
            loss = trainer.train_step(pictures)
            rate = trainer.optimizer.param_groups[0]["lr"]
            records.learned(trainer.step, loss, rate, len(pictures), time.monotonic() - began)
            if progress:
                progress(trainer.step, trainer.num_steps, loss)
            if trainer.step % every == 0 or trainer.step == trainer.num_steps:
                score = trainer.keep_if_best()
                trainer.save()
                saved = time.monotonic()
                records.judged(trainer.step, score)
                if is_first:
                    path = folder / "samples" / f"step-{trainer.step:07}.png"
                    save_samples(trainer.predictor(), split.validation, path)
            elif trainer.ranks.num == 1 and time.monotonic() - saved > _SAVE_SECONDS:
                trainer.save()
                saved = time.monotonic()
            if trainer.is_out_of_patience:
                log.info("no better weights for %d validations: it ends here", recipe.patience)
                break
    finally:
        records.close()
    if trainer.unreadable:
        log.warning("%d pictures could not be read", len(trainer.unreadable))
    return folder / "best.safetensors"
