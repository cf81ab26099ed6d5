"""What of a damaged film could not be shown as it was, in words."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from filmcolor.decode import FrameIndex
from filmcolor.frames import DAMAGED, RETIMED, FilmInfo, Part
from filmcolor.timecodes import timecode

_MOST_PLACES = 5  # that a line names


def damage_of(
    info: FilmInfo, index: FrameIndex, part: Part, pts: Sequence[int], faults: Mapping[int, str]
) -> tuple[str, ...]:
    """Return a line for each kind of damage, with how many frames it met and where.

    `pts`: of the frames that were coloured; `faults`: of those which were not whole, by pts.
    """
    found = []
    if index.is_exact or index.is_guessed:
        stop = len(index.pts) if part.stop is None else part.stop
        shown = set(pts)
        missing = [n for n in range(part.first, stop) if index.pts[n] not in shown]
        if missing:
            places = [(number, index.pts[number]) for number in missing]
            found.append(
                f"{_frames(len(missing))} could not be decoded, the one before is shown longer: "
                + _places(places, info)
            )
    elif part.stop is None and not info.is_interlaced:  # of those, two fields may be a frame
        num_missing = index.num_packets - index.num_hidden - part.first - len(pts)
        if num_missing > 0:
            found.append(f"{_frames(num_missing)} could not be decoded")
    for fault, told in (
        (DAMAGED, "damaged, coloured as far as they could be decoded"),
        (RETIMED, "without a time of their own, shown right after the one before"),
    ):
        places = [(n, time) for n, time in enumerate(pts, part.first) if faults.get(time) == fault]
        if places:
            found.append(f"{_frames(len(places))} {told}: {_places(places, info)}")
    if part.stop is None and index.num_packets < index.num_promised:
        found.append(
            f"the film ends after {index.num_packets} of the {index.num_promised} frames that "
            "its header promises: it is not complete"
        )
    return tuple(found)


def _frames(num: int) -> str:
    return "1 frame" if num == 1 else f"{num} frames"


def _places(frames: Sequence[tuple[int, int]], info: FilmInfo) -> str:
    """Name runs of frames, (number, pts), by the time of their first."""
    runs = [
        [frame for _, frame in run]
        for _, run in groupby(enumerate(frames), key=lambda item: item[1][0] - item[0])
    ]
    named = []
    for run in runs[:_MOST_PLACES]:
        (first, pts), (last, _) = run[0], run[-1]
        when = timecode(max(0.0, float((pts - info.start_pts) * info.time_base)))
        numbers = f"frame {first}" if first == last else f"frames {first} to {last}"
        named.append(f"{when} ({numbers})")
    rest = len(runs) - len(named)
    return ", ".join(named) + (f" and {rest} more places" if rest else "")
