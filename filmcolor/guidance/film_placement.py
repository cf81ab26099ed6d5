"""Where the picture of one film lies in that of another: size, aspect, borders, crop, orientation.

A placement is an affine map from film coordinates to those of the other film, both 0 to 1 over the
picture as coded. So it holds at every resolution.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray

Matrix = NDArray[np.float64]  # (2, 3)
Area = tuple[float, float, float, float]  # left, top, right, bottom, 0 to 1
WHOLE: Area = (0.0, 0.0, 1.0, 1.0)
UNCHANGED: Matrix = np.eye(2, 3)
_CORNERS = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [1.0] * 4])

_CONTRAST_FLOOR = np.float32(5.0)  # 8-bit codes of contrast below which detail is mostly noise
_SAME_ASPECT = 1.03  # up to it, pictures are taken to show the same
_MAX_BORDER = 24  # 8-bit luma of black borders
_MAX_BORDER_SPREAD = 4.0  # standard deviation of luma in a black row or column
_MIN_BORDER = 0.01  # share of a side: less is the edge of a scan
_MIN_ACTIVE = 0.4  # share of a side that is left at least
# alignment of details
_STEPS, _STEP_SIZE = 60, 1e-5
_DETAIL_SIGMA = 6.0  # pixels
_BLUR = 5  # pixels: filter of OpenCV's alignment
_MIN_ALIGNED = 0.5  # correlation after alignment
_MIN_VOTES = 3  # frames that must agree
_NO_MOVE = 0.0015  # of the picture: less is the error of alignment
_MAX_MOVE = 0.15


def detail(values: FloatPlane, sigma: float) -> FloatPlane:
    """Return the detail (h, w) of luma, 8-bit codes: what is finer than `sigma` pixels.

    It is of length 1, or 0 for a blank picture. Exposure and contrast change it little.
    """
    fine = values - cv2.GaussianBlur(values, (0, 0), sigma)
    fine /= np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), sigma) + _CONTRAST_FLOOR**2)
    fine -= fine.mean()
    unit: FloatPlane = fine / np.float32(max(float(np.linalg.norm(fine)), 1.0))
    return unit


def compose(first: Matrix, second: Matrix) -> Matrix:
    """Return the map that applies `first`, then `second`."""
    product: Matrix = (_square(second) @ _square(first))[:2]
    return product


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a map."""
    inverted: Matrix = np.linalg.inv(_square(matrix)).astype(np.float64)[:2]
    return inverted


def distance(first: Matrix, second: Matrix) -> float:
    """Return how far two maps place a corner of the picture apart, in shares of a side."""
    return float(np.abs((first - second) @ _CORNERS).max())


def sample(picture: FloatPlane | Gray, matrix: Matrix, size: tuple[int, int]) -> FloatPlane | Gray:
    """Return a picture (h, w, ...) seen through a map, at a size (width, height).

    `matrix` maps coordinates of the result to those of the picture. Beyond the picture its border
    is repeated.
    """
    height, width = picture.shape[:2]
    to_unit = np.array([[1.0 / size[0], 0.0, 0.5 / size[0]], [0.0, 1.0 / size[1], 0.5 / size[1]]])
    to_pixels = np.array([[width, 0.0, -0.5], [0.0, height, -0.5]])
    pixels = compose(compose(to_unit, matrix), to_pixels)
    if np.allclose(pixels, UNCHANGED, atol=1e-6) and size == (width, height):
        return picture
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, pixels, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def coverage(matrix: Matrix, size: tuple[int, int], margin: float = 0.0) -> FloatPlane:
    """Return where a map leads inside the other picture, 1 or 0 (h, w), at a size.

    `margin`: how far beyond its border still counts, in shares of a side.
    """
    columns, rows = np.meshgrid(*((np.arange(n) + 0.5) / n for n in size))
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
    is_inside = (np.abs(x - 0.5) <= 0.5 + margin) & (np.abs(y - 0.5) <= 0.5 + margin)
    return is_inside.astype(np.float32)


def common_area(matrix: Matrix) -> Matrix:
    """Return the map of the unit square to what both pictures show, in film coordinates."""
    shown = inverse(matrix) @ _CORNERS
    left, top = np.maximum(shown.min(axis=1), WHOLE[:2])
    right, bottom = np.minimum(shown.max(axis=1), WHOLE[2:])
    return from_area((left, top, right, bottom))


def from_area(area: Area) -> Matrix:
    """Return the map of the unit square to an area."""
    left, top, right, bottom = area
    return np.array([[right - left, 0.0, left], [0.0, bottom - top, top]])


def turned(turn: int) -> Matrix:
    """Return one of the eight ways to turn and mirror the unit square; 0 does neither."""
    matrix = UNCHANGED.copy()
    if turn >= 4:
        matrix[0] = (-1.0, 0.0, 1.0)
    for _ in range(turn % 4):
        matrix = compose(matrix, np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]))
    return matrix


