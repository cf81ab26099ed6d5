"""The only home of Lab, RGB and YCbCr constants and conversions.

The functions take NumPy arrays and PyTorch tensors alike, because they only use operators. R'G'B'
is nonlinear sRGB in 0..1; Y' is luma in 0..1, Cb and Cr are in -0.5..0.5; L is CIELAB 0..100 under
D65; a and b are unbounded.
"""

from typing import Any

import numpy as np

from filmcolor.types.yuv import Coding

Channels = tuple[Any, Any, Any]

# IEC 61966-2-1 (sRGB): linear RGB to XYZ, D65 white, 2-degree observer.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
XYZ_TO_RGB = tuple(map(tuple, np.linalg.inv(np.array(_RGB_TO_XYZ)).tolist()))
WHITE = (0.95047, 1.0, 1.08883)  # D65, 2-degree observer (CIE 15:2004)
LAB_JOIN = 6 / 29  # CIELAB's f where its cube is replaced by a line
_EPSILON = LAB_JOIN**3  # CIE 15:2004: below it the cube root is replaced by a line
KAPPA = (29 / 3) ** 3 / 116  # slope of that line, 7.787...

# IEC 61966-2-1 (sRGB): dark values are on a line, others on a power of the shifted value
SRGB_SLOPE, SRGB_SHIFT, SRGB_GAMMA = 12.92, 0.055, 2.4
SRGB_JOIN = 0.0031308  # linear light where the two meet

LUMA_709 = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709-6, item 3.2
LUMA_601 = (0.299, 0.587, 0.114)  # ITU-R BT.601-7, item 2.5.1


def linear_from_srgb(value: Any) -> Any:
    """Return linear light of nonlinear sRGB (IEC 61966-2-1)."""
    is_dark = value <= 0.04045
    power = ((value.clip(0.0, None) + SRGB_SHIFT) / (1.0 + SRGB_SHIFT)) ** SRGB_GAMMA
    return is_dark * (value / SRGB_SLOPE) + ~is_dark * power


def srgb_from_linear(value: Any) -> Any:
    """Return nonlinear sRGB of linear light; below zero its linear part continues."""
    is_dark = value <= SRGB_JOIN
    power = (1.0 + SRGB_SHIFT) * value.clip(1e-9, None) ** (1 / SRGB_GAMMA)
    return is_dark * (value * SRGB_SLOPE) + ~is_dark * (power - SRGB_SHIFT)


def lab_from_rgb(red: Any, green: Any, blue: Any) -> Channels:
    """Return CIELAB (L, a, b) of nonlinear sRGB in 0..1."""
    xyz = _apply(_RGB_TO_XYZ, *(linear_from_srgb(c) for c in (red, green, blue)))
    x, y, z = (lab_f(value / white) for value, white in zip(xyz, WHITE, strict=True))
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


def rgb_from_lab(lightness: Any, a: Any, b: Any) -> Channels:
    """Return nonlinear sRGB of CIELAB, not clipped: colours out of gamut are outside 0..1."""
    y = (lightness + 16.0) / 116.0
    xyz = (_lab_f_inverse(t) * white for t, white in zip((y + a / 500.0, y, y - b / 200.0), WHITE))
    red, green, blue = (srgb_from_linear(c) for c in _apply(XYZ_TO_RGB, *xyz))
    return red, green, blue


def daylight_ab(kelvin: float) -> tuple[float, float]:
    """Return (a, b) of a white lit by daylight of 4000 to 7000 K and seen under D65.

    CIE 15:2004, equations for the illuminants D.
    """
    t = 1000.0 / kelvin
    x = 0.244063 + 0.09911 * t + 2.9678 * t**2 - 4.6070 * t**3
    y = -3.0 * x**2 + 2.870 * x - 0.275
    xyz = np.array([x / y, 1.0, (1.0 - x - y) / y]) / WHITE
    fx, fy, fz = np.cbrt(xyz).tolist()
    return 500.0 * (fx - fy), 200.0 * (fy - fz)


def lightness_from_luma(luma: Any) -> Any:
    """Return L of a neutral picture, R' = G' = B' = Y', with luma in 0..1."""
    return 116.0 * lab_f(linear_from_srgb(luma)) - 16.0


def luma_from_rgb(red: Any, green: Any, blue: Any, weights: Any = LUMA_709) -> Any:
    """Return luma Y' of nonlinear R'G'B', on the same scale."""
    return red * weights[0] + green * weights[1] + blue * weights[2]


def rgb_from_ycc(luma: Any, cb: Any, cr: Any, coding: Coding) -> Channels:
    """Return R'G'B', not clipped, of luma in 0..1 and chroma in -0.5..0.5."""
    kr, kb = coding.kr_kb
    red, blue = luma + 2.0 * (1.0 - kr) * cr, luma + 2.0 * (1.0 - kb) * cb
    return red, (luma - kr * red - kb * blue) / (1.0 - kr - kb), blue


def _apply(matrix: Any, x: Any, y: Any, z: Any) -> Channels:
    first, second, third = (row[0] * x + row[1] * y + row[2] * z for row in matrix)
    return first, second, third


def lab_f(t: Any) -> Any:
    """Return CIELAB's f of X, Y or Z relative to white."""
    is_dark = t <= _EPSILON
    return is_dark * (KAPPA * t + 16 / 116) + ~is_dark * (t.clip(1e-9, None) ** (1 / 3))


def _lab_f_inverse(f: Any) -> Any:
    is_dark = f <= LAB_JOIN
    return is_dark * ((f - 16 / 116) / KAPPA) + ~is_dark * (f * f * f)
