"""The only home of Lab, RGB and YCbCr constants and conversions.

Functions over colour channels take numpy arrays and torch tensors alike: they use
operators only, but for those from Lab to chroma, which take arrays. R'G'B' is nonlinear sRGB
in 0..1; Y' is luma in 0..1, Cb and Cr are in -0.5..0.5; L is CIELAB 0..100 under D65; a and
b are unbounded.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor import native

Channels = tuple[Any, Any, Any]

# IEC 61966-2-1 (sRGB): linear RGB to XYZ, D65 white, 2-degree observer.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_XYZ_TO_RGB = tuple(map(tuple, np.linalg.inv(np.array(_RGB_TO_XYZ)).tolist()))
_WHITE = (0.95047, 1.0, 1.08883)  # D65, 2-degree observer (CIE 15:2004)
_WHITE_XYZ_TO_RGB = np.array(_XYZ_TO_RGB) * _WHITE  # of X, Y and Z as shares of white's
_WHITE_XYZ_TO_RGB /= _WHITE_XYZ_TO_RGB.sum(1, keepdims=True)  # grey stays grey at 16 bits too
_EPSILON = (6 / 29) ** 3  # CIE 15:2004, where the cube root gives way to a line
_KAPPA = (29 / 3) ** 3 / 116  # slope of that line, 7.787...
_STEP, _STEPS = 4.0, 28  # of the table of chroma: ab from one colour to the next, and to its end
_UNIT = 0.5 / 32767  # of chroma in 16 bits
# the row of neutral, by luma code
_NEUTRAL_ROWS = np.arange(256, dtype=np.float32) * (2 * _STEPS + 1) + _STEPS
_F_JOIN, _SRGB_JOIN = 6 / 29, 0.0031308  # where the curves back to RGB begin

LUMA_709 = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709-6, item 3.2
LUMA_601 = (0.299, 0.587, 0.114)  # ITU-R BT.601-7, item 2.5.1

# Matrix coefficients by ITU-T H.273 table 4: (Kr, Kb).
_MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, equal to BT.601 625
    6: (0.299, 0.114),  # SMPTE 170M, equal to BT.601 525
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
}
UNSPECIFIED = 2  # H.273: the stream does not say
RGB_MATRIX = 0  # H.273: the planes are G, B and R


@dataclass(frozen=True, slots=True)
class Coding:
    """How code values stand for colour: H.273 numbers, range and bit depth."""

    matrix: int
    is_full_range: bool
    bit_depth: int

    def __post_init__(self) -> None:
        if self.matrix not in _MATRICES:
            raise ValueError(f"no luma coefficients for matrix {self.matrix} of H.273")

    @property
    def kr_kb(self) -> tuple[float, float]:
        """The luma weights of red and blue."""
        return _MATRICES[self.matrix]

    @property
    def luma_offset(self) -> int:
        """The code value of black (ITU-R BT.601-7, item 2.5.3)."""
        return 0 if self.is_full_range else 16 << (self.bit_depth - 8)

    @property
    def luma_scale(self) -> int:
        """The code values between black and white."""
        return self._peak if self.is_full_range else 219 << (self.bit_depth - 8)

    @property
    def chroma_offset(self) -> int:
        """The code value of neutral chroma."""
        return 1 << (self.bit_depth - 1)

    @property
    def chroma_scale(self) -> int:
        """The code values between -0.5 and 0.5."""
        return self._peak if self.is_full_range else 224 << (self.bit_depth - 8)

    @property
    def _peak(self) -> int:
        return (1 << self.bit_depth) - 1


def convert_luma(luma: Any, source: Coding, target: Coding) -> Any:
    """Return luma code values at another bit depth, the same object at the same depth.

    More bits lose nothing: in limited range the step is a shift, in full range the
    rounding can be undone.
    """
    scales, offsets = (
        (source.luma_scale, target.luma_scale),
        (source.luma_offset, target.luma_offset),
    )
    return _recoded(luma, source, target, scales, offsets)


def convert_chroma(chroma: Any, source: Coding, target: Coding) -> Any:
    """Return chroma code values at another bit depth, the same object at the same depth."""
    scales = source.chroma_scale, target.chroma_scale
    offsets = source.chroma_offset, target.chroma_offset
    return _recoded(chroma, source, target, scales, offsets)


def is_known_matrix(matrix: int) -> bool:
    """Tell whether `Coding` knows the luma coefficients of an H.273 matrix number."""
    return matrix in _MATRICES


def default_matrix(width: int, height: int) -> int:
    """Return the matrix players assume where none is tagged: 601 for SD, 709 for HD."""
    is_hd = width >= 1280 or height > 576
    if is_hd:
        return 1
    return 5 if height in (288, 576) else 6


def linear_from_srgb(value: Any) -> Any:
    """Return linear light of nonlinear sRGB (IEC 61966-2-1)."""
    is_dark = value <= 0.04045
    return is_dark * (value / 12.92) + ~is_dark * (((value.clip(0.0, None) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(value: Any) -> Any:
    """Return nonlinear sRGB of linear light; below zero its line goes on."""
    is_dark = value <= 0.0031308
    return is_dark * (value * 12.92) + ~is_dark * (
        1.055 * value.clip(1e-9, None) ** (1 / 2.4) - 0.055
    )


def lab_from_rgb(red: Any, green: Any, blue: Any) -> Channels:
    """Return CIELAB (L, a, b) of nonlinear sRGB in 0..1."""
    xyz = _apply(_RGB_TO_XYZ, *(linear_from_srgb(c) for c in (red, green, blue)))
    x, y, z = (_lab_f(value / white) for value, white in zip(xyz, _WHITE, strict=True))
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


def rgb_from_lab(lightness: Any, a: Any, b: Any) -> Channels:
    """Return nonlinear sRGB of CIELAB, not clipped: colours outside the gamut leave 0..1."""
    y = (lightness + 16.0) / 116.0
    xyz = (_lab_f_inverse(t) * white for t, white in zip((y + a / 500.0, y, y - b / 200.0), _WHITE))
    red, green, blue = (srgb_from_linear(c) for c in _apply(_XYZ_TO_RGB, *xyz))
    return red, green, blue


def daylight_ab(kelvin: float) -> tuple[float, float]:
    """Return (a, b) of white lit by daylight of a temperature, 4000 to 7000 K, seen under D65.

    CIE 15:2004, equations for the illuminants D.
    """
    t = 1000.0 / kelvin
    x = 0.244063 + 0.09911 * t + 2.9678 * t**2 - 4.6070 * t**3
    y = -3.0 * x**2 + 2.870 * x - 0.275
    xyz = np.array([x / y, 1.0, (1.0 - x - y) / y]) / _WHITE
    fx, fy, fz = np.cbrt(xyz).tolist()
    return 500.0 * (fx - fy), 200.0 * (fy - fz)


def lightness_from_luma(luma: Any) -> Any:
    """Return L of a neutral picture, R' = G' = B' = Y', with luma in 0..1."""
    return 116.0 * _lab_f(linear_from_srgb(luma)) - 16.0


def luma_from_rgb(red: Any, green: Any, blue: Any, weights: Any = LUMA_709) -> Any:
    """Return luma Y' of nonlinear R'G'B', on the same scale."""
    return red * weights[0] + green * weights[1] + blue * weights[2]


def chroma_from_lab(luma: Any, a: Any, b: Any, coding: Coding) -> tuple[Any, Any]:
    """Return (Cb, Cr) that show ab as nearly as fixed luma lets them, inside the gamut.

    Two colours of one lightness differ in luma, so L is first moved until the colour's
    own luma is the film's. One Newton step leaves 0.5 of ab at most over sRGB colours up
    to chroma 20, 2.5 up to 30 and 8.5 up to 60; 0.005, 0.04 and 0.4 in the mean. What is then
    outside R'G'B' 0..1 is shrunk toward neutral, so that no display has to clip a channel.
    `luma`: Y' in 0..1; a and b of the same shape.
    """
    luma = luma.clip(0.0, 1.0)
    shape, dtype = np.shape(luma), np.result_type(luma, np.float32)
    planes = (np.asarray(p, dtype).reshape(-1) for p in (luma, *_greys(luma), a, b))
    cb, cr = _chroma(coding, *planes)
    return cb.reshape(shape), cr.reshape(shape)


def chroma_of_codes(
    codes: NDArray[np.uint8], ab: NDArray[np.float32], coding: Coding
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the (Cb, Cr) of `chroma_from_lab` for luma of 8 bits, full range.

    Looked up in a table, linearly between colours: 0.06 of a code of 8 bits from the exact one
    in the mean, a few codes where the gamut ends, and never outside it.
    `codes`: (H, W); `ab`: (H, W, 2).
    """
    if native.is_built():
        return native.look_up_chroma(codes, ab, _compact_table(coding.matrix), _STEP, _UNIT)
    columns, rows = cv2.extractChannel(ab, 0), cv2.extractChannel(ab, 1)  # split is slow
    for places in (columns, rows):
        places *= np.float32(1.0 / _STEP)
        np.clip(places, -_STEPS, _STEPS, out=places)
    columns += _STEPS
    rows += cv2.LUT(codes, _NEUTRAL_ROWS)
    found = cv2.remap(_chroma_table(coding.matrix), columns, rows, cv2.INTER_LINEAR)
    return cv2.extractChannel(found, 0), cv2.extractChannel(found, 1)


