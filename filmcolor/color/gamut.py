"""CIELAB a, b at a fixed luma to Cb, Cr, inside the R'G'B' gamut."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color.spaces import (
    KAPPA,
    LAB_JOIN,
    SRGB_GAMMA,
    SRGB_JOIN,
    SRGB_SHIFT,
    SRGB_SLOPE,
    WHITE,
    XYZ_TO_RGB,
    lab_f,
    linear_from_srgb,
)
from filmcolor.kernels import ops
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.types.yuv import Coding

WHITE_XYZ_TO_RGB = np.array(XYZ_TO_RGB) * WHITE  # for X, Y, Z relative to white
WHITE_XYZ_TO_RGB /= WHITE_XYZ_TO_RGB.sum(1, keepdims=True)  # grey stays grey in 16 bits
TABLE_STEP = 4.0  # between entries of the chroma table, in ab
TABLE_STEPS = 28  # of the table on each side of neutral
CHROMA_UNIT = 0.5 / 32767  # of Cb and Cr in 16 bits
GAMUT_TOLERANCE = 1e-6  # of R'G'B' in 0..1


def chroma_from_lab(luma: Any, a: Any, b: Any, coding: Coding) -> tuple[Any, Any]:
    """Return the (Cb, Cr) closest to ab at a fixed luma, inside the gamut.

    Colours of one lightness differ in luma, so L is first moved until the colour's luma is the
    film's. One Newton step leaves an error in ab of at most 0.5 for sRGB colours up to chroma 20,
    2.5 up to 30 and 8.5 up to 60 (0.005, 0.04 and 0.4 on average). Colours outside R'G'B' 0..1 are
    then shrunk toward neutral, so that no display clips a channel.
    `luma`: Y' in 0..1; `a` and `b` have its shape.
    """
    luma = luma.clip(0.0, 1.0)
    shape, dtype = np.shape(luma), np.result_type(luma, np.float32)
    planes = (np.asarray(p, dtype).reshape(-1) for p in (luma, *greys(luma), a, b))
    cb, cr = _chroma(coding, *planes)
    return cb.reshape(shape), cr.reshape(shape)


def chroma_from_gray(gray: Gray, ab: FloatPlane, coding: Coding) -> tuple[FloatPlane, FloatPlane]:
    """Return the (Cb, Cr) of `chroma_from_lab` for 8-bit full-range luma, fast.

    Bilinear interpolation in a table by luma, a and b: computing them was a fifth of the cost of
    chroma. The error is 0.06 of an 8-bit code on average and a few codes at the gamut's border;
    Cb and Cr are linear between table entries, so no colour leaves the gamut, and neutral is exact.
    `gray`: (h, w); `ab`: (h, w, 2), CIELAB.
    """
    return ops.look_up_chroma(gray, ab, _chroma_table(coding.matrix), TABLE_STEP, CHROMA_UNIT)


def shrink_into_gamut(luma: Any, cb: Any, cr: Any, coding: Coding) -> tuple[Any, Any]:
    """Return (Cb, Cr) scaled toward neutral at fixed luma until R'G'B' is within 0..1."""
    kr, kb = coding.kr_kb
    reds, blues = (2.0 * (1.0 - kr)) * cr, (2.0 * (1.0 - kb)) * cb  # R' - Y', B' - Y'
    greens = (-kr / (1.0 - kr - kb)) * reds + (-kb / (1.0 - kr - kb)) * blues
    maximum, minimum = _extremes_of(luma)
    highest = maximum(maximum(reds, greens), blues)
    lowest = minimum(minimum(reds, greens), blues)
    # factor by which the colour overshoots, toward white and toward black
    excess = maximum(highest / (1.0 - luma + GAMUT_TOLERANCE), lowest / (-GAMUT_TOLERANCE - luma))
    excess = excess.clip(1.0, None)
    return cb / excess, cr / excess


def _extremes_of(values: Any) -> tuple[Any, Any]:
    """Return the element-wise maximum and minimum for arrays or tensors."""
    if hasattr(values, "maximum"):
        return type(values).maximum, type(values).minimum
    return np.maximum, np.minimum


