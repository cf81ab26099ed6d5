"""The orientation in which a film is shown: rotated, mirrored, both or neither."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
_ONE = 1 << 16  # 1.0 in 16.16 fixed point
# of a matrix's linear part: Matroska stores the angle, from which it comes back rounded
_TOLERANCE = _ONE >> 10


@dataclass(frozen=True, slots=True)
class Orientation:
    """A display matrix: how a coded picture is placed on the screen.

    matrix: the nine integers of FFmpeg's AV_PKT_DATA_DISPLAYMATRIX, row by row; a coded point
    (x, y) is shown at (a·x + c·y + tx, b·x + d·y + ty) for the rows (a, b, u), (c, d, v),
    (tx, ty, w). None shows the picture as coded.
    """

    matrix: tuple[int, ...] | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> "Orientation":
        """Return the orientation of side data: nine native int32.

        A matrix that shows nothing, such as one of zeros, is taken as none, as players do.
        """
        matrix = tuple(int(value) for value in np.frombuffer(data, np.int32, 9))
        a, b, _, c, d = matrix[:5]
        is_identity = (a, b, c, d) == (_ONE, 0, 0, _ONE) and not any(matrix[6:8])
        return cls() if is_identity or a * d == b * c else cls(matrix)

    @property
    def is_mirrored(self) -> bool:
        """True when the picture is shown as in a mirror; rotation alone cannot set it right."""
        a, b, c, d = self._linear
        return a * d < b * c

    @property
    def rotation(self) -> float:
        """Counter-clockwise degrees, -180 to 180, by which the picture is turned when shown.

        A mirrored picture is flipped left to right first.
        """
        a, b, _, _ = self._linear
        if self.is_mirrored:
            a, b = -a, -b
        return -math.degrees(math.atan2(b, a)) + 0.0  # no negative zero

    @property
    def quarter_turns(self) -> int:
        """The rotation in counter-clockwise turns by 90 degrees, 0 to 3."""
        return round(self.rotation / 90) % 4

    def upright(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a coded picture (H, W, ...) as it is shown, to the nearest quarter turn."""
        flipped = picture[:, ::-1] if self.is_mirrored else picture
        return np.rot90(flipped, self.quarter_turns)

    def as_coded(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return an upright picture (H, W, ...) as it is coded: the inverse of `upright`."""
        turned = np.rot90(picture, -self.quarter_turns)
        return turned[:, ::-1] if self.is_mirrored else turned

    def is_shown_as(self, other: "Orientation") -> bool:
        """Return whether two films are shown alike, but for the rounding of angles."""
        return all(abs(p - q) <= _TOLERANCE for p, q in zip(self._linear, other._linear))

    def __str__(self) -> str:
        words = ["mirrored"] if self.is_mirrored else []
        if self.rotation or not words:
            words.append(f"rotated by {self.rotation:g}°")
        return ", ".join(words)

    @property
    def _linear(self) -> tuple[int, int, int, int]:
        """(a, b, c, d) of the matrix."""
        if self.matrix is None:
            return _ONE, 0, 0, _ONE
        a, b, _, c, d = self.matrix[:5]
        return a, b, c, d


AS_CODED = Orientation()