def shrink_into_gamut(luma: Any, cb: Any, cr: Any, coding: Coding) -> tuple[Any, Any]:
    """Return (Cb, Cr) scaled toward neutral at fixed luma until R'G'B' is within 0..1."""
    kr, kb = coding.kr_kb
    reds, blues = (2.0 * (1.0 - kr)) * cr, (2.0 * (1.0 - kb)) * cb  # R' - Y', B' - Y'
    greens = (-kr / (1.0 - kr - kb)) * reds + (-kb / (1.0 - kr - kb)) * blues
    maximum, minimum = _extremes_of(luma)
    highest = maximum(maximum(reds, greens), blues)
    lowest = minimum(minimum(reds, greens), blues)
    # how many times too far the colour goes, toward white and toward black
    excess = maximum(highest / (1.0 - luma + 1e-6), lowest / (-1e-6 - luma))
    excess = excess.clip(1.0, None)
    return cb / excess, cr / excess


def rgb_from_ycc(luma: Any, cb: Any, cr: Any, coding: Coding) -> Channels:
    """Return R'G'B', not clipped, of luma in 0..1 and chroma in -0.5..0.5."""
    kr, kb = coding.kr_kb
    red, blue = luma + 2.0 * (1.0 - kr) * cr, luma + 2.0 * (1.0 - kb) * cb
    return red, (luma - kr * red - kb * blue) / (1.0 - kr - kb), blue


