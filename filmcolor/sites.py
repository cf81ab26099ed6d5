"""Where a film's references stand: what the stages see of their frames, and their shots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filmcolor.decode import FrameIndex, read_luma
from filmcolor.errors import InputError
from filmcolor.frames import FilmInfo, Gray, SmallFrame
from filmcolor.references import Reference
from filmcolor.shots import LOOK, mark_cuts
from filmcolor.small import add_small

NEAREST = 4  # references before a frame, and after it, that may serve it
_FRAMES_BACK = 64  # that are read at first on the way back to a cut; then twice as many


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A reference where it stands in its film.

    `first` and `stop`: its shot (half-open), as far as it had to be looked for: where frames
    are coloured in order, those that follow it are known to be of its shot until a cut comes.
    """

    reference: Reference
    small: Gray  # (h, w), of its frame
    guide: Gray  # (h/2, w/2)
    first: int
    stop: int | None

    def holds(self, number: int) -> bool:
        """Tell whether a frame is in the reference's own shot."""
        return self.first <= number and (self.stop is None or number < self.stop)


def find_sites(
    info: FilmInfo,
    references: Sequence[Reference],
    short_side: int,
    start: int = 0,
    stop: int | None = None,
    index: FrameIndex | None = None,
) -> list[Site]:
    """Return those references that may serve frames start to stop (half-open), in order.

    Reads what lies between a reference and the beginning of its shot, or the last reference
    before it; of those before `start` what lies from there to `start`. Raises InputError when
    a reference's frame cannot be decoded.
    """
    ordered = sorted(references, key=lambda reference: reference.number)
    before = [r for r in ordered if r.number < start]
    after = [r for r in ordered if stop is not None and r.number >= stop]
    near = [*before[-NEAREST:], *ordered[len(before) : len(ordered) - len(after)], *after[:NEAREST]]
    reader = _Reader(info, short_side, index or FrameIndex(info), {r.number for r in near})
    sites: list[Site] = []
    for reference in near:
        number = reference.number
        if number < start:
            first, end = number, reader.cut_after(number, start)
        else:
            floor = max(start, sites[-1].reference.number) if sites else start
            first, end = reader.cut_before(number, floor), None
            if sites and first <= floor == sites[-1].reference.number:
                first = sites[-1].first
        frame = reader.frame(number)
        sites.append(Site(reference, frame.small, frame.guide, first, end))
    return sites


class _Reader:
    """Reads a film's small frames here and there, and keeps those of references."""

    def __init__(
        self, info: FilmInfo, short_side: int, index: FrameIndex, numbers: set[int]
    ) -> None:
        self._info, self._short_side, self._index = info, short_side, index
        self._numbers = numbers
        self._kept: dict[int, SmallFrame] = {}

    def frame(self, number: int) -> SmallFrame:
        """Return the frame of a reference."""
        if number not in self._kept:
            for _ in self._frames(number, number + 1):
                pass
        if number not in self._kept:
            raise InputError(
                f"{self._info.path}: frame {number}, which a reference is of, cannot be decoded; "
                "choose another frame"
            )
        return self._kept[number]

    def cut_before(self, number: int, floor: int) -> int:
        """Return the first frame of the shot of a frame, or one at or before `floor`."""
        first, num = number, _FRAMES_BACK
        while first > floor:
            last, first = first, max(0, first - num)
            cuts = list(self._cuts(first + 1, last + 1))
            if cuts:
                return cuts[-1]
            num *= 2
        return min(first, floor)

    def cut_after(self, number: int, stop: int) -> int | None:
        """Return the first cut after a frame and before `stop`; None without one."""
        return next(self._cuts(number + 1, stop), None)

    def _cuts(self, first: int, stop: int) -> Iterator[int]:
        """Yield the numbers from first to stop (half-open) at which a shot begins."""
        for frame in mark_cuts(self._frames(max(0, first - LOOK), stop + LOOK)):
            number = frame.frame.number
            if number >= stop:
                return
            if frame.is_cut and number >= first:
                yield number

    def _frames(self, first: int, stop: int) -> Iterator[SmallFrame]:
        lumas = read_luma(self._info, first, stop, self._index)
        for frame in add_small(lumas, self._info, self._short_side):
            if frame.frame.number in self._numbers:
                self._kept[frame.frame.number] = frame
            yield frame
