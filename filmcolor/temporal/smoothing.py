"""Steadies ab in time along the motion, inside a shot, over a finite window.

Every anchor's colour becomes the weighted mean of the colours that the network gave the same
objects at the anchors around it. Frames between two anchors blend the colours of both. A colour
weighs less the further away in time it is, the more uncertain its flow, and the more the luma
differs, so occluded and mismatched pixels drop out. Differences of luma are taken less their mean:
an exposure that flickers is no disagreement. The mean of unlike hues is paler than they are, so
the mean keeps the mean C*² of its colours.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from filmcolor.errors import SettingsError
from filmcolor.kernels import ops
from filmcolor.kernels.ops import WarpSource
from filmcolor.temporal.anchors import BLOCK, LEAD, MAX_GAP, REACH
from filmcolor.types.frames import AbFrame, FloatPlane, PredictedFrame, TrackedFlow, TrackedFrame

DEFAULT = "normal"
# seconds before and after a frame that steady it; those after cost memory, which holds that many
# full-size frames
_SECONDS = {
    "off": (Fraction(0), Fraction(0)),
    "light": (Fraction(2, 3), Fraction(2, 3)),
    "normal": (Fraction(4), Fraction(4, 3)),
    "strong": (Fraction(6), Fraction(2)),
}
LEVELS = tuple(_SECONDS)
_MAX_PAST, _MAX_FUTURE = 144, LEAD  # frames: a shot's first frame looks no further than LEAD
_MIXTURE_CONFIDENCE = 0.01  # of an anchor in a dissolve: its colours are those of no shot
_LUMA_SIGMA = 20.0  # 8-bit codes of luma at which the weight has fallen to 61 %
_MAX_GAIN = 1.25  # of chroma, over that of the plain mean
_EXPOSURE_STRIDE = 2  # pixels between those that measure the change of exposure
_MIN_WEIGHT = 1e-2  # of uncertain colours, where there are no others


class Window(NamedTuple):
    """How many frames before and after a frame steady it; (0, 0) turns smoothing off."""

    past: int
    future: int

    @property
    def is_off(self) -> bool:
        """True when the network colours every frame and nothing is averaged."""
        return self == (0, 0)

    @property
    def context(self) -> "Window":
        """How many frames around a part decide its colours, without shot detection."""
        if self.is_off:
            return Window(0, 0)
        # an anchor on either side, its window, the block that chooses an anchor there, and the
        # block before that, because of two calm blocks one has no anchor
        return Window(self.past + MAX_GAP + 2 * BLOCK + REACH, self.future + MAX_GAP + BLOCK)


def window_for(level: str, frame_rate: Fraction) -> Window:
    """Return the window of a level of LEVELS: at least a block, but for "off".

    Raises SettingsError for an unknown level.
    """
    if level not in _SECONDS:
        raise SettingsError(f"smooth {level!r} must be one of {', '.join(LEVELS)}")
    past, future = _SECONDS[level]
    if not past:
        return Window(0, 0)
    return Window(
        min(_MAX_PAST, max(BLOCK, math.ceil(frame_rate * past))),
        min(_MAX_FUTURE, max(BLOCK, math.ceil(frame_rate * future))),
    )


def smooth_ab(frames: Iterable[PredictedFrame], window: Window) -> Iterator[AbFrame]:
    """Yield each frame with its ab (h/2, w/2, 2), steadied over the window.

    Anchors must have their `ab`. Never reaches across a cut: a shot's first frame is what that
    shot gives alone.
    """
    shot = _ShotSmoother(window)
    for frame in frames:
        if frame.tracked.is_cut:
            yield from shot.finish()
            shot = _ShotSmoother(window)
        yield from shot.add(frame)
    yield from shot.finish()


class _Anchor:
    """An anchor with the flows to and from the previous one, and its colour before and after."""

    def __init__(
        self, frame: PredictedFrame, backward: TrackedFlow | None, forward: TrackedFlow | None
    ) -> None:
        assert frame.ab is not None
        self.frame, self.number = frame.tracked, frame.tracked.source.number
        self.backward, self.forward = backward, forward
        self.ab, self.pinned = frame.ab, frame.pinned
        confidence = frame.confidence
        if frame.tracked.is_mixture and frame.pinned is None:
            ones = np.ones(frame.ab.shape[:2], np.float32) if confidence is None else confidence
            confidence = ones * np.float32(_MIXTURE_CONFIDENCE)
        self.payload = _payload(frame.ab, confidence)
        self.steadied: FloatPlane | None = None  # (h, w, 2)
        self.warpable: FloatPlane | None = None  # the same in four channels


@dataclass(slots=True)
class _Between:
    """A frame between two anchors, with its flows to them."""

    frame: TrackedFrame
    to_previous: TrackedFlow | None
    to_next: TrackedFlow | None = None


class _ShotSmoother:
    """The frames of a shot that are not finished yet, and the anchors still needed for them."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._anchors: list[_Anchor] = []
        self._waiting: deque[tuple[list[_Between], _Anchor]] = deque()  # anchors not yielded yet
        self._gap: list[_Between] = []  # frames since the last anchor

    def add(self, frame: PredictedFrame) -> Iterator[AbFrame]:
        """Take the next frame; yield those that are finished now."""
        tracked = frame.tracked
        backward = tracked.backward
        if self._gap and backward is not None and self._gap[-1].to_previous is not None:
            backward = ops.compose(backward, self._gap[-1].to_previous)
        elif not self._anchors:
            backward = None
        if not tracked.is_anchor:
            self._gap.append(_Between(tracked, backward))
            return
        anchor = _Anchor(frame, backward, self._connect_gap(tracked))
        self._anchors.append(anchor)
        self._waiting.append((self._gap, anchor))
        self._gap = []
        yield from self._settle(anchor.number)

    def finish(self) -> Iterator[AbFrame]:
        """Yield the rest at the end of the shot."""
        yield from self._settle(None)
        for between in self._gap:
            yield _blend(between, self._anchors[-1], None)
        self._gap = []

    def _connect_gap(self, anchor: TrackedFrame) -> TrackedFlow | None:
        """Give the frames since the last anchor their flows to this one; return the anchor's."""
        to_next = anchor.forward
        for between in reversed(self._gap):
            between.to_next = to_next
            forward = between.frame.forward
            if to_next is not None and forward is not None:
                to_next = ops.compose(forward, to_next)
        return to_next if self._anchors else None

    def _settle(self, newest: int | None) -> Iterator[AbFrame]:
        """Yield frames up to the last anchor whose window is complete."""
        while self._waiting:
            gap, anchor = self._waiting[0]
            if newest is not None and newest < anchor.number + self._window.future:
                return
            self._waiting.popleft()
            index = self._anchors.index(anchor)
            previous = self._anchors[index - 1] if index else None
            anchor.steadied = self._steady(index)
            anchor.warpable = _four_channels(anchor.steadied)
            for between in gap:
                yield _blend(between, previous, anchor)
            frame = anchor.frame
            yield AbFrame(frame.source, frame.guide, frame.is_cut, anchor.steadied)
            while self._anchors[0].number < anchor.number - self._window.past - BLOCK:
                del self._anchors[0]

    def _steady(self, index: int) -> FloatPlane:
        """Return an anchor's ab (h, w, 2), averaged over its window."""
        anchors, window = self._anchors, self._window
        anchor = anchors[index]
        total = anchor.payload.copy()
        for step, reach in ((-1, window.past), (1, window.future)):
            flow: TrackedFlow | None = None
            other = index
            while 0 <= other + step < len(anchors):
                hop = anchors[other].backward if step < 0 else anchors[other + 1].forward
                other += step
                distance = abs(anchors[other].number - anchor.number)
                if hop is None or distance > reach:
                    break
                flow = hop if flow is None else ops.compose(flow, hop)
                weight = _weight(anchors[other].frame, flow, anchor.frame)
                share = 1.0 - (distance / (reach + 1)) ** 2
                source = WarpSource(anchors[other].payload, flow, weight, factor=share)
                ops.accumulate_warped(total, source)
        total /= _four_times(cv2.extractChannel(total, 3))
        steadied = _restore_chroma(total)
        if anchor.pinned is not None:
            steadied += (anchor.ab - steadied) * anchor.pinned[..., None]
        return steadied


