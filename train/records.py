"""What a training run tells of itself: scores, curves, sample pictures, TensorBoard."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from filmcolor.color import lightness_from_luma, rgb_from_lab
from filmcolor.errors import InputError
from filmcolor.model import STRIDE, ColorNet, decode_ab
from filmcolor.train.dataset import whole_picture
from filmcolor.train.stock import luma_and_ab
from filmcolor.train.validation import Score

log = logging.getLogger(__name__)
_NUM_SAMPLES = 8
_SAMPLE_SIDE = 160  # pixels, short side


class Records:
    """Writes `scores.jsonl`, `curves.png` and, where it is installed, TensorBoard's logs.

    `is_silent`: nothing is written, for all processes but the first.
    """

    def __init__(self, folder: Path, is_silent: bool = False) -> None:
        self.folder, self.is_silent = folder, is_silent
        self.losses: list[float] = []  # since the last validation, as is what follows
        self.num_pictures = 0
        self.waited, self.started, self.seconds = 0.0, time.monotonic(), 1.0
        self._board: Any = None if is_silent else _board(folder)

    def timed(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield batches, and note how long was waited for them."""
        asked = time.monotonic()
        for batch in batches:
            self.waited += time.monotonic() - asked
            yield batch
            asked = time.monotonic()

    def learned(self, step: int, loss: float, rate: float, num_pictures: int) -> None:
        """Note one step."""
        self.losses.append(loss)
        self.num_pictures += num_pictures
        if self._board is not None:
            self._board.add_scalar("loss", loss, step)
            self._board.add_scalar("learning rate", rate, step)

    def pause(self) -> None:
        """Note that learning stops for a while: validation is not its speed."""
        self.seconds = max(time.monotonic() - self.started, 1e-9)

    def judged(self, step: int, score: Score) -> None:
        """Write one validation, and draw the curves anew."""
        if self.is_silent:
            return
        seconds = self.seconds
        facts = {
            "step": step,
            "training_loss": float(np.mean(self.losses)),
            **asdict(score),
            "pictures_per_second": self.num_pictures / seconds,
            "busy": 1.0 - self.waited / seconds,  # share of the time not spent on waiting for data
        }
        with (self.folder / "scores.jsonl").open("a") as lines:
            lines.write(json.dumps(facts) + "\n")
        if self._board is not None:
            for name in ("loss", "ab_rmse", "mean_chroma"):
                self._board.add_scalar(f"validation/{name}", getattr(score, name), step)
            self._board.add_scalar("busy", facts["busy"], step)
        draw_curves(self.folder)
        log.info(
            "step %d: ab RMSE %.2f, %.1f %% under grey, chroma %.0f %%; "
            "%.1f pictures/s, %.0f %% busy",
            step,
            score.ab_rmse,
            score.percent_under_grey,
            100.0 * score.mean_chroma / max(score.true_mean_chroma, 1e-9),
            facts["pictures_per_second"],
            100.0 * facts["busy"],
        )
        self.losses, self.num_pictures = [], 0
        self.waited, self.started = 0.0, time.monotonic()

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard logs: pip install 'filmcolor[train]' for them")
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def draw_curves(folder: Path) -> None:
    """Draw `curves.png` of `scores.jsonl`: losses, ab RMSE beside grey's, chroma."""
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
    partial = folder / ".curves.partial"
    FigureCanvasAgg(figure).print_png(str(partial))
    partial.replace(folder / "curves.png")


def save_samples(net: ColorNet, paths: Sequence[Path], target: Path) -> None:
    """Write one PNG of some validation pictures: grey, the network's, the truth."""
    net.eval()
    device = next(net.parameters()).device
    columns = []
    for path in list(paths)[:: max(1, len(paths) // _NUM_SAMPLES)][:_NUM_SAMPLES]:
        try:
            picture = whole_picture(path, _SAMPLE_SIDE, STRIDE)[None]
        except InputError:
            continue
        luma, ab = luma_and_ab(picture)
        with torch.inference_mode():
            guess = decode_ab(net(luma.to(device))).cpu()
        columns.append(np.hstack([_picture(luma, colors) for colors in (ab * 0.0, guess, ab)]))
    if not columns:
        return
    width = max(column.shape[1] for column in columns)
    rows = [np.pad(c, ((0, 4), (0, width - c.shape[1]), (0, 0))) for c in columns]
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(target)


def _picture(luma: Tensor, ab: Tensor) -> Any:
    """Return uint8 R'G'B' (H, W, 3) of luma (1, 1, H, W) and ab (1, 2, H, W)."""
    lightness = lightness_from_luma(luma[:, 0])
    rgb = torch.stack(rgb_from_lab(lightness, ab[:, 0], ab[:, 1]), dim=-1)[0]
    return (rgb.clip(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
