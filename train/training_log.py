"""What a training run tells of itself: scores, curves, sample pictures, TensorBoard."""

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
from filmcolor.train.data.dataset import whole_picture
from filmcolor.train.data.film_stock import luma_and_ab
from filmcolor.train.validation import Predicts, Score, predict_whole
from filmcolor.types.frames import FloatPlane, Picture
from filmcolor.video.proxy import STRIDE

log = logging.getLogger(__name__)
_NUM_SAMPLES = 8
_SAMPLE_SIDE = 160  # pixels, short side


class Records:
    """Writes `scores.jsonl`, `curves.png` and, where it is installed, TensorBoard's logs.

    `is_silent`: nothing is written, for all processes but the first.
    """

    def __init__(self, folder: Path, step: int = 0, is_silent: bool = False) -> None:
        self.folder, self.is_silent = folder, is_silent
        self._losses: list[float] = []  # since the last validation, as is what follows
        self._num_pictures, self._waited, self._learned = 0, 0.0, 0.0  # seconds
        self._board: Any = None
        if not is_silent:
            forget_later(folder / "scores.jsonl", step)
            self._board = _board(folder, step)

    def timed(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield batches, and note how long was waited for them, and what was made of them."""
        asked = time.monotonic()
        for batch in batches:
            came = time.monotonic()
            self._waited += came - asked
            yield batch
            asked = time.monotonic()

    def learned(self, step: int, loss: float, rate: float, num: int, seconds: float) -> None:
        """Note one step on `num` pictures, which took that long once they were there."""
        self._losses.append(loss)
        self._num_pictures += num
        self._learned += seconds
        if self._board is not None:
            self._board.add_scalar("loss", loss, step)
            self._board.add_scalar("learning rate", rate, step)

    def judged(self, step: int, score: Score) -> None:
        """Write one validation, and draw the curves anew."""
        seconds = max(self._waited + self._learned, 1e-9)
        facts = {
            "step": step,
            "training_loss": float(np.mean(self._losses)),
            **asdict(score),
            "pictures_per_second": self._num_pictures / seconds,
            "busy": self._learned / seconds,  # share of the time not spent on waiting for data
        }
        self._losses = []
        self._num_pictures, self._waited, self._learned = 0, 0.0, 0.0
        if self.is_silent:
            return
        path = self.folder / "scores.jsonl"
        try:
            with path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(facts) + "\n")
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror}); make room, and the same command "
                "goes on"
            ) from error
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

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def forget_later(scores: Path, step: int) -> None:
    """Take out of `scores.jsonl` what a killed run wrote after its last checkpoint at `step`."""
    if not scores.exists():
        return
    kept = []
    for line in scores.read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # torn by the kill
            continue
        if told.get("step", 0) <= step:
            kept.append(line + "\n")
    with atomic_write(scores) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard logs: pip install 'filmcolor[train]' for them")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)


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
    with atomic_write(folder / "curves.png") as partial:
        FigureCanvasAgg(figure).print_png(str(partial))


def save_samples(net: Predicts, paths: Sequence[Path], target: Path) -> None:
    """Write one PNG of some validation pictures: grey, the network's, the truth."""
    rows = []
    for path in list(paths)[:: max(1, len(paths) // _NUM_SAMPLES)][:_NUM_SAMPLES]:
        try:
            picture = whole_picture(path, _SAMPLE_SIDE, STRIDE)[None]
        except InputError:
            continue
        luma = luma_and_ab(picture)[0][0, 0].numpy()
        guess = _rgb(luma, predict_whole(net, luma))
        grey = _rgb(luma, np.zeros((*luma.shape, 2), np.float32))
        rows.append(np.hstack([grey, guess, picture[0].permute(1, 2, 0).numpy()]))
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows])
    with atomic_write(target) as partial:
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(partial, format="PNG")


def _rgb(luma: FloatPlane, ab: FloatPlane) -> Picture:
    """Return R'G'B' (H, W, 3) of luma (H, W) in 0..1 and ab (H, W, 2)."""
    rgb = np.dstack(rgb_from_lab(lightness_from_luma(luma), ab[..., 0], ab[..., 1]))
    return np.rint(rgb.clip(0.0, 1.0) * 255.0).astype(np.uint8)
