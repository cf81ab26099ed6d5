"""What a comparison comes to: keys, rows and the sheet."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from filmcolor.errors import SettingsError
from filmcolor.sheets import lay_out_rows, save_sheet
from filmcolor.views import Shown, Tally

GREY, TRUTH = "grey", "truth"  # the rows beside those of the weights

_THUMB_SIDE = 192  # pixels, the longer side on a contact sheet


class Key(NamedTuple):
    """Which row."""

    name: str
    size: int | None = None
    saturation: float | None = None

    @property
    def is_network(self) -> bool:
        """False for grey and for the truth."""
        return self.saturation is not None

    def __str__(self) -> str:
        return f"{self.name}, {self.size} px, saturation {self.saturation:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of figures; None where a figure has no meaning, or nothing to be taken from."""

    name: str  # the weights as they were named, or GREY or TRUTH
    size: int | None  # short side that the network saw, pixels
    saturation: float | None
    ab_rmse: float | None  # Lab units
    percent_under_grey: float | None  # how far ab RMSE lies under grey's
    mean_chroma: float | None  # Lab units
    chroma_percent: float | None  # of the truth's
    colorfulness: float | None
    psnr: float | None  # dB
    cdc: float | None  # of films only, like the next
    warp_error: float | None  # Lab units
    long_warp_error: float | None  # Lab units, of frames 24 apart


Tallies = dict[Key, Tally]


def rows_of(tallies: Tallies) -> list[Row]:
    """Return the figures of what was added, grey first and the truth last."""
    grey, *_, truth = tallies.values()
    return [_row(key, tally, grey, truth) for key, tally in tallies.items()]


def _row(key: Key, tally: Tally, grey: Tally, truth: Tally) -> Row:
    rmse, grey_rmse = (math.sqrt(t.error.value or 0.0) for t in (tally, grey))
    chroma, true_chroma = tally.chroma.value, truth.chroma.value
    return Row(
        *key,
        ab_rmse=None if tally is truth else rmse,
        percent_under_grey=100.0 * (1.0 - rmse / grey_rmse) if key.is_network else None,
        mean_chroma=chroma,
        chroma_percent=100.0 * ((chroma or 0.0) / true_chroma) if true_chroma else None,
        colorfulness=tally.colorfulness.value,
        psnr=tally.psnr.value,
        cdc=tally.cdc.value,
        warp_error=tally.warp.value,
        long_warp_error=tally.warp.long_value,
    )


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
