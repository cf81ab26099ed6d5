"""Colour pictures for the training tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def colorful(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a picture: blue above, green below, and a warm disc in the middle, with noise."""
    width, height = size
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.0, 1.0, height)[:, None, None]
    sky, grass, skin = np.array([90, 140, 220]), np.array([60, 120, 40]), np.array([220, 160, 120])
    picture = sky * (1 - rows) + grass * rows + np.zeros((height, width, 3))
    y, x = np.mgrid[:height, :width]
    picture[np.hypot(y - height / 2, x - width / 2) < height / 4] = skin
    return Image.fromarray((picture + rng.normal(0, 8, picture.shape)).clip(0, 255).astype("uint8"))


def save_stills(folder: Path, num: int) -> Path:
    """Write `num` pictures as 0.png, 1.png, …; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(num):
        colorful(seed).save(folder / f"{seed}.png")
    return folder
