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


Proxies = Callable[[int, int], Iterable[ProxyFrame]]  # of frames first to stop, half-open


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
    proxies: Proxies | None = None,
) -> list[PlacedReference]:
    """Return the references that may serve frames start to stop (half-open), in order.

    Reads the frames between a reference and the beginning of its shot, or the previous reference;
    for references before `start`, those from there to `start`. `proxies`: reads the film's frames,
    where it has some already. Raises InputError when a reference's
    frame cannot be decoded.
    """
    near = near_references(references, start, stop)
    if proxies is None:
        proxies = _read_with(info, short_side, index or FrameIndex.read(info))
    reader = _Reader(info, proxies, {r.number for r in near})
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


def _read_with(info: FilmInfo, short_side: int, index: FrameIndex) -> Proxies:
    def proxies(first: int, stop: int) -> Iterator[ProxyFrame]:
        return add_proxies(read_luma(info, first, stop, index), info, short_side)

    return proxies


class _Reader:
    """Reads a film's proxies in any order, and keeps those of references."""

    def __init__(self, info: FilmInfo, proxies: Proxies, numbers: set[int]) -> None:
        self._info, self._proxies = info, proxies
        self._numbers = numbers
        self._kept: dict[int, ProxyFrame] = {}

    def frame(self, number: int) -> ProxyFrame:
        """Return the frame of a reference."""
        if number not in self._kept:
            for _ in self._frames(number, number + 1):
                pass
        if number not in self._kept:
            raise InputError(
                f"{self._info.path}: frame {number} has a reference but cannot be decoded; "
                "choose another frame"
            )
        return self._kept[number]

    def cut_before(self, number: int, floor: int) -> int:
        """Return the first frame of a frame's shot, or a frame at or before `floor`."""
        first, num = number, _FRAMES_BACK
        while first > floor:
            last, first = first, max(0, first - num)
            cuts = list(self._cuts(first + 1, last + 1))
            if cuts:
                return cuts[-1]
            num *= 2
        return min(first, floor)

    def cut_after(self, number: int, stop: int) -> int | None:
        """Return the first cut after a frame and before `stop`, None without one."""
        return next(self._cuts(number + 1, stop), None)

    def _cuts(self, first: int, stop: int) -> Iterator[int]:
        """Yield the numbers from first to stop (half-open) at which a shot begins."""
        frames = self._frames(max(0, first - CONTEXT_FRAMES), stop + CONTEXT_FRAMES)
        for frame in mark_cuts(frames):
            number = frame.source.number
            if number >= stop:
                return
            if frame.is_cut and number >= first:
                yield number

    def _frames(self, first: int, stop: int) -> Iterator[ProxyFrame]:
        for frame in self._proxies(first, stop):
            if frame.source.number in self._numbers:
                self._kept[frame.source.number] = frame
            yield frame
