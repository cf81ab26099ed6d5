"""What an evaluation compares, and its result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import SettingsError
from filmcolor.guidance.anchor_settings import AUTO, check_anchors
from filmcolor.guidance.cast import CASTS, KEEP
from filmcolor.guidance.grading import SATURATION, Grade
from filmcolor.network.predictor import BATCH_SIZE, check_batch_shape
from filmcolor.network.surfaces import SURFACES
from filmcolor.train.evaluation.table import Row
from filmcolor.video.proxy import DEFAULT_SIZE

Progress = Callable[[int, int | None], None]  # pictures or frames done, total if known


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """The weights, sizes and saturations to compare, in all combinations.

    Names with the suffix of ONNX are models; `anchors`: how often they run in a film.
    `surfaces` and `cast`: as in `ColorOptions`. `is_flip_averaged`: average the predictions for
    each picture and its mirror image. `is_old_stock`: the network sees the luma as old film stock
    would have recorded it, and its colours are compared with the clean picture. Both are for
    pictures only. Raises SettingsError for values that have no meaning.
    """

    weights: tuple[str, ...]
    sizes: tuple[int, ...] = (DEFAULT_SIZE,)  # short sides, pixels
    saturations: tuple[float, ...] = (SATURATION,)
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    surfaces: float = SURFACES
    cast: str = KEEP
    is_flip_averaged: bool = False
    is_old_stock: bool = False
    anchors: str = AUTO

    def __post_init__(self) -> None:
        for name in ("weights", "sizes", "saturations"):
            values = getattr(self, name)
            if not values:
                raise SettingsError(f"{name}: name at least one")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        if not 0.0 <= self.surfaces <= 1.0:
            raise SettingsError(f"surfaces {self.surfaces} must be 0 to 1")
        if self.cast not in CASTS:
            raise SettingsError(f"cast {self.cast!r} must be {' or '.join(CASTS)}")
        check_anchors(self.anchors)
        for size in self.sizes:
            check_batch_shape(size, self.batch_size)
        for saturation in self.saturations:
            Grade(saturation)  # checks the range


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: for each size rows from grey to the truth."""

    data: Path
    is_film: bool
    num_pictures: int  # or frames, that were compared
    rows: list[Row]
    unreadable: tuple[str, ...] = ()  # names of pictures that were left out
    colorless: tuple[str, ...] = ()  # names of pictures that were left out
