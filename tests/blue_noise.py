"""The void-and-cluster pattern of `filmcolor.color.dither`; run it to write its table again.

Ulichney, "The void-and-cluster method for dither array generation", 1993.
"""

from pathlib import Path

import numpy as np

TABLE = Path(__file__).parent.parent / "filmcolor" / "color" / "blue_noise.npy"
SIDE = 64  # pixels
_SPREAD = 1.5  # pixels: how far a dot repels others (Ulichney found 1.5 best)
_SEED = 7


def blue_noise() -> np.ndarray:
    """Return ranks 0 to 4095, uint16 (64, 64): dots of similar rank are never near each other."""
    size = SIDE * SIDE
    steps = np.arange(SIDE)
    ring = np.minimum(steps, SIDE - steps) ** 2
    bump = np.exp(-(ring[:, None] + ring[None, :]) / (2.0 * _SPREAD**2))
    twice = np.tile(bump, (2, 2))

    def around(index: int) -> np.ndarray:
        y, x = SIDE - index // SIDE, SIDE - index % SIDE
        return twice[y : y + SIDE, x : x + SIDE]

    num_first = size // 10
    is_dot = np.zeros(size, bool)
    is_dot[np.random.default_rng(_SEED).permutation(size)[:num_first]] = True
    field = np.zeros((SIDE, SIDE))
    for index in np.flatnonzero(is_dot):
        field += around(int(index))
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
    ranks = np.zeros(size, np.uint16)
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
    return ranks.reshape(SIDE, SIDE)


if __name__ == "__main__":
    np.save(TABLE, blue_noise())
