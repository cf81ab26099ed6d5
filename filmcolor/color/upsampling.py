"""Guided upsampling: low-res chroma to the chroma plane's size, with its edges where luma's are.

Around each low-res sample the chroma is modelled as a mixture of two colours, one that goes with
darker and one with brighter luma. The moments of luma and chroma in a 5×5 window give the two
colours and the luma that divides them. At full size luma only chooses between them, and the
choice saturates, so grain does not show as colour. As far as luma does not explain the chroma
(r² to the third power), the result is bilinear interpolation. Both colours are clamped to the
range of the window: no halos.

A plain guided filter lets more colour over a weak edge than bilinear upsampling does, and
multiplies grain by its slope; this leaks a fifth to a tenth of it. A wider window (9×9) would also
pull in what the network smears over several samples, but costs 0.7 to 1.8 dB on true ab.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.kernels import ops
from filmcolor.kernels.ops import UpsampleParams
from filmcolor.types.frames import FloatPlane, Gray, Plane
from filmcolor.types.yuv import Subsampling

PARAMS = UpsampleParams(
    luma_epsilon=1.3,  # about (1 code)²: flatter luma tells nothing
    flat=6.5,  # (2.5 codes)²
    chroma_epsilon=1e-6,  # (a quarter of an 8-bit code)²
    gain=1.5,  # of the choice: 1 follows luma linearly, more keeps grain out
    max_skewness=3.0,  # a share of 8 % of the window: less cannot be told from noise
    sharpening=0.5,  # half of what area averaging and bilinear interpolation blur
)
# the chroma sample sits on the left of two columns, whose mean sits between them
_SITING = {1: np.ones(1), 2: np.array([0.25, 0.75])}  # H.273, chroma location 0
AVERAGED = 0.7  # low-res samples over which the guide's grain is averaged
MAX_AVERAGED = 7.0  # chroma samples


def two_colors(low: tuple[FloatPlane, FloatPlane], guide: Gray) -> FloatPlane:
    """Return the low-res planes (7, h, w) that full-size luma chooses colours with.

    In order: `middle`, the luma between the two colours; `gain`, how fast the choice changes with
    luma; `center` (Cb, Cr), half-way between the colours; `difference` (Cb, Cr), bright less dark;
    `flatness`, 1 where luma is even and 0 in texture. The colour is center + choice * difference
    with choice = clip((luma - middle) * gain, -½, ½).
    `low`: Cb and Cr, (h, w) each; `guide`: luma (h, w), 0 to 255.
    """
    return ops.two_colors(guide, low, PARAMS)


def guide_kernels(
    size: tuple[int, ...], low_size: tuple[int, ...], subsampling: Subsampling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the column and row kernels that make a guide of luma at the chroma plane's size.

    They shift it to the chroma samples' sites and average its grain over most of a low-res sample.
    `size`: (H, W) of the plane; `low_size`: (h, w).
    """
    rows, columns = (_box(n / low) for n, low in zip(size, low_size))
    return rows, np.convolve(columns, _SITING[subsampling.x])


def full_size_guide(plane: Plane, low_size: tuple[int, ...], subsampling: Subsampling) -> Any:
    """Return the guide (H, W), float32, of luma at the chroma plane's size, as coded."""
    column, row = guide_kernels(plane.shape, low_size, subsampling)
    anchor = len(row) // 2, len(column) // 2  # kernels of even length lean to the left
    return cv2.sepFilter2D(
        plane, cv2.CV_32F, row, column, anchor=anchor, borderType=cv2.BORDER_REPLICATE
    )


def luma_at_chroma(luma: Plane, subsampling: Subsampling) -> Plane:
    """Return luma code values at the chroma plane's size, each the mean of its pixels."""
    height, width = luma.shape
    size = subsampling.plane_size(width, height)
    if size == (width, height):
        return luma
    pad = (subsampling.y * size[1] - height, subsampling.x * size[0] - width)
    if any(pad):
        luma = cv2.copyMakeBorder(luma, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)


def _box(ratio: float) -> NDArray[np.float64]:
    """Return a centred running mean for planes `ratio` times the low-res one."""
    width = min(max(1.0, AVERAGED * ratio), MAX_AVERAGED)
    side = math.ceil((width - 1.0) / 2.0)
    taps = np.ones(2 * side + 1)
    taps[0] = taps[-1] = (width - (2 * side - 1)) / 2.0 if side else 1.0
    return taps / taps.sum()


def resize_ab(ab: FloatPlane, size: tuple[int, int]) -> FloatPlane:
    """Return ab (h, w, 2) at a size (width, height): averaged downwards, interpolated upwards."""
    method = cv2.INTER_AREA if ab.shape[1] >= size[0] else cv2.INTER_LINEAR
    resized: FloatPlane = cv2.resize(ab, size, interpolation=method)
    return resized
