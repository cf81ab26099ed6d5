"""Chooses the frames that the network colours, and estimates the motion between neighbours.

The network colours *anchors* only; the frames between take their colours along the motion. That is
not only cheaper: distant anchors err independently, so their mean is steadier and closer to the
truth than that of neighbours (`train/LOG.md`). A film is cut into blocks of BLOCK frames. How
much the picture moves in a block decides how many of its frames are anchors, and how much effort
its motion gets; of two consecutive calm blocks the second has no anchor at its start.

Blocks begin at multiples of BLOCK in the film's own frame numbers, so that a part of a film has
the anchors of the whole. In the first LEAD frames of a shot they are counted from its cut instead,
so that a shot begins as it would alone. A shot's last frame is an anchor too, unless one is right
before it. Where references serve, busy blocks get twice the anchors: each anchor is matched with
them by itself, and fast objects get lost between distant anchors (0.3 dB).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor.temporal.flow import COARSE, FINE, GLANCE, Effort, find_tracked_flows
from filmcolor.types.frames import Gray, ProxyFrame, TrackedFlow, TrackedFrame
from filmcolor.video.proxy import halve

BLOCK = 16  # frames
MAX_GAP = 2 * BLOCK  # frames between anchors, at most
LEAD = 48  # frames after a cut whose blocks are counted from it
REACH = LEAD + BLOCK  # frames before a frame in which a cut decides where its block begins

_MIN_TAIL = 8  # frames: an anchor closer than this to its shot's last frame serves in its place
_SAMPLE_STRIDE = 4  # frames between those whose motion decides the pace


class _Pace(NamedTuple):
    """How a block is treated, up to a speed."""

    speed: float  # mean motion per frame, share of the picture's short side
    spacing: int  # frames from one anchor to the next
    stride: int  # frames over which motion is estimated, and taken as uniform
    effort: Effort


# chosen on the clips of benchmarks/steadiness.py: figures in train/LOG.md
_STILL, _SLOW = _Pace(0.002, 16, 4, COARSE), _Pace(0.008, 16, 2, FINE)
_QUICK, _WILD = _Pace(float("inf"), 16, 1, FINE), _Pace(float("inf"), 8, 1, FINE)
_CALM = _STILL, _SLOW  # of two such blocks the second has no anchor at its start
_REFERENCE_SPACING = 8  # frames from one anchor to the next in busy blocks with references
_MAX_OCCLUDED = 0.08  # share of pixels per frame: above it half are gone before the next anchor


def _is_never(_: int) -> bool:
    return False


class AnchorRequests(NamedTuple):
    """Frames that must be anchors besides those that the motion asks for, by number."""

    is_reference: Callable[[int], bool]  # the frame must be an anchor
    has_references: Callable[[int], bool]  # its block must have anchors, more where it is busy
    is_given: Callable[[int], bool] = _is_never  # a guide colours the frame, without the network


def every_frame(frames: Iterable[ProxyFrame]) -> Iterator[TrackedFrame]:
    """Yield each frame as an anchor, without motion."""
    for f in frames:
        yield TrackedFrame(f.source, f.luma, f.is_cut, f.guide, halve(f.guide), True, None, None)


def track(
    frames: Iterable[ProxyFrame], first: int = 0, requests: AnchorRequests | None = None
) -> Iterator[TrackedFrame]:
    """Yield frames with their motion and chosen anchors, from the block that holds `first` on.

    `first`: a frame number; earlier frames only locate the blocks.
    `requests`: further anchors.
    """
    previous: list[Gray] = []  # the last frame before the block, if it is of the same shot
    was_calm = False
    for block in _blocks(frames):
        if block.frames[-1].source.number >= first:
            pictures = [*previous, *(halve(frame.guide) for frame in block.frames)]
            pace = _choose_pace(list(pairwise(pictures))[_SAMPLE_STRIDE // 2 :: _SAMPLE_STRIDE])
            can_rest = was_calm and pace in _CALM and block.is_odd
            yield from _track_block(block, pictures, pace, can_rest, requests)
            was_calm = pace in _CALM and not block.ends_shot
        previous = [] if block.ends_shot else [halve(block.frames[-1].guide)]


@dataclass(frozen=True, slots=True)
class _Block:
    frames: list[ProxyFrame]
    is_odd: bool  # one of two neighbours is
    ends_shot: bool


def _blocks(frames: Iterable[ProxyFrame]) -> Iterator[_Block]:
    """Yield frames by blocks; the last one counts as the end of a shot."""
    block: list[ProxyFrame] = []
    cut: int | None = None  # number of the last cut; the film's first frame is one
    start = stop = 0
    for frame in frames:
        number = frame.source.number
        if block and (frame.is_cut or number >= stop):
            yield _Block(block, _is_odd(start, cut), frame.is_cut)
            block = []
        if frame.is_cut or number == 0:
            cut = number
        if not block:
            start, stop = number, _block_stop(number, cut)
        block.append(frame)
    if block:
        yield _Block(block, _is_odd(start, cut), True)


def _block_stop(start: int, cut: int | None) -> int:
    """Return the frame number at which the block that begins at `start` ends."""
    if cut is not None and start < cut + LEAD:
        return start + BLOCK
    return (start // BLOCK + 1) * BLOCK


def _is_odd(start: int, cut: int | None) -> bool:
    """Return whether a block is odd, counted from where its beginning is counted."""
    if cut is not None and start < cut + LEAD:
        return (start - cut) // BLOCK % 2 == 1
    is_after_lead = cut is not None and start == cut + LEAD
    return start % MAX_GAP == BLOCK and not is_after_lead


def _track_block(
    block: _Block,
    pictures: Sequence[Gray],
    pace: _Pace,
    can_rest: bool,
    requests: AnchorRequests | None,
) -> Iterator[TrackedFrame]:
    """Yield a block's frames; `pictures` are theirs, after the previous one of the same shot."""
    num = len(block.frames)
    steps: list[tuple[TrackedFlow | None, TrackedFlow | None]]
    steps = [(None, None)] * (num + 1 - len(pictures))
    for start in range(0, len(pictures) - 1, pace.stride):
        stop = min(start + pace.stride, len(pictures) - 1)
        flows = find_tracked_flows(pictures[start], pictures[stop], pace.effort)
        share = np.float32(1.0 / (stop - start))
        forward, backward = flows if stop - start == 1 else (flow * share for flow in flows)
        steps += [(forward, backward)] * (stop - start)
    last_anchor = -BLOCK  # position in the block
    for position, (frame, step) in enumerate(zip(block.frames, steps, strict=True)):
        number = frame.source.number
        has_references = requests is not None and requests.has_references(number)
        spacing = _REFERENCE_SPACING if has_references and pace not in _CALM else pace.spacing
        is_due = position % spacing == 0 and (has_references or not can_rest or position > 0)
        is_last = block.ends_shot and position == num - 1 and position - last_anchor >= _MIN_TAIL
        is_reference = requests is not None and requests.is_reference(number)
        is_own = is_due or is_last or is_reference
        if is_own:
            last_anchor = position
        is_given = not is_own and requests is not None and requests.is_given(number)
        yield TrackedFrame(
            source=frame.source,
            luma=frame.luma,
            is_cut=frame.is_cut,
            guide=frame.guide,
            coarse=pictures[position - num],
            is_anchor=is_own or is_given,
            backward=step[1],
            forward=step[0],
            is_mixture=frame.is_mixture,
            is_given=is_given,
        )


def _choose_pace(pairs: Sequence[tuple[Gray, Gray]]) -> _Pace:
    """Return how a block is treated, judged by some pairs of neighbours in it."""
    if not pairs:
        return _STILL
    flows = [find_tracked_flows(a, b, GLANCE)[0] for a, b in pairs]
    occluded = 1.0 - np.mean([cv2.exp(-cv2.extractChannel(flow, 2)).mean() for flow in flows])
    if occluded > _MAX_OCCLUDED:
        return _WILD
    pixels = np.mean([cv2.magnitude(*cv2.split(flow)[:2]).mean() for flow in flows])
    speed = pixels / min(pairs[0][0].shape)
    return next(pace for pace in (_STILL, _SLOW, _QUICK) if speed <= pace.speed)