def _recoded(
    codes: Any, source: Coding, target: Coding, scales: tuple[int, int], offsets: tuple[int, int]
) -> Any:
    if source.bit_depth == target.bit_depth:
        return codes
    shift = target.bit_depth - source.bit_depth
    if shift > 0 and not source.is_full_range:
        return codes.astype(np.uint16) << shift
    scaled = (codes.astype(np.float32) - offsets[0]) * (scales[1] / scales[0]) + offsets[1]
    peak = (1 << target.bit_depth) - 1
    return np.rint(scaled).clip(0, peak).astype(np.uint8 if target.bit_depth == 8 else np.uint16)


def _extremes_of(values: Any) -> tuple[Any, Any]:
    """Return the functions that compare arrays, or tensors, element by element."""
    if hasattr(values, "maximum"):
        return type(values).maximum, type(values).minimum
    return np.maximum, np.minimum


def _apply(matrix: Any, x: Any, y: Any, z: Any) -> Channels:
    first, second, third = (row[0] * x + row[1] * y + row[2] * z for row in matrix)
    return first, second, third


def _chroma(coding: Coding, luma: Any, lightness: Any, slope: Any, a: Any, b: Any) -> NDArray[Any]:
    """Return Cb and Cr (2, N) of `chroma_from_lab`; all planes are (N,), `lightness` is spent."""
    kr, kb = coding.kr_kb
    weights = np.array((kr, 1.0 - kr - kb, kb), luma.dtype)
    a, b = a * luma.dtype.type(1 / 500.0), b * luma.dtype.type(1 / 200.0)
    rgb = np.empty((3, luma.size), luma.dtype)
    for step in range(2):
        np.add(lightness, a, out=rgb[0])
        rgb[1] = lightness
        np.subtract(lightness, b, out=rgb[2])
        _rgb_from_lab_f(rgb)
        own = weights @ rgb
        if step == 0:
            own -= luma
            own *= slope
            lightness -= own
    rgb -= own
    chroma = rgb[2::-2]  # B' - Y', R' - Y'
    chroma *= np.array([[0.5 / (1.0 - kb)], [0.5 / (1.0 - kr)]], luma.dtype)
    return np.stack(shrink_into_gamut(luma, chroma[0], chroma[1], coding))


