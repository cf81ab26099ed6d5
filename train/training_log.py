"""The logs of a training run: scores, curves, sample pictures and TensorBoard."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from filmcolor.color.spaces import lightness_from_luma, rgb_from_lab
from filmcolor.errors import InputError, OutputError
from filmcolor.files import atomic_write
from filmcolor.train.data.dataset import read_resized
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.train.validation import Score, SupportsPredict, predict_full_size
from filmcolor.types.frames import FloatPlane, Picture
from filmcolor.video.proxy import STRIDE

log = logging.getLogger(__name__)
_NUM_SAMPLES = 8
_SAMPLE_SIDE = 160  # pixels, short side


class TrainingLog:
    """Writes `scores.jsonl`, `curves.png` and, if it is installed, TensorBoard's logs.

    `step`: the step of the checkpoint that is resumed. `is_silent`: write nothing, for all
    processes but the first.
    """

    def __init__(self, folder: Path, step: int = 0, is_silent: bool = False) -> None:
        self.folder, self.is_silent = folder, is_silent
        # since the last validation; times in seconds
        self._losses: list[float] = []
        self._num_pictures, self._wait_seconds, self._train_seconds = 0, 0.0, 0.0
        self._tensorboard: Any = None
        if not is_silent:
            drop_later_scores(folder / "scores.jsonl", step)
            self._tensorboard = _open_tensorboard(folder, step)

    def time_batches(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield batches, and measure the time that passes waiting for them."""
        requested = time.monotonic()
        for batch in batches:
            self._wait_seconds += time.monotonic() - requested
            yield batch
            requested = time.monotonic()

    def add_step(self, step: int, loss: float, rate: float, num: int, seconds: float) -> None:
        """Record one step on `num` pictures, and the time it took without waiting for them."""
        self._losses.append(loss)
        self._num_pictures += num
        self._train_seconds += seconds
        if self._tensorboard is not None:
            self._tensorboard.add_scalar("loss", loss, step)
            self._tensorboard.add_scalar("learning rate", rate, step)

    def add_validation(self, step: int, score: Score) -> None:
        """Write the score of a validation, and draw the curves again.

        Raises OutputError when they cannot be written.
        """
        seconds = max(self._wait_seconds + self._train_seconds, 1e-9)
        entry = {
            "step": step,
            "training_loss": float(np.mean(self._losses)),
            **asdict(score),
            "pictures_per_second": self._num_pictures / seconds,
            "busy": self._train_seconds / seconds,  # share of the time not spent waiting for data
        }
        self._losses = []
        self._num_pictures, self._wait_seconds, self._train_seconds = 0, 0.0, 0.0
        if self.is_silent:
            return
        path = self.folder / "scores.jsonl"
        try:
            with path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror}); make room, and the same command "
                "goes on"
            ) from error
        if self._tensorboard is not None:
            for name in ("loss", "ab_rmse", "mean_chroma"):
                self._tensorboard.add_scalar(f"validation/{name}", getattr(score, name), step)
            self._tensorboard.add_scalar("busy", entry["busy"], step)
        draw_curves(self.folder)
        log.info(
            "step %d: ab RMSE %.2f, %.1f %% under grey, chroma %.0f %%; "
            "%.1f pictures/s, %.0f %% busy",
            step,
            score.ab_rmse,
            score.percent_under_grey,
            100.0 * score.mean_chroma / max(score.true_mean_chroma, 1e-9),
            entry["pictures_per_second"],
            100.0 * entry["busy"],
        )

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def drop_later_scores(scores: Path, step: int) -> None:
    """Remove from `scores.jsonl` what a killed run wrote after its last checkpoint at `step`."""
    if not scores.exists():
        return
    kept = []
    for line in scores.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # incomplete when the run was killed
            continue
        if entry.get("step", 0) <= step:
            kept.append(line + "\n")
    with atomic_write(scores) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def _open_tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard logs: pip install 'filmcolor[train]' for them")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)


def draw_curves(folder: Path) -> None:
    """Draw `curves.png` from `scores.jsonl`: losses, ab RMSE and grey's, chroma and the truth's."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        log.info("no curves.png: pip install 'filmcolor[train]' for it")
        return
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    scores = [json.loads(line) for line in lines]
    steps = [s["step"] for s in scores]
    figure = Figure(figsize=(12, 4), layout="constrained")
    curves = {
        "loss": ("training_loss", "loss"),
        "ab RMSE, CIELAB units": ("ab_rmse", "grey_ab_rmse"),
        "mean chroma, CIELAB units": ("mean_chroma", "true_mean_chroma"),
    }
    for axes, (title, names) in zip(figure.subplots(1, len(curves)), curves.items()):
        for name in names:
            axes.plot(steps, [s[name] for s in scores], label=name.replace("_", " "))
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend()
    with atomic_write(folder / "curves.png") as partial:
        FigureCanvasAgg(figure).print_png(str(partial))


def save_samples(net: SupportsPredict, paths: Sequence[Path], target: Path) -> None:
    """Write a PNG of some validation pictures, each in grey, as predicted and as it is.

    Raises OutputError when it cannot be written.
    """
    rows = []
    for path in list(paths)[:: max(1, len(paths) // _NUM_SAMPLES)][:_NUM_SAMPLES]:
        try:
            picture = read_resized(path, _SAMPLE_SIDE, STRIDE)[None]
        except InputError:
            continue
        luma = luma_and_ab(picture)[0][0, 0].numpy()
        predicted = _rgb(luma, predict_full_size(net, luma))
        grey = _rgb(luma, np.zeros((*luma.shape, 2), np.float32))
        rows.append(np.hstack([grey, predicted, picture[0].permute(1, 2, 0).numpy()]))
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows])
    with atomic_write(target) as partial:
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(partial, format="PNG")


def _rgb(luma: FloatPlane, ab: FloatPlane) -> Picture:
    """Return 8-bit R'G'B' (H, W, 3) of luma (H, W) in 0..1 and ab (H, W, 2)."""
    rgb = np.dstack(rgb_from_lab(lightness_from_luma(luma), ab[..., 0], ab[..., 1]))
    return np.rint(rgb.clip(0.0, 1.0) * 255.0).astype(np.uint8)
