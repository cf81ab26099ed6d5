"""What each frame needs most, by compiled loops (`kernels/`), where a compiler made them.

`upsample`, `chroma`, `flow` and `smooth` ask `is_built`, and do without by NumPy and OpenCV, as
`inference` does by PyTorch: the same results but for rounding, in two to ten times the time. All
raise ValueError of arrays whose sizes do not go together. Luma is 0 to 255, Cb and Cr -0.5 to 0.5,
ab CIELAB units, courses pixels.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_kernels: Any = None
with suppress(ImportError):  # no compiler where this was installed
    _kernels = import_module("filmcolor._kernels")

Floats = NDArray[np.float32]
NUM_LOW = 7  # planes of `two_colors`


class Way(NamedTuple):
    """Along what something is fetched: it counts as (weight + least) * factor."""

    values: Floats  # (H, W, 4)
    course: Floats  # (h, w, 4)
    weight: Floats  # (h, w)
    least: float = 0.0
    factor: float = 1.0


def is_built() -> bool:
    """Tell whether the compiled loops are there."""
    return _kernels is not None


def two_colors(guide: NDArray[np.uint8], low: Any, taste: tuple[float, ...]) -> Floats:
    """Return planes (7, h, w): middle, gain, centers and differences of (Cb, Cr), flatness.

    `guide`: (h, w); `low`: Cb and Cr, (h, w) each; `taste`: the figures of `upsample`.
    """
    planes = np.empty((NUM_LOW, *guide.shape), np.float32)
    cb, cr = map(np.ascontiguousarray, low)
    _kernels.two_colors(np.ascontiguousarray(guide), cb, cr, planes, guide.shape, taste)
    return planes


def look_up_chroma(
    codes: NDArray[np.uint8], ab: Floats, table: NDArray[np.int16], step: float, scale: float
) -> tuple[Floats, Floats]:
    """Return Cb and Cr (h, w) of luma codes (h, w) and ab (h, w, 2), linearly between a table's.

    `table`: (256, N, N, 2) by luma, b and a, Cb and Cr in units of `scale`; `step`: ab from one
    colour to the next, of which the middle one is neutral.
    """
    cb, cr = (np.empty(codes.shape, np.float32) for _ in range(2))
    codes, ab = np.ascontiguousarray(codes), np.ascontiguousarray(ab)
    sizes = codes.size, table.shape[1]
    _kernels.look_up_chroma(codes, ab, table, cb, cr, *sizes, 1.0 / step, scale)
    return cb, cr


def choose_colors(
    luma: NDArray[Any],
    guide: Floats,
    planes: Floats,
    noise: Floats,
    codes: tuple[float, ...],
) -> NDArray[Any]:
    """Return coded Cb and Cr (2, H, W), of the dtype of luma.

    `luma`: code values where the chroma samples are (H, W); `guide`: the same without grain;
    `planes`: those of `two_colors`; `noise`: (2, 64, 64), codes; `codes`: scale and offset of
    luma and of chroma, Kr, Kb, the highest code, and whether it is dithered.
    """
    coded = np.empty((2, *luma.shape), luma.dtype)
    sizes = luma.shape, planes.shape[1:], luma.itemsize
    luma, guide = np.ascontiguousarray(luma), np.ascontiguousarray(guide)
    _kernels.choose_colors(luma, guide, planes, noise, coded, *sizes, codes)
    return coded


def follow(first: Floats, second: Floats) -> Floats:
    """Return `flow.follow` of two courses (H, W, 4)."""
    out = np.empty_like(first)
    _kernels.follow(first, second, out, first.shape[:2])
    return out


def courses(flow: Floats, num_inversions: int, doubts: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return a flow (H, W, 2) as a course (H, W, 4), and the course back.

    `doubts`: the figures of `flow`.
    """
    size = flow.shape[:2]
    there, back = (np.empty((*size, 4), np.float32) for _ in range(2))
    _kernels.courses(np.ascontiguousarray(flow), there, back, size, num_inversions, doubts)
    return there, back


def weigh(
    source: NDArray[np.uint8],
    course: Floats,
    luma: NDArray[np.uint8],
    per_square: float,
    sparse: int,
) -> Floats:
    """Return how much what a course (H, W, 4) fetches of `source` counts, 0 to 1 (H, W).

    `per_square`: what a squared difference adds to the logarithm, below 0; `sparse`: pixels from
    one that tells the exposure to the next.
    """
    weight = np.empty(luma.shape, np.float32)
    _kernels.weigh(source, course, luma, weight, luma.shape, per_square, sparse)
    return weight


def four_channels(ab: Floats) -> Floats:
    """Return ab (H, W, 2) as values of a way, (H, W, 4)."""
    values = np.zeros((*ab.shape[:2], 4), np.float32)
    values[..., :2] = ab
    return values


def add_fetched(total: Floats, way: Way) -> None:
    """Add to `total` (H, W, 4) what a way fetches, times its weight."""
    _kernels.add_fetched(total, total.shape[:2], way.weight.shape, tuple(way))


def blend_fetched(first: Way, second: Way) -> Floats:
    """Return the weighted mean (H, W, 2) of the first two channels of what two ways fetch."""
    mean = np.empty((*first.values.shape[:2], 2), np.float32)
    sizes = mean.shape[:2], first.weight.shape
    _kernels.blend_fetched(mean, *sizes, tuple(first), tuple(second))
    return mean


def pool(maps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the greatest of 3×3 pixels about every other one, (N, H/2, W/2, C), H and W even.

    `maps`: (N, H, W, C), the bits of bfloat16 values of which none is below 0.
    """
    num, height, width, channels = maps.shape
    greatest = np.empty((num, height // 2, width // 2, channels), np.int16)
    _kernels.pool(maps, greatest, maps.shape)
    return greatest
