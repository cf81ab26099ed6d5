"""Contact sheets of an evaluation."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from filmcolor.errors import SettingsError
from filmcolor.images.sheet import lay_out_rows, save_sheet
from filmcolor.metrics.comparison import Shown
from filmcolor.train.evaluation.table import GREY, TRUTH, Key

_THUMB_SIDE = 192  # pixels, the longer side on a contact sheet


# ---------------------------------------------------------------- the sheet


@dataclass(frozen=True, slots=True)
class SheetWish:
    """A contact sheet: where it goes, and how many pictures are spread over the data."""

    path: Path
    num_pictures: int = 8
    force: bool = False

    def __post_init__(self) -> None:
        if self.num_pictures < 1:
            raise SettingsError(f"a sheet of {self.num_pictures} pictures: ask for 1 or more")


class Columns:
    """Some pictures spread over the data, as each row shows them; nothing without a wish."""

    def __init__(self, wish: SheetWish | None, num_all: int) -> None:
        self._wish = wish
        self._numbers = spread(num_all, wish.num_pictures) if wish else []
        self._captions: list[str] = []
        self._thumbs: dict[Key, list[Image.Image]] = {}
        self._spare: tuple[str, Mapping[Key, Shown], int] | None = None

    def offer(self, number: int, caption: str, views: Mapping[Key, Shown], turns: int = 0) -> None:
        """Take in picture `number` as all rows show it, if it is due.

        It is when it was chosen, and when one that was chosen before it was left out.
        `turns`: quarter turns that set it upright.
        """
        self._spare = caption, views, turns
        if bisect_right(self._numbers, number) > len(self._captions):
            self._take(*self._spare)

    def _take(self, caption: str, views: Mapping[Key, Shown], turns: int) -> None:
        self._captions.append(caption)
        for key, view in views.items():
            thumb = Image.fromarray(np.rot90(view.rgb, turns))
            thumb.thumbnail((_THUMB_SIDE, _THUMB_SIDE))
            self._thumbs.setdefault(key, []).append(thumb)

    def save(self) -> None:
        """Write the sheet: grey, the weights, the truth."""
        if self._wish is None or self._spare is None:
            return
        if not self._captions:  # all that were chosen were left out
            self._take(*self._spare)
        grey, *_, truth = self._thumbs
        rows = [(str(key), row) for key, row in self._thumbs.items() if key.is_network]
        rows = [(GREY, self._thumbs[grey]), *rows, (TRUTH, self._thumbs[truth])]
        save_sheet(lay_out_rows(rows, self._captions), self._wish.path)


def spread(num_all: int, num: int) -> list[int]:
    """Return at most `num` numbers, in the middle of as many equal shares of 0 to num_all."""
    num = min(num, num_all)
    return [num_all * (2 * i + 1) // (2 * num) for i in range(num)]
