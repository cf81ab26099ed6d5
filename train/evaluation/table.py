"""What a comparison comes to: keys, rows and the sheet."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from filmcolor.metrics.comparison import Tally

GREY, TRUTH = "grey", "truth"  # the rows beside those of the weights


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