def _rgb_from_lab_f(f: NDArray[Any]) -> None:
    """Turn CIELAB's f of X, Y and Z (3, N) into the R'G'B' of `rgb_from_lab`, in place."""
    # the line up to the join, and the curve from there on
    _, line = cv2.threshold(f, _F_JOIN, 0.0, cv2.THRESH_TRUNC)
    curve = cv2.addWeighted(f, 1.0, line, -1.0, _F_JOIN, dst=f)
    xyz = curve * curve
    xyz *= curve
    cv2.addWeighted(xyz, 1.0, line, 1.0 / _KAPPA, -_F_JOIN / _KAPPA, dst=xyz)
    rgb = np.matmul(_WHITE_XYZ_TO_RGB.astype(f.dtype), xyz, out=f)
    cv2.threshold(rgb, _SRGB_JOIN, 0.0, cv2.THRESH_TRUNC, dst=line)
    curve = cv2.addWeighted(rgb, 1.0, line, -1.0, _SRGB_JOIN, dst=xyz)
    cv2.log(curve, curve)
    curve *= f.dtype.type(1 / 2.4)
    cv2.exp(curve, curve)
    cv2.addWeighted(curve, 1.055, line, 12.92, -0.055 - 12.92 * _SRGB_JOIN, dst=rgb)


def _greys(luma: Any) -> tuple[Any, Any]:
    """Return CIELAB's f of Y of greys, and its derivative by luma."""
    linear = linear_from_srgb(luma)
    lightness = _lab_f(linear)
    # both curves end in lines, which keep it finite
    slope = np.minimum(lightness / (3.0 * linear + 1e-9), _KAPPA)
    return lightness, slope * np.maximum(2.4 * linear / (luma + 0.055), 1.0 / 12.92)


@lru_cache(maxsize=2)
def _chroma_table(matrix: int) -> NDArray[np.float32]:
    """Return (Cb, Cr, 0, 0) by luma code and b in rows, by a in columns: to be looked up in.

    OpenCV looks four channels up faster than two.
    """
    pairs = _tabulated(matrix)
    table = np.zeros((*pairs.shape[:3], 4), np.float32)
    table[..., :2] = pairs
    return table.reshape(-1, table.shape[2], 4)


@lru_cache(maxsize=2)
def _compact_table(matrix: int) -> NDArray[np.int16]:
    """Return Cb and Cr as (256, N, N, 2) in 16 bits: a quarter of OpenCV's table, for the cache.

    Rounded toward neutral, so as not to leave the gamut.
    """
    return np.trunc(_tabulated(matrix) * np.float32(1.0 / _UNIT)).astype(np.int16)


def _tabulated(matrix: int) -> NDArray[np.float32]:
    """Return Cb and Cr (256, N, N, 2) by luma code, b and a."""
    side = np.arange(-_STEPS, _STEPS + 1, dtype=np.float32) * _STEP
    b, a = np.meshgrid(side, side, indexing="ij")
    coding = Coding(matrix, True, 8)
    pairs = np.empty((256, len(side), len(side), 2), np.float32)
    for code, colors in enumerate(pairs):  # one by one: NumPy's BLAS must not begin threads
        luma = np.full_like(a, code / 255.0)
        colors[..., 0], colors[..., 1] = chroma_from_lab(luma, a, b, coding)
    return pairs


def _lab_f(t: Any) -> Any:
    is_dark = t <= _EPSILON
    return is_dark * (_KAPPA * t + 16 / 116) + ~is_dark * (t.clip(1e-9, None) ** (1 / 3))


def _lab_f_inverse(f: Any) -> Any:
    is_dark = f <= 6 / 29
    return is_dark * ((f - 16 / 116) / _KAPPA) + ~is_dark * (f * f * f)
