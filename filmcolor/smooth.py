"""Steadies ab in time along the motion, inside a shot, over a finite window.

Every anchor's colour becomes the weighted mean of the colours that the network gave the
same things at the anchors around it. The frames between two anchors take the colours of
both. A colour weighs less the further away in time it was given, the more its way there
is in doubt, and the more the luma differs, so that what is hidden or mistaken drops out.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor import native
from filmcolor.anchors import BLOCK, GAP, LEAD, REACH, TrackedFrame
from filmcolor.errors import SettingsError
from filmcolor.flow import Course, fetch, follow
from filmcolor.frames import AbFrame, FloatPlane

DEFAULT = "normal"
# seconds before and after a frame whose colours steady it; more after costs memory, which
# holds so many full-size frames
_SECONDS = {
    "off": (Fraction(0), Fraction(0)),
    "light": (Fraction(2, 3), Fraction(2, 3)),
    "normal": (Fraction(4), Fraction(4, 3)),
    "strong": (Fraction(6), Fraction(2)),
}
LEVELS = tuple(_SECONDS)
_MAX_PAST, _MAX_FUTURE = 144, LEAD  # frames: a shot's first frame looks no further than LEAD
_LUMA_SIGMA = 20.0  # 8-bit steps of luma at which agreement has fallen to 61 %
_MAX_GAIN = 1.25  # of chroma, over that of a mean of colours
_SPARSE = 2  # pixels from one that tells the exposure to the next
_LEAST_WEIGHT = 1e-2  # of colours in doubt, where there are no others


class Window(NamedTuple):
    """How many frames before and after a frame steady it; none: each keeps its own colour."""

    past: int
    future: int

    @property
    def is_off(self) -> bool:
        """True when the network colours every frame and nothing is averaged."""
        return self == (0, 0)

    @property
    def context(self) -> "Window":
        """How many frames around a part decide its colours, shot detection not included."""
        if self.is_off:
            return Window(0, 0)
        # an anchor on either side, its window, the block that chooses an anchor there, and
        # the one before that, for of two calm blocks one rests
        return Window(self.past + GAP + 2 * BLOCK + REACH, self.future + GAP + BLOCK)


def window_of(level: str, frame_rate: Fraction) -> Window:
    """Return the window of a level of LEVELS: never less than a block, but of "off"."""
    if level not in _SECONDS:
        raise SettingsError(f"smooth {level!r} must be one of {', '.join(LEVELS)}")
    past, future = _SECONDS[level]
    if not past:
        return Window(0, 0)
    return Window(
        min(_MAX_PAST, max(BLOCK, math.ceil(frame_rate * past))),
        min(_MAX_FUTURE, max(BLOCK, math.ceil(frame_rate * future))),
    )


def steady(frames: Iterable[TrackedFrame], window: Window) -> Iterator[AbFrame]:
    """Yield each frame with its ab (h/2, w/2, 2), steadied over the window.

    Anchors must have their `ab`. Never reaches across a cut: a shot's first frame is what
    that shot gives alone.
    """
    shot = _Shot(window)
    for frame in frames:
        if frame.is_cut:
            yield from shot.finish()
            shot = _Shot(window)
        yield from shot.add(frame)
    yield from shot.finish()


class _Anchor:
    """An anchor with the ways to the one before it, and its colour before and after."""

    def __init__(self, frame: TrackedFrame, back: Course | None, forth: Course | None) -> None:
        assert frame.ab is not None
        self.frame, self.number = frame, frame.frame.number
        self.back, self.forth = back, forth
        self.given = _payload(frame.ab, frame.trust)
        self.steadied: FloatPlane | None = None
        self.lent: FloatPlane | None = None  # the same, as the frames between fetch it


@dataclass(slots=True)
class _Between:
    """A frame between two anchors, with its ways to them."""

    frame: TrackedFrame
    back: Course | None  # to the anchor before
    ahead: Course | None = None  # to the one after


class _Shot:
    """The frames of a shot that are not done yet, and the anchors that are still needed."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._anchors: list[_Anchor] = []
        self._waiting: deque[tuple[list[_Between], _Anchor]] = deque()  # anchors not emitted
        self._gap: list[_Between] = []  # frames since the last anchor

    def add(self, frame: TrackedFrame) -> Iterator[AbFrame]:
        """Take in the next frame; yield those which are now done."""
        back = frame.back
        if self._gap and back is not None and self._gap[-1].back is not None:
            back = follow(back, self._gap[-1].back)
        elif not self._anchors:
            back = None
        if not frame.is_anchor:
            self._gap.append(_Between(frame, back))
            return
        anchor = _Anchor(frame, back, self._look_ahead(frame))
        self._anchors.append(anchor)
        self._waiting.append((self._gap, anchor))
        self._gap = []
        yield from self._settle(anchor.number)

    def finish(self) -> Iterator[AbFrame]:
        """Yield the rest, when the shot is over."""
        yield from self._settle(None)
        for between in self._gap:
            yield _colored(between, self._anchors[-1], None)
        self._gap = []

    def _look_ahead(self, anchor: TrackedFrame) -> Course | None:
        """Give the frames since the last anchor their ways to this one; return its own there."""
        after, ahead = anchor, anchor.forth
        for between in reversed(self._gap):
            between.ahead = ahead
            after = between.frame
            if ahead is not None and after.forth is not None:
                ahead = follow(after.forth, ahead)
        return ahead if self._anchors else None

    def _settle(self, newest: int | None) -> Iterator[AbFrame]:
        """Yield frames up to the last anchor whose window is complete."""
        while self._waiting:
            gap, anchor = self._waiting[0]
            if newest is not None and newest < anchor.number + self._window.future:
                return
            self._waiting.popleft()
            place = self._anchors.index(anchor)
            before = self._anchors[place - 1] if place else None
            anchor.steadied = anchor.lent = self._steadied(place)
            if native.is_built():
                anchor.lent = native.four_channels(anchor.steadied)
            for between in gap:
                yield _colored(between, before, anchor)
            frame = anchor.frame
            yield AbFrame(frame.frame, frame.guide, frame.is_cut, anchor.steadied)
            while self._anchors[0].number < anchor.number - self._window.past - BLOCK:
                del self._anchors[0]

    def _steadied(self, place: int) -> FloatPlane:
        """Return an anchor's ab with the mean of the colours in its window."""
        anchors, window = self._anchors, self._window
        anchor = anchors[place]
        total = anchor.given.copy()
        for step, reach in ((-1, window.past), (1, window.future)):
            course: Course | None = None
            other = place
            while 0 <= other + step < len(anchors):
                hop = anchors[other].back if step < 0 else anchors[other + 1].forth
                other += step
                distance = abs(anchors[other].number - anchor.number)
                if hop is None or distance > reach:
                    break
                course = hop if course is None else follow(course, hop)
                weight = _weight(anchors[other].frame, course, anchor.frame)
                share = 1.0 - (distance / (reach + 1)) ** 2
                _add(total, native.Way(anchors[other].given, course, weight, factor=share))
        total /= _fourfold(cv2.extractChannel(total, 3))
        steadied = _vivid(total)
        given, fixed = anchor.frame.ab, anchor.frame.fixed
        if given is not None and fixed is not None:
            steadied += (given - steadied) * fixed[..., None]
        return steadied


