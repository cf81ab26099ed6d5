"""Where a film's references stand: what the stages see of their frames, and their shots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from filmcolor.decode import FrameIndex, read_luma
from filmcolor.errors import InputError
from filmcolor.frames import FilmInfo, FloatPlane, Gray, SmallFrame
from filmcolor.predict import Predictor
from filmcolor.references import Reference
from filmcolor.shots import LOOK, mark_cuts
from filmcolor.small import add_small

NEAREST = 4  # references before a frame, and after it, that may serve it
_CHUNK = 240  # frames that are read at a time, on the way back to a cut


@dataclass(frozen=True, eq=False)
class Site:
    """A reference where it stands in its film.

    `first` and `stop`: its shot (half-open), as far as it was asked for; None is the film's end.
    """

    reference: Reference
    guide: Gray  # (h/2, w/2), of its frame
    keys: FloatPlane  # (h/8, w/8, C), of its frame
    first: int
    stop: int | None

    def holds(self, number: int) -> bool:
        """Tell whether a frame is in the reference's own shot."""
        return self.first <= number and (self.stop is None or number < self.stop)

    @cached_property
    def flat_keys(self) -> FloatPlane:
        """Its keys as rows (N, C)."""
        return np.ascontiguousarray(self.keys.reshape(-1, self.keys.shape[2]))


def find_sites(
    info: FilmInfo,
    references: Sequence[Reference],
    predictor: Predictor,
    short_side: int,
    start: int = 0,
    stop: int | None = None,
    index: FrameIndex | None = None,
) -> list[Site]:
    """Return those references that may serve frames start to stop (half-open), in order.

    Shots are told apart as far as these frames need it: the same part of the film has the
    same shots whatever is asked for. Reads the film between a reference and the nearest cuts
    once more. Raises InputError when a reference's frame cannot be decoded.
    """
    ordered = sorted(references, key=lambda reference: reference.number)
    before = [r for r in ordered if r.number < start]
    after = [r for r in ordered if stop is not None and r.number >= stop]
    near = [*before[-NEAREST:], *ordered[len(before) : len(ordered) - len(after)], *after[:NEAREST]]
    reader = _Reader(info, short_side, index or FrameIndex(info))
    sites: list[Site] = []
    for reference in near:
        number = reference.number
        frame = next(reader.frames(number, number + 1), None)
        if frame is None or frame.frame.number != number:
            raise InputError(
                f"{info.path}: frame {number}, which a reference is of, cannot be decoded; "
                "choose another frame"
            )
        edges = _edges(number, reader, sites[-1] if sites else None, start, stop)
        keys = predictor.keys_of(frame.small, info.rotation)
        sites.append(Site(reference, frame.guide, keys, *edges))
    return sites


def _edges(
    number: int, reader: "_Reader", before: Site | None, start: int, stop: int | None
) -> tuple[int, int | None]:
    """Return the range of frames around a reference's; `before`: the reference before it."""
    if before is None:
        return reader.cut_before(number, start), reader.cut_after(number, stop)
    if before.holds(number):
        return before.first, before.stop
    floor = max(start, before.reference.number)
    first = reader.cut_before(number, floor)
    if first <= floor == before.reference.number:
        first = before.first  # one shot, whose end was not asked for
    return first, reader.cut_after(number, stop)


class _Reader:
    """Reads a film's small frames here and there."""

    def __init__(self, info: FilmInfo, short_side: int, index: FrameIndex) -> None:
        self._info, self._short_side, self._index = info, short_side, index

    def frames(self, first: int, stop: int | None) -> Iterator[SmallFrame]:
        """Yield frames first to stop (half-open)."""
        lumas = read_luma(self._info, first, stop, self._index)
        return add_small(lumas, self._info, self._short_side)

    def cut_before(self, number: int, start: int) -> int:
        """Return the first frame of the shot of a frame, or one at or before `start`."""
        first = number
        while first > start:
            last, first = first, max(0, first - _CHUNK)
            cuts = list(self._cuts(first + 1, last + 1))
            if cuts:
                return cuts[-1]
        return min(first, start)

    def cut_after(self, number: int, stop: int | None) -> int | None:
        """Return the first frame of the next shot, or `stop` where it begins later."""
        if stop is not None and number >= stop:
            return number + 1
        return next(self._cuts(number + 1, stop), stop)

    def _cuts(self, first: int, stop: int | None) -> Iterator[int]:
        """Yield the numbers from first to stop (half-open) at which a shot begins."""
        beyond = None if stop is None else stop + LOOK
        for frame in mark_cuts(self.frames(max(0, first - LOOK), beyond)):
            number = frame.frame.number
            if stop is not None and number >= stop:
                return
            if frame.is_cut and number >= first:
                yield number
