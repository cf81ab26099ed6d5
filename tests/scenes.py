"""Small moving pictures without a film, for the stages between decoding and encoding."""

import cv2
import numpy as np

from filmcolor.types.frames import LumaFrame
from filmcolor.video.proxy import proxy_frame

HEIGHT, WIDTH = 96, 128  # of proxies; ab has half of it


def texture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return luma (height, width) in 0.2..0.8 with large and small shapes."""
    rng = np.random.default_rng(seed)
    picture = sum(
        cv2.resize(rng.random(cells), (width, height), interpolation=cv2.INTER_CUBIC) * weight
        for cells, weight in (((5, 6), 0.6), ((14, 18), 0.4))
    )
    low, high = picture.min(), picture.max()
    return (0.2 + 0.6 * (picture - low) / (high - low)).astype(np.float32)


def pan(num: int, step: float, seed: int = 0) -> list[np.ndarray]:
    """Return pictures of one wide scene that moves `step` pixels to the left per frame."""
    wide = texture(seed, HEIGHT, WIDTH + int(abs(step) * num) + 1)
    pictures = []
    for n in range(num):
        shift = np.float32([[1, 0, -step * n], [0, 1, 0]])
        pictures.append(cv2.warpAffine(wide, shift, (WIDTH, HEIGHT)))
    return pictures


def gray(picture: np.ndarray) -> np.ndarray:
    """Return luma in 0..1 as 8 bits, from black 0 to white 255."""
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def proxy_frames(pictures: list[np.ndarray], first: int = 0, cuts: tuple[int, ...] = ()):
    """Return pictures as frames numbered from `first`; `cuts`: numbers of shots' first frames."""
    luma = np.zeros((2, 2), np.uint8)
    return [
        proxy_frame(LumaFrame(n, luma, n, 1), gray(picture), n in cuts)
        for n, picture in enumerate(pictures, first)
    ]
