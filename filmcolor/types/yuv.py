"""Y'CbCr coding: matrix, range, bit depth, chroma subsampling, and conversion of bit depths."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Subsampling:
    """The luma columns and rows per chroma sample: (2, 2) is 4:2:0."""

    x: int
    y: int

    def plane_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of a chroma plane, rounded up."""
        return -(-width // self.x), -(-height // self.y)


SUBSAMPLING_420 = Subsampling(2, 2)
SUBSAMPLING_422 = Subsampling(2, 1)
SUBSAMPLING_444 = Subsampling(1, 1)

# Matrix coefficients by ITU-T H.273 table 4: (Kr, Kb).
_MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, equal to BT.601 625
    6: (0.299, 0.114),  # SMPTE 170M, equal to BT.601 525
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
}
UNSPECIFIED = 2  # H.273: not tagged
RGB_MATRIX = 0  # H.273: the planes are G, B and R


@dataclass(frozen=True, slots=True)
class Coding:
    """How code values represent colour: H.273 matrix number, range and bit depth."""

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
        """The number of code values from black to white."""
        return self._peak if self.is_full_range else 219 << (self.bit_depth - 8)

    @property
    def chroma_offset(self) -> int:
        """The code value of neutral chroma."""
        return 1 << (self.bit_depth - 1)

    @property
    def chroma_scale(self) -> int:
        """The number of code values from -0.5 to 0.5."""
        return self._peak if self.is_full_range else 224 << (self.bit_depth - 8)

    @property
    def _peak(self) -> int:
        return (1 << self.bit_depth) - 1


def convert_luma(luma: Any, source: Coding, target: Coding) -> Any:
    """Return luma code values at another bit depth or range; the same object if both are the same.

    More bits lose nothing: limited range is shifted, and full range is rounded reversibly. So is
    limited range in full range, but for values below black and above white, which are clipped.
    """
    scales, offsets = (
        (source.luma_scale, target.luma_scale),
        (source.luma_offset, target.luma_offset),
    )
    return _convert(luma, source, target, scales, offsets)


def convert_chroma(chroma: Any, source: Coding, target: Coding) -> Any:
    """Return chroma code values at another bit depth or range; the same object if both are."""
    scales = source.chroma_scale, target.chroma_scale
    offsets = source.chroma_offset, target.chroma_offset
    return _convert(chroma, source, target, scales, offsets)


def is_known_matrix(matrix: int) -> bool:
    """Return whether `Coding` has luma coefficients for an H.273 matrix number."""
    return matrix in _MATRICES


def default_matrix(width: int, height: int) -> int:
    """Return the matrix that players assume for untagged films: BT.601 for SD, BT.709 for HD."""
    is_hd = width >= 1280 or height > 576
    if is_hd:
        return 1
    return 5 if height in (288, 576) else 6


def _convert(
    codes: Any, source: Coding, target: Coding, scales: tuple[int, int], offsets: tuple[int, int]
) -> Any:
    is_same_range = source.is_full_range == target.is_full_range
    if source.bit_depth == target.bit_depth and is_same_range:
        return codes
    shift = target.bit_depth - source.bit_depth
    if shift > 0 and is_same_range and not source.is_full_range:
        return codes.astype(np.uint16) << shift
    scaled = (codes.astype(np.float32) - offsets[0]) * (scales[1] / scales[0]) + offsets[1]
    peak = (1 << target.bit_depth) - 1
    return np.rint(scaled).clip(0, peak).astype(np.uint8 if target.bit_depth == 8 else np.uint16)
