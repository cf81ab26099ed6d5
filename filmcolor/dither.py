"""Fixed ordered dithering: chroma of 8 bits without bands, and without flicker.

The pattern is one small tile of blue noise, anchored to the picture's corner and the same
in every frame: what an encoder has coded once it need not code again. In texture no bands
are seen, and dots would only be noise that things move under: there codes are rounded.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.frames import FloatPlane

TILE = 64  # pixels: side of the pattern
_SPREAD = 1.5  # pixels: how far a dot keeps others off (Ulichney 1993 found 1.5 best)
_SEED = 7
_AMPLITUDE = 0.96  # codes: a little under 1, so that rounding errors about neutral stay neutral


def dither(
    values: Sequence[FloatPlane],
    scale: float,
    offset: float,
    strength: FloatPlane,
    codes: NDArray[np.uint8],
    first_row: int = 0,
) -> None:
    """Write Cb and Cr (H, W) * scale + offset to `codes` (2, H, W), the rest spread.

    `values` are spent. Never further than one code from the exact value, which must not be
    below 0; a whole number stays as it is, so neutral is neutral. `strength` (H, W): 0 to 1;
    where it is 0, codes are rounded. `first_row`: where in the picture the first one is.
    """
    height, width = strength.shape
    for start in range(-(first_row % TILE), height, TILE):
        rows = slice(max(start, 0), min(start + TILE, height))
        here = slice(rows.start - start, rows.stop - start)
        for plane, noise, coded in zip(values, _strips(width, scale), codes):
            cv2.accumulateProduct(noise[here], strength[rows], plane[rows])
            cv2.convertScaleAbs(plane[rows], dst=coded[rows], alpha=scale, beta=offset)


@lru_cache(maxsize=8)
def _strips(width: int, scale: float) -> tuple[FloatPlane, FloatPlane]:
    """Return the patterns (TILE, width) of Cb and of Cr, on the scale of their values."""
    turns = -(-width // TILE)
    tiles = pattern() / np.float32(scale)
    first, second = (np.tile(tile, (1, turns))[:, :width] for tile in tiles)
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


@lru_cache(maxsize=1)
def pattern() -> FloatPlane:
    """Return the tiles (2, TILE, TILE) of Cb and of Cr in codes, which are not dotted alike."""
    return np.stack([blue_noise(), np.rot90(blue_noise())])


@lru_cache(maxsize=1)
def blue_noise() -> FloatPlane:
    """Return thresholds (TILE, TILE) about 0, as many of each size, no two alike near by.

    Void and cluster (Ulichney, "The void-and-cluster method for dither array generation",
    1993). Adding it before rounding keeps every mean over a patch.
    """
    size = TILE * TILE
    steps = np.arange(TILE)
    ring = np.minimum(steps, TILE - steps) ** 2
    bump = np.exp(-(ring[:, None] + ring[None, :]) / (2.0 * _SPREAD**2))
    twice = np.tile(bump, (2, 2))

    def around(place: int) -> np.ndarray:
        y, x = TILE - place // TILE, TILE - place % TILE
        return twice[y : y + TILE, x : x + TILE]

    num_first = size // 10
    is_dot = np.zeros(size, bool)
    is_dot[np.random.default_rng(_SEED).permutation(size)[:num_first]] = True
    field = np.zeros((TILE, TILE))
    for place in np.flatnonzero(is_dot):
        field += around(int(place))
    flat = field.reshape(-1)

    def tightest() -> int:
        return int(np.argmax(np.where(is_dot, flat, -np.inf)))

    def emptiest() -> int:
        return int(np.argmin(np.where(is_dot, np.inf, flat)))

    while True:  # move dots from clusters into voids until none gains
        cluster = tightest()
        is_dot[cluster] = False
        field -= around(cluster)
        void = emptiest()
        is_dot[void] = True
        field += around(void)
        if void == cluster:
            break
    ranks = np.zeros(size)
    first, first_field = is_dot.copy(), field.copy()
    for rank in range(num_first - 1, -1, -1):
        cluster = tightest()
        is_dot[cluster] = False
        field -= around(cluster)
        ranks[cluster] = rank
    is_dot[:], field[:] = first, first_field
    for rank in range(num_first, size):
        void = emptiest()
        is_dot[void] = True
        field += around(void)
        ranks[void] = rank
    thresholds: FloatPlane = (_AMPLITUDE * ((ranks + 0.5) / size - 0.5)).astype(np.float32)
    return thresholds.reshape(TILE, TILE)
