"""The rows of an evaluation's table."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from filmcolor.metrics.comparison import MetricAccumulator

GREY, TRUTH = "grey", "truth"  # the rows beside those of the weights


class RowKey(NamedTuple):
    """Identifies a row: the name of weights, or GREY or TRUTH, and how they were used."""

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
    """One row of figures; None where a figure is not defined, or has no data."""

    name: str  # of the weights as the caller gave it, or GREY or TRUTH
    size: int | None  # short side that the network sees, pixels
    saturation: float | None
    ab_rmse: float | None  # CIELAB units
    percent_under_grey: float | None  # how far ab RMSE lies below that of grey
    mean_chroma: float | None  # CIELAB units
    chroma_percent: float | None  # of the truth's
    colorfulness: float | None
    psnr: float | None  # dB
    cdc: float | None  # for films only, like the following
    warp_error: float | None  # CIELAB units
    long_warp_error: float | None  # CIELAB units, between frames 24 apart


Accumulators = dict[RowKey, MetricAccumulator]


def make_rows(accumulators: Accumulators) -> list[Row]:
    """Return the figures of what was added; the first must be grey's, the last the truth's."""
    grey, *_, truth = accumulators.values()
    return [_make_row(key, metrics, grey, truth) for key, metrics in accumulators.items()]


def _make_row(
    key: RowKey, metrics: MetricAccumulator, grey: MetricAccumulator, truth: MetricAccumulator
) -> Row:
    rmse, grey_rmse = (math.sqrt(m.error.value or 0.0) for m in (metrics, grey))
    chroma, true_chroma = metrics.chroma.value, truth.chroma.value
    return Row(
        *key,
        ab_rmse=None if metrics is truth else rmse,
        percent_under_grey=100.0 * (1.0 - rmse / grey_rmse) if key.is_network else None,
        mean_chroma=chroma,
        chroma_percent=100.0 * ((chroma or 0.0) / true_chroma) if true_chroma else None,
        colorfulness=metrics.colorfulness.value,
        psnr=metrics.psnr.value,
        cdc=metrics.cdc.value,
        warp_error=metrics.warp.value,
        long_warp_error=metrics.warp.long_value,
    )
