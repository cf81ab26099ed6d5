"""Which frames the network colours, and how the picture moves from frame to frame.

The network colours *anchors* only; the frames between take their colours along the motion.
A film is cut into blocks of BLOCK frames. How much the picture moves in a block decides how
many of its frames are anchors, and how hard its motion is looked for: of two blocks that
move little the second needs none.

Blocks begin at multiples of BLOCK in the film's own frame numbers, so that a part of a film
has the anchors of the whole. In the first LEAD frames of a shot they are counted from its
cut instead, so that a shot begins as it would alone. A shot's last frame is an anchor too,
unless there is one right before it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor.flow import COARSE, FINE, GLANCE, Course, Effort, find_courses
from filmcolor.frames import FloatPlane, Gray, LumaFrame, SmallFrame
from filmcolor.small import halved

BLOCK = 16  # frames
GAP = 2 * BLOCK  # frames: an anchor is never further from the next
LEAD = 48  # frames after a cut whose blocks are counted from it
REACH = LEAD + BLOCK  # frames before a frame in which a cut decides where its block begins

_NEAR = 8  # frames: what is nearer to its shot's last frame serves in its place
_SAMPLES = 4  # frames from one whose motion is looked at for the choice to the next


class _Pace(NamedTuple):
    """How blocks are treated up to a speed."""

    speed: float  # mean motion a frame, share of the picture's short side
    spacing: int  # frames from one anchor to the next
    stride: int  # frames over which motion is looked for, and taken for even
    effort: Effort


# chosen on the clips of benchmarks/steadiness.py: figures in train/LOG.md
_STILL, _SLOW = _Pace(0.002, 16, 4, COARSE), _Pace(0.008, 16, 2, FINE)
_QUICK, _WILD = _Pace(float("inf"), 16, 1, FINE), _Pace(float("inf"), 8, 1, FINE)
_CALM = _STILL, _SLOW  # of two such blocks the second needs no anchor of its own
_SERVED = 8  # frames from one anchor to the next where much moves and references serve
_MAX_LOST = 0.08  # of the pixels a frame: beyond it half are gone before the next anchor


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame with its motion since the one before it in its shot, at half the size of ab."""

    frame: LumaFrame
    small: Gray  # (h, w), what the network sees
    is_cut: bool
    guide: Gray  # (h/2, w/2)
    coarse: Gray  # (h/4, w/4), what its motion is found in
    is_anchor: bool
    back: Course | None  # from this frame to the one before; None on the first of a shot
    forth: Course | None  # from the one before to this
    ab: FloatPlane | None = None  # (h/2, w/2, 2), CIELAB, of anchors
    keys: FloatPlane | None = None  # (h/8, w/8, C), of anchors where things are to be told apart
    trust: FloatPlane | None = None  # (h/2, w/2), what its ab weighs; None: 1 everywhere
    fixed: FloatPlane | None = None  # (h/2, w/2), 0..1: how far it keeps its ab, come what may


def every_frame(frames: Iterable[SmallFrame]) -> Iterator[TrackedFrame]:
    """Yield each frame as an anchor of its own, its motion not looked for."""
    for f in frames:
        yield TrackedFrame(f.frame, f.small, f.is_cut, f.guide, halved(f.guide), True, None, None)


class Wishes(NamedTuple):
    """Which frames are to be anchors besides those that the motion asks for, by their numbers."""

    is_given: Callable[[int], bool]  # an anchor itself
    is_served: Callable[[int], bool]  # has anchors near by: one in each block, more where it moves


