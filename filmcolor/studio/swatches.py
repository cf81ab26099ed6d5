"""Colours to paint with: those of a frame, and those of skin, sky and foliage."""

import cv2
import numpy as np

from filmcolor.types.frames import Picture

_NUM_COLORS = 8
_WIDTH = 96  # pixels of the picture whose colours are grouped
_MIN_CHROMA = 6.0  # CIELAB: fainter groups are grey
_SEED = 7
# Memory colours, sRGB. Skin from light to dark, as measured in Xiao et al. 2017; sky and foliage
# after the ColorChecker's patches "blue sky" and "foliage", lighter and darker.
FIXED = {
    "skin": ["#e8c4ac", "#d8a888", "#b98563", "#8d5a3c", "#5c3a28"],
    "sky": ["#bcd3e6", "#8fb2d4", "#5f8dbb", "#42668f"],
    "foliage": ["#a5b56b", "#7b8f48", "#576c43", "#3d4f2f"],
}


def colors_of(picture: Picture) -> list[str]:
    """Return the main colours of R'G'B' (H, W, 3) as "#rrggbb", the most frequent first.

    Colours that are nearly grey are left out.
    """
    height, width = picture.shape[:2]
    size = _WIDTH, max(1, round(_WIDTH * height / width))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB)
    samples = lab.reshape(-1, 3)
    samples = samples[np.hypot(samples[:, 1], samples[:, 2]) >= _MIN_CHROMA]
    if not len(samples):
        return []
    num = min(_NUM_COLORS, len(samples))
    cv2.setRNGSeed(_SEED)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, labels, centers = cv2.kmeans(
        np.ascontiguousarray(samples),
        num,
        np.zeros((len(samples), 1), np.int32),
        criteria,
        1,
        cv2.KMEANS_PP_CENTERS,
    )
    order = np.argsort(-np.bincount(labels.ravel(), minlength=num), kind="stable")
    rgb = cv2.cvtColor(centers[order][None].astype(np.float32), cv2.COLOR_LAB2RGB)[0]
    codes = np.rint(rgb.clip(0.0, 1.0) * 255.0).astype(int)
    return list(dict.fromkeys(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in codes))