def _payload(ab: FloatPlane, confidence: FloatPlane | None) -> FloatPlane:
    """Return a, b, C*² and 1 (H, W, 4), each times the confidence."""
    a, b = cv2.extractChannel(ab, 0), cv2.extractChannel(ab, 1)
    payload: FloatPlane = cv2.merge([a, b, a * a + b * b, np.ones_like(a)])
    if confidence is not None:
        payload *= _four_times(confidence)
    return payload


def _restore_chroma(mean: FloatPlane) -> FloatPlane:
    """Return the ab of a mean payload, with the chroma that averaging unlike hues loses."""
    a, b, squared, _ = cv2.split(mean)
    gain = np.sqrt((squared + 1e-6) / (a * a + b * b + 1e-6))
    np.minimum(gain, _MAX_GAIN, out=gain)
    restored: FloatPlane = cv2.merge([a * gain, b * gain])
    return restored


def _four_times(plane: FloatPlane) -> FloatPlane:
    merged: FloatPlane = cv2.merge([plane] * 4)
    return merged


def _four_channels(ab: FloatPlane) -> FloatPlane:
    """Return ab (H, W, 2) as the values (H, W, 4) of a warp source."""
    values = np.zeros((*ab.shape[:2], 4), np.float32)
    values[..., :2] = ab
    return values


def _weight(source: TrackedFrame, flow: TrackedFlow, frame: TrackedFrame) -> FloatPlane:
    """Return the weight, 0 to 1 (h, w), of what a frame warps from a source frame."""
    per_square = -0.5 / _LUMA_SIGMA**2
    return ops.warp_weight(source.coarse, flow, frame.coarse, per_square, _EXPOSURE_STRIDE)


def _blend(between: _Between, previous: _Anchor | None, following: _Anchor | None) -> AbFrame:
    """Return a frame between two anchors with the colours of both, the nearer one's more."""
    frame = between.frame
    sources = []
    for anchor, flow in ((previous, between.to_previous), (following, between.to_next)):
        if anchor is not None and flow is not None:
            assert anchor.warpable is not None
            weight = _weight(anchor.frame, flow, frame)
            # large beside the fallback's guard against dividing by zero
            factor = 1e4 / abs(anchor.number - frame.source.number)
            sources.append(WarpSource(anchor.warpable, flow, weight, _MIN_WEIGHT, factor))
    ab = ops.blend_warped(sources[0], sources[-1])
    return AbFrame(frame.source, frame.guide, frame.is_cut, ab)
