"""Matches the frames of two films of the same scenes in time, by compact signatures.

A signature is the detail of a frame in 16 × 16 cells, 256 bytes: 33 MB for each film of an hour and
a half. On a real film, coloured and encoded again at other sizes, sharpened, brighter, with other
borders, the same frame scores 0.99 to 1.0, cropped by 3 % 0.9; frames of other films score 0.4 at
most. Views that come again score as high as the frame itself, so frames are not matched one by one:

1. Every twelfth frame of the film is compared with all frames of the other. The best few are
   candidates.
2. A chain of candidates in order, at the speed of one frame a frame or one second a second, is
   chosen: departures from the speed cost, and a jump costs no more than a few frames are worth.
3. Around the chain each frame finds its own: the path of the most similar frames in order
   (dynamic time warping in a narrow band, with a state for "not in the other film").
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.guidance.film_placement import Matrix, detail, sample
from filmcolor.types.frames import Gray

Signatures = NDArray[np.int8]  # (N, CELLS * CELLS): unit vectors times _UNIT
CELLS = 16
NONE = -1  # of a frame without a match

_SAMPLED = 4 * CELLS  # pixels a side that a signature is made from
_SIGMA = 2.0  # cells: detail is finer
_UNIT = 500.0  # a cell of 1 in a signature; values above 127 are rare
_SCALE = np.float32(1.0 / _UNIT**2)
_MIN_LENGTH = 0.7  # of a signature that is not blank

_SEED_STEP = 12  # frames
_MIN_SEEDS = 40  # in a short film they are closer
_CANDIDATES = 5  # of each seed
_NUM_COMPARED = 2000  # frames that show whether two films are alike
MIN_SIMILARITY = 0.6  # of two frames that may be the same
_LOOK_BACK = 3000  # candidates before one that may precede it in the chain
_CHAIN_DEVIATION, _CHAIN_JUMP = 0.1, 1.0  # cost of a frame's departure from the speed; at most

_BAND = 8  # frames around the chain in which a frame is searched
_SAME_PIECE = 8  # frames of departure up to which two elements of the chain belong together
_TOLERANCE = 0.1  # of similarity, below that of the chain's frames around one
_DEVIATION, _JUMP, _BACKWARD, _CHANGE = 0.005, 1.0, 1.0, 0.3  # costs of steps of the path
_ROWS, _COLUMNS = 256, 8192  # signatures that are compared at a time


def signature(gray: Gray, matrix: Matrix) -> NDArray[np.int8]:
    """Return the signature of 8-bit luma (h, w) inside an area: `matrix` maps the square to it."""
    values = sample(gray, matrix, (_SAMPLED, _SAMPLED)).astype(np.float32)
    values = cv2.resize(values, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    values = detail(values, _SIGMA) * np.float32(_UNIT)
    return np.rint(values).clip(-127, 127).astype(np.int8).ravel()


def turn_signatures(signatures: Signatures, matrix: Matrix) -> Signatures:
    """Return the signatures of the same frames turned or mirrored: `matrix` is such a map."""
    centers = (np.mgrid[:CELLS, :CELLS] + 0.5).reshape(2, -1) / CELLS
    columns, rows = matrix @ np.stack([centers[1], centers[0], np.ones(CELLS * CELLS)])
    cells = np.floor(rows * CELLS).astype(int) * CELLS + np.floor(columns * CELLS).astype(int)
    return np.ascontiguousarray(signatures[:, cells])


def is_blank(signatures: Signatures) -> NDArray[np.bool_]:
    """Return which frames (N,) show too little to be recognised."""
    squares = np.einsum("ij,ij->i", signatures, signatures, dtype=np.int64)
    blank: NDArray[np.bool_] = squares < (_UNIT * _MIN_LENGTH) ** 2
    return blank


def similarity(first: Signatures, second: Signatures) -> NDArray[np.float32]:
    """Return how similar frames are (N, M), 1 for the same."""
    # sums of integers below 2**24 are exact, so they are the same on every machine
    similar: NDArray[np.float32] = first.astype(np.float32) @ second.T.astype(np.float32)
    similar *= _SCALE
    return similar


def share_alike(film: Signatures, other: Signatures) -> float:
    """Return the share of a film's frames, of some of them, that look like any of the other's."""
    numbers = np.flatnonzero(~is_blank(film))
    numbers = numbers[:: max(1, len(numbers) // _NUM_COMPARED)]
    best = np.zeros(len(numbers), np.float32)
    for row in range(0, len(numbers), _ROWS):
        rows = slice(row, row + _ROWS)
        for column in range(0, len(other), _COLUMNS):
            scores = similarity(film[numbers[rows]], other[column : column + _COLUMNS])
            np.maximum(best[rows], scores.max(axis=1), out=best[rows])
    return float(np.mean(best >= MIN_SIMILARITY)) if len(best) else 0.0


def match_frames(film: Signatures, other: Signatures, speeds: Sequence[float]) -> NDArray[np.int32]:
    """Return the frame of another film (N,) that each frame of a film is, or NONE.

    They increase. `speeds`: frames of the other film per frame of the film that are likely.
    """
    seeds = _candidates(film, other)
    if not len(seeds.numbers):
        return np.full(len(film), NONE, np.int32)
    chains = [(*_chain(seeds, speed), speed) for speed in dict.fromkeys(speeds)]
    _, chain, speed = max(chains, key=lambda c: c[0])
    return _best_path(_band(film, other, seeds, chain, speed), speed)


class _Candidates(NamedTuple):
    """Pairs of frames that may be the same, in the order of the film's."""

    numbers: NDArray[np.int64]  # (K,), of the film
    others: NDArray[np.int64]  # (K,)
    scores: NDArray[np.float32]  # (K,)