def _chroma(coding: Coding, luma: Any, lightness: Any, slope: Any, a: Any, b: Any) -> NDArray[Any]:
    """Return Cb and Cr (2, N) for `chroma_from_lab`; planes are (N,); overwrites `lightness`."""
    kr, kb = coding.kr_kb
    weights = np.array((kr, 1.0 - kr - kb, kb), luma.dtype)
    a, b = a * luma.dtype.type(1 / 500.0), b * luma.dtype.type(1 / 200.0)
    rgb = np.empty((3, luma.size), luma.dtype)
    for step in range(2):
        np.add(lightness, a, out=rgb[0])
        rgb[1] = lightness
        np.subtract(lightness, b, out=rgb[2])
        _rgb_from_lab_f(rgb)
        achieved = weights @ rgb
        if step == 0:
            achieved -= luma
            achieved *= slope
            lightness -= achieved
    rgb -= achieved
    chroma = rgb[2::-2]  # B' - Y', R' - Y'
    chroma *= np.array([[0.5 / (1.0 - kb)], [0.5 / (1.0 - kr)]], luma.dtype)
    return np.stack(shrink_into_gamut(luma, chroma[0], chroma[1], coding))


def _rgb_from_lab_f(f: NDArray[Any]) -> None:
    """Convert CIELAB's f of X, Y and Z (3, N) to R'G'B', in place."""
    # linear up to the join, the curve above it
    _, line = cv2.threshold(f, LAB_JOIN, 0.0, cv2.THRESH_TRUNC)
    curve = cv2.addWeighted(f, 1.0, line, -1.0, LAB_JOIN, dst=f)
    xyz = curve * curve
    xyz *= curve
    cv2.addWeighted(xyz, 1.0, line, 1.0 / KAPPA, -LAB_JOIN / KAPPA, dst=xyz)
    rgb = np.matmul(WHITE_XYZ_TO_RGB.astype(f.dtype), xyz, out=f)
    cv2.threshold(rgb, SRGB_JOIN, 0.0, cv2.THRESH_TRUNC, dst=line)
    curve = cv2.addWeighted(rgb, 1.0, line, -1.0, SRGB_JOIN, dst=xyz)
    cv2.log(curve, curve)
    curve *= f.dtype.type(1 / SRGB_GAMMA)
    cv2.exp(curve, curve)
    shift = -SRGB_SHIFT - SRGB_SLOPE * SRGB_JOIN
    cv2.addWeighted(curve, 1.0 + SRGB_SHIFT, line, SRGB_SLOPE, shift, dst=rgb)


def greys(luma: Any) -> tuple[Any, Any]:
    """Return CIELAB's f(Y) of greys, and its derivative with respect to luma."""
    linear = linear_from_srgb(luma)
    lightness = lab_f(linear)
    # finite, because both curves end in lines
    slope = np.minimum(lightness / (3.0 * linear + 1e-9), KAPPA)
    per_luma = np.maximum(SRGB_GAMMA * linear / (luma + SRGB_SHIFT), 1.0 / SRGB_SLOPE)
    return lightness, slope * per_luma


@lru_cache(maxsize=2)
def _chroma_table(matrix: int) -> NDArray[np.int16]:
    """Return Cb and Cr (256, N, N, 2) by luma code, b and a, in multiples of CHROMA_UNIT.

    16 bits keep it small enough for the cache. Rounded toward neutral, so as to stay in the gamut.
    """
    side = np.arange(-TABLE_STEPS, TABLE_STEPS + 1, dtype=np.float32) * TABLE_STEP
    b, a = np.meshgrid(side, side, indexing="ij")
    coding = Coding(matrix, True, 8)
    table = np.empty((256, len(side), len(side), 2), np.int16)
    for code, entries in enumerate(table):  # in small products: large ones start OpenBLAS threads
        luma = np.full_like(a, code / 255.0)
        chroma = np.dstack(chroma_from_lab(luma, a, b, coding))
        entries[:] = np.trunc(chroma * np.float32(1.0 / CHROMA_UNIT))
    return table
