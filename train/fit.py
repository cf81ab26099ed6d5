"""The training loop: steps, validations, checkpoints and logs."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from filmcolor.errors import OutputError
from filmcolor.files import atomic_write
from filmcolor.train.data.dataset import Split, split_stills
from filmcolor.train.recipe import Recipe
from filmcolor.train.trainer import BEST, Trainer
from filmcolor.train.training_log import TrainingLog, save_samples

log = logging.getLogger(__name__)
_SAVE_SECONDS = 60.0  # between checkpoints

Progress = Callable[[int, int, float], None]  # step, num_steps, loss


def fit(
    stills: Path,
    folder: Path,
    recipe: Recipe,
    *,
    validation: Path | None = None,
    initial_weights: str | Path | None = None,
    device: str = "auto",
    num_workers: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Train on a folder of stills and return the path of the best weights.

    `initial_weights`: a shipped name or a file; see `filmcolor.train.initialization`.
    After an interruption the same call resumes from the last checkpoint in `folder` and ends with
    the same weights, bit for bit on one CPU. `progress(step, num_steps, loss)` is called after
    every step. Raises InputError for a folder without usable pictures, SettingsError when the
    checkpoint has another recipe or other data, OutputError when a file cannot be written.
    """
    split = split_stills(stills, validation, recipe.seed)
    trainer = Trainer(recipe, folder, split, initial_weights, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    if trainer.resume():
        log.info("going on from step %d", trainer.step)
    if trainer.processes.rank == 0:
        with atomic_write(folder / "split.csv") as partial:
            partial.write_text(split.to_csv(), encoding="utf-8")
    if not trainer.is_out_of_patience:
        _train(trainer, split, num_workers, progress)
    return folder / BEST


def _train(trainer: Trainer, split: Split, num_workers: int, progress: Progress | None) -> None:
    is_first = trainer.processes.rank == 0
    training_log = TrainingLog(trainer.folder, trainer.step, is_silent=not is_first)
    validate_every = trainer.recipe.validate_every or trainer.steps_per_epoch
    saved = time.monotonic()
    try:
        for pictures in training_log.time_batches(trainer.batches(num_workers)):
            started = time.monotonic()
            loss = trainer.train_step(pictures)
            seconds = time.monotonic() - started
            rate = trainer.optimizer.param_groups[0]["lr"]
            training_log.add_step(trainer.step, loss, rate, len(pictures), seconds)
            if progress:
                progress(trainer.step, trainer.num_steps, loss)
            if trainer.step % validate_every == 0 or trainer.step == trainer.num_steps:
                score = trainer.validate()
                trainer.save()
                saved = time.monotonic()
                training_log.add_validation(trainer.step, score)
                if is_first:
                    path = trainer.folder / "samples" / f"step-{trainer.step:07}.png"
                    save_samples(trainer.predictor(), split.validation, path)
            elif trainer.processes.size == 1 and time.monotonic() - saved > _SAVE_SECONDS:
                trainer.save()
                saved = time.monotonic()
            if trainer.is_out_of_patience:
                log.info(
                    "no better weights for %d validations: training stops",
                    trainer.recipe.patience,
                )
                break
    finally:
        training_log.close()
    if trainer.unreadable:
        log.warning("%d pictures could not be read", len(trainer.unreadable))