def _payload(ab: FloatPlane, trust: FloatPlane | None) -> FloatPlane:
    """Return a, b, C*² and 1 (H, W, 4), each times the trust."""
    a, b = cv2.extractChannel(ab, 0), cv2.extractChannel(ab, 1)
    payload: FloatPlane = cv2.merge([a, b, a * a + b * b, np.ones_like(a)])
    if trust is not None:
        payload *= _fourfold(trust)
    return payload


def _add(total: FloatPlane, way: native.Way) -> None:
    """Add what a way fetches, times its weight, to a payload (H, W, 4)."""
    if native.is_built():
        native.add_fetched(total, way)
    else:
        total += fetch(way.values, way.course) * _fourfold(_full_weight(way, total.shape))


def _full_weight(way: native.Way, shape: tuple[int, ...]) -> FloatPlane:
    """Return what a way weighs at the size (H, W) of what it fetches."""
    weight: FloatPlane = cv2.resize(way.weight, shape[1::-1])
    weight += np.float32(way.least)
    weight *= np.float32(way.factor)
    return weight


def _vivid(mean: FloatPlane) -> FloatPlane:
    """Return the ab of a mean payload, given back what means of hues lose in chroma.

    The mean of unlike colours is paler than they are; the mean of their C*² is not.
    """
    a, b, squared, _ = cv2.split(mean)
    gain = np.sqrt((squared + 1e-6) / (a * a + b * b + 1e-6))
    np.minimum(gain, _MAX_GAIN, out=gain)
    vivid: FloatPlane = cv2.merge([a * gain, b * gain])
    return vivid


def _fourfold(plane: FloatPlane) -> FloatPlane:
    fourfold: FloatPlane = cv2.merge([plane] * 4)
    return fourfold


def _weight(source: TrackedFrame, course: Course, frame: TrackedFrame) -> FloatPlane:
    """Return how much what a frame fetches along a course counts, 0 to 1, (h, w).

    The mean difference of luma between what is seen in both pictures is a change of
    exposure, and no reason to doubt.
    """
    per_square = -0.5 / _LUMA_SIGMA**2
    if native.is_built():
        return native.weigh(source.coarse, course, frame.coarse, per_square, _SPARSE)
    doubt = cv2.extractChannel(course, 2)
    fetched = fetch(source.coarse, course)
    difference = cv2.subtract(fetched, frame.coarse, dtype=cv2.CV_32F)
    some = slice(None, None, _SPARSE)
    seen = np.exp(-doubt[some, some])
    difference -= float((difference[some, some] * seen).sum() / (seen.sum() + 1e-6))
    difference *= difference
    difference *= per_square
    difference -= doubt
    weight: FloatPlane = cv2.exp(difference)
    return weight


def _colored(between: _Between, before: _Anchor | None, after: _Anchor | None) -> AbFrame:
    """Return a frame between two anchors with the colours of both, the nearer one's more."""
    frame = between.frame
    ways = []
    for anchor, course in ((before, between.back), (after, between.ahead)):
        if anchor is not None and course is not None:
            assert anchor.lent is not None
            weight = _weight(anchor.frame, course, frame)
            # large, as blendLinear adds 1e-5 to their sum
            factor = 1e4 / abs(anchor.number - frame.frame.number)
            ways.append(native.Way(anchor.lent, course, weight, _LEAST_WEIGHT, factor))
    return AbFrame(frame.frame, frame.guide, frame.is_cut, _blended(ways[0], ways[-1]))


def _blended(first: native.Way, second: native.Way) -> FloatPlane:
    """Return the weighted mean ab (H, W, 2) of what two ways fetch."""
    if native.is_built():
        return native.blend_fetched(first, second)
    ways = first, second
    fetched = (fetch(way.values, way.course) for way in ways)
    blended: FloatPlane = cv2.blendLinear(
        *fetched, *(_full_weight(way, way.values.shape) for way in ways)
    )
    return blended