def _candidates(film: Signatures, other: Signatures) -> _Candidates:
    """Return the most similar frames of every few frames of a film."""
    step = max(1, min(_SEED_STEP, len(film) // _MIN_SEEDS))
    numbers = np.arange(step // 2, len(film), step)
    numbers = numbers[~is_blank(film[numbers])]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for start in range(0, len(numbers), _ROWS):
        rows = numbers[start : start + _ROWS]
        bests, places = [], []
        for column in range(0, len(other), _COLUMNS):
            scores = similarity(film[rows], other[column : column + _COLUMNS])
            padded = np.pad(scores, ((0, 0), (0, -scores.shape[1] % step)), constant_values=-1.0)
            blocks = padded.reshape(len(rows), -1, step)
            bests.append(blocks.max(axis=2))
            places.append(blocks.argmax(axis=2) + np.arange(blocks.shape[1]) * step + column)
        best, place = np.concatenate(bests, axis=1), np.concatenate(places, axis=1)
        num = min(_CANDIDATES, best.shape[1])
        top = np.argpartition(-best, num - 1, axis=1)[:, :num]
        scores = np.take_along_axis(best, top, axis=1)
        is_similar = scores >= MIN_SIMILARITY
        others = np.take_along_axis(place, top, axis=1)
        found.append(
            (np.repeat(rows, is_similar.sum(axis=1)), others[is_similar], scores[is_similar])
        )
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    columns = list(zip(none, *found))
    return _Candidates(*map(np.concatenate, columns))


def _chain(seeds: _Candidates, speed: float) -> tuple[float, list[int]]:
    """Return the score of the best chain of candidates in order, and their positions."""
    num = len(seeds.numbers)
    totals = np.zeros(num)
    previous = np.full(num, -1)
    begins = np.searchsorted(seeds.numbers, seeds.numbers)  # of candidates of the same frame
    for k in range(num):
        totals[k] = seeds.scores[k] - MIN_SIMILARITY
        before = slice(max(0, begins[k] - _LOOK_BACK), begins[k])
        if before.start == before.stop:
            continue
        steps = seeds.others[k] - seeds.others[before]
        wanted = speed * (seeds.numbers[k] - seeds.numbers[before])
        costs = np.minimum(_CHAIN_DEVIATION * np.abs(steps - wanted), _CHAIN_JUMP)
        values = np.where(steps >= 0, totals[before] - costs, -np.inf)
        best = int(values.argmax())
        if values[best] > 0.0:
            totals[k] += values[best]
            previous[k] = before.start + best
    k = int(totals.argmax())
    score, chain = float(totals[k]), []
    while k >= 0:
        chain.append(k)
        k = int(previous[k])
    return score, chain[::-1]


class _Band(NamedTuple):
    """The frames in which each frame of a film is searched."""

    states: NDArray[np.int32]  # (N, S), of the other film
    scores: NDArray[np.float32]  # (N, S), -1 where there is no such frame
    least: NDArray[np.float32]  # (N,): a frame with a lower score is another one


def _band(
    film: Signatures, other: Signatures, seeds: _Candidates, chain: Sequence[int], speed: float
) -> _Band:
    """Return the frames around the chain."""
    elements, partners = seeds.numbers[chain], seeds.others[chain]
    numbers = np.arange(len(film))
    index = np.searchsorted(elements, numbers, side="right")
    left, right = np.maximum(index - 1, 0), np.minimum(index, len(elements) - 1)
    # as its piece goes on from the element before it, and back from the one after it
    onward = partners[left] + speed * (numbers - elements[left])
    back = partners[right] - speed * (elements[right] - numbers)
    span = np.maximum(elements[right] - elements[left], 1)
    share = (numbers - elements[left]) / span
    between = partners[left] + (partners[right] - partners[left]) * share
    is_one_piece = (np.abs(onward - back) <= _SAME_PIECE) & (left < right)
    centers = np.stack(
        [np.where(is_one_piece, between, onward), np.where(is_one_piece, between, back)], axis=1
    )
    around = np.arange(-_BAND, _BAND + 1, dtype=np.int32)
    states = (np.rint(centers).astype(np.int32)[:, :, None] + around).reshape(len(film), -1)
    is_there = (states >= 0) & (states < len(other))
    scores = np.empty(states.shape, np.float32)
    for start in range(0, len(film), _ROWS):
        part = slice(start, start + _ROWS)
        rows = other[states[part].clip(0, len(other) - 1)].astype(np.float32)  # (n, S, D)
        vectors = film[part].astype(np.float32)[:, :, None]
        scores[part] = (rows @ vectors)[..., 0] * _SCALE
    # grain and codecs make some scenes less similar than others
    near = np.minimum(seeds.scores[chain][left], seeds.scores[chain][right])
    least = np.maximum(near - np.float32(_TOLERANCE), np.float32(MIN_SIMILARITY))
    blank = is_blank(film)
    scores[blank] = least[blank, None]  # as good as any
    scores[~is_there] = -1.0
    return _Band(states, scores, least)


def _best_path(band: _Band, speed: float) -> NDArray[np.int32]:
    """Return the frames (N,) of the best path through a band, or NONE."""
    states, scores, least = band
    num, width = states.shape
    sources = np.empty((num, width + 1), np.int16)  # the last state is NONE
    totals = np.append(scores[0], least[0]).astype(np.float64)
    for n in range(1, num):
        steps = states[n][None, :] - states[n - 1][:, None]
        costs = np.minimum(_DEVIATION * np.abs(steps - speed), _JUMP)
        costs[steps < 0] += _BACKWARD
        options = totals[:width, None] - costs
        best = options.argmax(axis=0)
        values = options[best, np.arange(width)]
        is_new = totals[width] - _CHANGE > values
        sources[n, :width] = np.where(is_new, width, best)
        last = int(totals[:width].argmax())
        is_left = totals[last] - _CHANGE > totals[width]
        sources[n, width] = last if is_left else width
        none = max(totals[last] - _CHANGE, totals[width]) + least[n]
        totals[:width] = np.where(is_new, totals[width] - _CHANGE, values) + scores[n]
        totals[width] = none
    path = np.full(num, NONE, np.int32)
    state = int(totals.argmax())
    for n in range(num - 1, -1, -1):
        if state < width:
            path[n] = states[n, state]
        state = int(sources[n, state])
    return path
