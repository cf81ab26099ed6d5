"""Locates each reference in its film: the low-res frame it belongs to, and its shot."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from filmcolor.errors import InputError
from filmcolor.guidance.references import Reference
from filmcolor.shots.detector import CONTEXT_FRAMES, mark_cuts
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import FloatPlane, Gray, ProxyFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

MAX_NEIGHBORS = 4  # references before a frame, and after it, that may serve it
_FRAMES_BACK = 64  # read at first on the way back to a cut; doubled each time


class ShotSource(Protocol):
    """Reads frames and cuts of a film, in any order."""

    def frame(self, number: int, /) -> ProxyFrame | None:
        """Return a frame, None where it cannot be decoded."""

    def cuts(self, first: int, stop: int, /) -> Iterator[int]:
        """Yield the numbers from first to stop (half-open) at which a shot begins."""


class GivenColors(Protocol):
    """A frame's given colours, as `Reference` has them; they may be computed when they are read."""

    @property
    def number(self) -> int: ...
    @property
    def ab(self) -> FloatPlane: ...
    @property
    def coverage(self) -> FloatPlane: ...


class ReferenceFrame(Protocol):
    """A frame whose colours are propagated, as `PlacedReference` is; compared by identity."""

    def __hash__(self) -> int: ...

    @property
    def reference(self) -> GivenColors: ...
    @property
    def luma(self) -> Gray: ...
    @property
    def guide(self) -> Gray: ...
    def holds(self, number: int, /) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class PlacedReference:
    """A reference with the proxy of its frame and the bounds of its shot.

    `first` and `stop` (half-open) bound the shot only as far as they had to be searched for: where
    frames are coloured in order, later frames belong to it until a cut comes.
    """

    reference: Reference
    luma: Gray  # (h, w), of its frame
    guide: Gray  # (h/2, w/2)
    first: int
    stop: int | None

    def holds(self, number: int) -> bool:
        """Return whether a frame is in the reference's own shot."""
        return self.first <= number and (self.stop is None or number < self.stop)


def place_references(
    info: FilmInfo,
    references: Sequence[Reference],
    short_side: int,
    start: int = 0,
    stop: int | None = None,
    index: FrameIndex | None = None,
    source: ShotSource | None = None,
) -> list[PlacedReference]:
    """Return the references that may serve frames start to stop (half-open), in order.

    Reads the frames between a reference and the beginning of its shot, or the previous reference;
    for references before `start`, those from there to `start`. `source`: reads the film's frames,
    where some are known already. Raises InputError when a reference's
    frame cannot be decoded.
    """
    near = near_references(references, start, stop)
    if source is None:
        index = index or FrameIndex.read(info)
        source = _Film(info, short_side, index, {r.number for r in near})
    reader = _Reader(info, source)
    placed: list[PlacedReference] = []
    for reference in near:
        number = reference.number
        if number < start:
            first, end = number, reader.cut_after(number, start)
        else:
            floor = max(start, placed[-1].reference.number) if placed else start
            first, end = reader.cut_before(number, floor), None
            if placed and first <= floor == placed[-1].reference.number:
                first = placed[-1].first
        frame = reader.frame(number)
        placed.append(PlacedReference(reference, frame.luma, frame.guide, first, end))
    return placed


def near_references(
    references: Sequence[Reference], start: int, stop: int | None
) -> list[Reference]:
    """Return the references that may serve frames start to stop (half-open), in order."""
    ordered = sorted(references, key=lambda reference: reference.number)
    before = [r for r in ordered if r.number < start]
    after = [r for r in ordered if stop is not None and r.number >= stop]
    inside = ordered[len(before) : len(ordered) - len(after)]
    return [*before[-MAX_NEIGHBORS:], *inside, *after[:MAX_NEIGHBORS]]


def find_cuts(
    proxies: Callable[[int, int], Iterable[ProxyFrame]], first: int, stop: int
) -> Iterator[int]:
    """Yield the numbers from first to stop (half-open) at which a shot begins.

    `proxies`: returns frames first to stop (half-open) of the film.
    """
    for frame in mark_cuts(proxies(max(0, first - CONTEXT_FRAMES), stop + CONTEXT_FRAMES)):
        number = frame.source.number
        if number >= stop:
            return
        if frame.is_cut and number >= first:
            yield number


class _Film:
    """Reads a film's frames and cuts, and keeps the frames of references."""

    def __init__(
        self, info: FilmInfo, short_side: int, index: FrameIndex, numbers: set[int]
    ) -> None:
        self._info, self._short_side, self._index = info, short_side, index
        self._numbers = numbers
        self._kept: dict[int, ProxyFrame] = {}

    def frame(self, number: int) -> ProxyFrame | None:
        if number not in self._kept:
            for _ in self._frames(number, number + 1):
                pass
        return self._kept.get(number)

    def cuts(self, first: int, stop: int) -> Iterator[int]:
        return find_cuts(self._frames, first, stop)

    def _frames(self, first: int, stop: int) -> Iterator[ProxyFrame]:
        lumas = read_luma(self._info, first, stop, self._index)
        for frame in add_proxies(lumas, self._info, self._short_side):
            if frame.source.number in self._numbers:
                self._kept[frame.source.number] = frame
            yield frame


class _Reader:
    """Finds the frames of references, and the bounds of their shots."""

    def __init__(self, info: FilmInfo, source: ShotSource) -> None:
        self._info, self._source = info, source

    def frame(self, number: int) -> ProxyFrame:
        """Return the frame of a reference."""
        frame = self._source.frame(number)
        if frame is None:
            raise InputError(
                f"{self._info.path}: frame {number} has a reference but cannot be decoded; "
                "choose another frame"
            )
        return frame

    def cut_before(self, number: int, floor: int) -> int:
        """Return the first frame of a frame's shot, or a frame at or before `floor`."""
        first, num = number, _FRAMES_BACK
        while first > floor:
            last, first = first, max(0, first - num)
            cuts = list(self._source.cuts(first + 1, last + 1))
            if cuts:
                return cuts[-1]
            num *= 2
        return min(first, floor)

    def cut_after(self, number: int, stop: int) -> int | None:
        """Return the first cut after a frame and before `stop`, None without one."""
        return next(self._source.cuts(number + 1, stop), None)