def shown_turn(film: FilmInfo, other: FilmInfo) -> int:
    """Return the turn that leads from a film's frames as coded to another's, as both are shown."""
    grid = np.arange(4).reshape(2, 2)
    wanted = film.orientation.as_coded(other.orientation.upright(grid))
    rows, columns = np.mgrid[:2, :2]
    centers = np.stack([columns.ravel() / 2 + 0.25, rows.ravel() / 2 + 0.25, np.ones(4)])
    for turn in range(8):
        x, y = turned(turn) @ centers
        if np.array_equal(
            grid[np.rint(2 * y - 0.5).astype(int), np.rint(2 * x - 0.5).astype(int)], wanted.ravel()
        ):
            return turn
    raise AssertionError("the eight turns are all there are")


def active_area(pictures: Sequence[Gray]) -> Area:
    """Return the area inside the black borders that all pictures (h, w) of a film have."""
    levels = np.max([[p.mean(axis=1), p.std(axis=1)] for p in pictures], axis=0)
    top, bottom = _inside(levels)
    levels = np.max([[p.mean(axis=0), p.std(axis=0)] for p in pictures], axis=0)
    left, right = _inside(levels)
    return left, top, right, bottom


def candidate_areas(
    film: Sequence[Gray], other: Sequence[Gray], aspects: tuple[float, float]
) -> Iterator[tuple[Area, Area]]:
    """Yield the areas of two films that may show the same picture, the likeliest first.

    `film`, `other`: some frames of each; `aspects`: how wide they are shown, over their height.
    """
    areas = active_area(film), active_area(other)
    whole, inside = (WHOLE, WHOLE), areas
    is_same_aspect = max(aspects) <= _SAME_ASPECT * min(aspects)
    candidates = [whole, inside] if is_same_aspect else [inside, whole]
    if not is_same_aspect:
        candidates += [(_middle(*aspects), WHOLE), (WHOLE, _middle(*aspects[::-1]))]
    yield from dict.fromkeys(candidates)


def refine(matrix: Matrix, pairs: Sequence[tuple[Gray, Gray]]) -> Matrix:
    """Return a placement corrected by the details of pairs of frames that show the same.

    Each frame votes; where too few can be aligned the placement stays as it is.
    """
    moves = []
    for film, other in pairs:
        size = film.shape[1], film.shape[0]
        placed = sample(other, matrix, size)
        template, picture = (
            255.0 * detail(p.astype(np.float32), _DETAIL_SIGMA) for p in (film, placed)
        )
        mask = np.rint(255.0 * coverage(matrix, size)).astype(np.uint8)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _STEP_SIZE)
        try:
            score, pixels = cv2.findTransformECC(
                template,
                picture,
                np.eye(2, 3, dtype=np.float32),
                cv2.MOTION_AFFINE,
                criteria,
                cv2.erode(mask, None, iterations=2),
                _BLUR,
            )
        except cv2.error:  # it did not converge
            continue
        if score >= _MIN_ALIGNED:
            to_pixels = np.array([[size[0], 0.0, -0.5], [0.0, size[1], -0.5]])
            moves.append(compose(compose(to_pixels, pixels.astype(float)), inverse(to_pixels)))
    if len(moves) < _MIN_VOTES:
        return matrix
    move: Matrix = np.median(moves, axis=0)
    return compose(move, matrix) if _NO_MOVE < distance(UNCHANGED, move) < _MAX_MOVE else matrix


def _inside(levels: NDArray[np.float64]) -> tuple[float, float]:
    """Return where the lines of a picture begin and end that are no black border, 0 to 1."""
    means, spreads = levels
    is_picture = (means > _MAX_BORDER) | (spreads > _MAX_BORDER_SPREAD)
    if not is_picture.any():
        return 0.0, 1.0
    num = len(means)
    first, last = np.flatnonzero(is_picture)[[0, -1]]
    begin, end = first / num, (last + 1) / num
    if end - begin < _MIN_ACTIVE:
        return 0.0, 1.0
    return (begin if begin > _MIN_BORDER else 0.0), (end if end < 1.0 - _MIN_BORDER else 1.0)


def _middle(aspect: float, wanted: float) -> Area:
    """Return the middle of a picture that has the wanted aspect."""
    if aspect > wanted:
        margin = (1.0 - wanted / aspect) / 2
        return margin, 0.0, 1.0 - margin, 1.0
    margin = (1.0 - aspect / wanted) / 2
    return 0.0, margin, 1.0, 1.0 - margin


def _square(matrix: Matrix) -> NDArray[np.float64]:
    return np.vstack([matrix, [0.0, 0.0, 1.0]])
