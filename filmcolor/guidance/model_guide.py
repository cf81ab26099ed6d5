"""Carries the colours of a model through a film: it colours key frames, which serve as references.

A good model takes seconds for a picture, and its colours change from frame to frame. Here it sees
one frame of each shot or every few seconds, and `ReferencePropagator` carries their colours to the
anchors of that shot. Where something new enters, the colours of filmcolor's own network remain.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from filmcolor.guidance.anchor_settings import SHOT, seconds_between
from filmcolor.guidance.guides import Guide
from filmcolor.guidance.model_colors import ModelColors
from filmcolor.guidance.propagation import ReferencePropagator
from filmcolor.shots.key_frames import Span, SpanRule, find_spans
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import FloatPlane, Gray, PredictedFrame
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import halve

_SHOT_SECONDS = 8.0  # a longer shot is divided
_MAX_KEY_FRAMES = 3  # of such a part
_MIN_SHORTEST = 4  # frames of a span at an end of its shot


def span_rule(anchors: str, frame_rate: Fraction) -> SpanRule:
    """Return how a film is divided into spans whose key frames a model colours.

    `anchors`: SHOT, or a number of seconds.
    """
    is_shot = anchors == SHOT
    seconds = _SHOT_SECONDS if is_shot else seconds_between(anchors)
    period = max(1, round(seconds * float(frame_rate)))
    return SpanRule(period, max(_MIN_SHORTEST, period // 4), _MAX_KEY_FRAMES if is_shot else 1)


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A frame that a model colours, and the frames (half-open) of its shot, as far as known."""

    number: int
    first: int
    stop: int

    def serves(self, part: Part) -> bool:
        """Return whether a part has frames of its shot: colours never cross a cut."""
        return self.stop > part.first and (part.stop is None or self.first < part.stop)


def plan_key_frames(
    info: FilmInfo,
    part: Part,
    rule: SpanRule,
    index: FrameIndex | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[KeyFrame, ...]:
    """Return the key frames whose colours serve a part of a film, in order.

    They are the same whatever part is asked for. Reads the part's luma and some frames around it.
    `index`: the film's, if it has been read. `progress(done, total)`: called after every frame.
    """
    spans = find_spans(info, part, rule, index, progress)
    shots: list[list[Span]] = []
    for span in spans:
        # where all frames of a span are damaged, nothing is carried across it
        is_gap = not span.key_frames or not (shots and shots[-1][-1].key_frames)
        if span.is_cut or is_gap:
            shots.append([])
        shots[-1].append(span)
    return tuple(
        KeyFrame(number, shot[0].first, shot[-1].stop)
        for shot in shots
        for span in shot
        for number in span.key_frames
        if _may_serve(span, shot, part)
    )


def _may_serve(span: Span, shot: Sequence[Span], part: Part) -> bool:
    """Return whether a span overlaps a part, or is next to one of its shot that does."""
    place = shot.index(span)
    near = shot[max(0, place - 1) : place + 2]
    return any(s.stop > part.first and (part.stop is None or s.first < part.stop) for s in near)


class _ModelReference:
    """A key frame as a reference of its shot; its colours are computed when they are read.

    It has the attributes of `PlacedReference`, and those of `Reference`.
    """

    def __init__(self, key_frame: KeyFrame, colors: ModelColors) -> None:
        self.number, self.first, self.stop = key_frame.number, key_frame.first, key_frame.stop
        self._colors = colors

    @property
    def reference(self) -> "_ModelReference":
        return self

    @property
    def luma(self) -> Gray:
        return self._colors.of_frame(self.number).luma

    @property
    def guide(self) -> Gray:
        return halve(self.luma)

    @property
    def ab(self) -> FloatPlane:
        return self._colors.grade(self.number, self._colors.ab_of(self.number))

    @property
    def coverage(self) -> FloatPlane:
        return np.ones(self._colors.ab_of(self.number).shape[:2], np.float32)

    def holds(self, number: int) -> bool:
        return self.first <= number < self.stop


class KeyFrameGuide(Guide):
    """Gives anchors the colours of the key frames of their shot.

    Key frames are no anchors themselves: as such they would gain 0.6 dB, half of it in themselves,
    and cost 3 % of a run, and the colours would be less steady.
    """

    name = "model"

    def __init__(
        self,
        key_frames: Sequence[KeyFrame],
        colors: ModelColors,
        features_of: Callable[[Gray], FloatPlane],
    ) -> None:
        """Take key frames in order. `features_of`: features (h/8, w/8, C) of luma (h, w)."""
        references = [_ModelReference(key_frame, colors) for key_frame in key_frames]
        self._propagator = ReferencePropagator(references, features_of, num_neighbors=0)

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the colours that key frames have for them."""
        for frame in frames:
            if frame.tracked.source.chroma is not None:  # it keeps its own colours
                yield frame
            else:
                yield from self._propagator.propagate((frame,))


class EveryAnchorGuide(Guide):
    """Gives each anchor the colours that a model predicts for it."""

    name = "model"

    def __init__(self, colors: ModelColors) -> None:
        self._colors = colors

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the model's colours; they need no others."""
        for frame in frames:
            source = frame.tracked.source
            if not frame.tracked.is_anchor or frame.tracked.is_given:
                yield frame
            elif source.chroma is None:
                ab = self._colors.grade(source.number, self._colors.predict(source))
                yield replace(frame, ab=ab)
            elif frame.ab is None:  # it keeps its own colours
                neutral = np.zeros((*frame.tracked.guide.shape, 2), np.float32)
                yield replace(frame, ab=neutral)
            else:
                yield frame