def track(
    frames: Iterable[SmallFrame], first: int = 0, wishes: Wishes | None = None
) -> Iterator[TrackedFrame]:
    """Yield frames with their motion, anchors chosen, from the block that holds `first` on.

    `first`: number of a frame; those before it are there to tell where blocks begin.
    `wishes`: what else asks for anchors.
    """
    before: list[Gray] = []  # of the last frame, of the same shot
    was_calm = False
    for block in _blocks(frames):
        if block.frames[-1].frame.number >= first:
            pictures = [*before, *(halved(frame.guide) for frame in block.frames)]
            pace = _choose_pace(list(pairwise(pictures))[_SAMPLES // 2 :: _SAMPLES])
            can_rest = was_calm and pace in _CALM and block.is_odd
            yield from _tracked(block, pictures, pace, can_rest, wishes)
            was_calm = pace in _CALM and not block.ends_shot
        before = [] if block.ends_shot else [halved(block.frames[-1].guide)]


@dataclass(frozen=True, slots=True)
class _Block:
    frames: list[SmallFrame]
    is_odd: bool  # of two neighbours one is
    ends_shot: bool


def _blocks(frames: Iterable[SmallFrame]) -> Iterator[_Block]:
    """Yield frames by blocks; the last one ends a shot, for all that is known."""
    block: list[SmallFrame] = []
    cut: int | None = None  # number of the last cut; the film's first frame is one
    start = stop = 0
    for frame in frames:
        number = frame.frame.number
        if block and (frame.is_cut or number >= stop):
            yield _Block(block, _is_odd(start, cut), frame.is_cut)
            block = []
        if frame.is_cut or number == 0:
            cut = number
        if not block:
            start, stop = number, _stop(number, cut)
        block.append(frame)
    if block:
        yield _Block(block, _is_odd(start, cut), True)


def _stop(start: int, cut: int | None) -> int:
    """Return the number of the frame at which the block that begins at `start` ends."""
    if cut is not None and start < cut + LEAD:
        return start + BLOCK
    return (start // BLOCK + 1) * BLOCK


def _is_odd(start: int, cut: int | None) -> bool:
    """Tell whether a block is an odd one, counted as its beginning is."""
    if cut is not None and start < cut + LEAD:
        return (start - cut) // BLOCK % 2 == 1
    is_after_lead = cut is not None and start == cut + LEAD
    return start % GAP == BLOCK and not is_after_lead


def _tracked(
    block: _Block,
    pictures: Sequence[Gray],
    pace: _Pace,
    can_rest: bool,
    wishes: Wishes | None,
) -> Iterator[TrackedFrame]:
    """Yield a block's frames; `pictures`: theirs, and the last one before if it is of the shot."""
    num = len(block.frames)
    steps: list[tuple[Course | None, Course | None]] = [(None, None)] * (num + 1 - len(pictures))
    for start in range(0, len(pictures) - 1, pace.stride):
        stop = min(start + pace.stride, len(pictures) - 1)
        courses = find_courses(pictures[start], pictures[stop], pace.effort)
        share = np.float32(1.0 / (stop - start))
        forth, back = courses if stop - start == 1 else (course * share for course in courses)
        steps += [(forth, back)] * (stop - start)
    latest = -BLOCK  # place of the last anchor
    for place, (frame, (forth, back)) in enumerate(zip(block.frames, steps, strict=True)):
        number = frame.frame.number
        is_served = wishes is not None and wishes.is_served(number)
        spacing = _SERVED if is_served and pace not in _CALM else pace.spacing
        is_due = place % spacing == 0 and (is_served or not can_rest or place > 0)
        is_last = block.ends_shot and place == num - 1 and place - latest >= _NEAR
        is_given = wishes is not None and wishes.is_given(number)
        if is_due or is_last or is_given:
            latest = place
        yield TrackedFrame(
            frame=frame.frame,
            small=frame.small,
            is_cut=frame.is_cut,
            guide=frame.guide,
            coarse=pictures[place - num],
            is_anchor=is_due or is_last or is_given,
            back=back,
            forth=forth,
        )


def _choose_pace(pairs: Sequence[tuple[Gray, Gray]]) -> _Pace:
    """Return how a block is treated, by some pairs of neighbours in it."""
    if not pairs:
        return _STILL
    courses = [find_courses(a, b, GLANCE)[0] for a, b in pairs]
    lost = 1.0 - np.mean([cv2.exp(-cv2.extractChannel(c, 2)).mean() for c in courses])
    if lost > _MAX_LOST:
        return _WILD
    pixels = np.mean([cv2.magnitude(*cv2.split(c)[:2]).mean() for c in courses])
    speed = pixels / min(pairs[0][0].shape)
    return next(pace for pace in (_STILL, _SLOW, _QUICK) if speed <= pace.speed)
