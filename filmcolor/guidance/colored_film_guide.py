"""Gives the anchors of a film the colours of films that are in colour already.

The frame that an anchor is (`colored_film`) and those of its neighbours, along the motion, are laid
over it: aligned by the films' placement, then by the optical flow of what is left, and counted as
far as their luma agrees. Other programs' colours flicker; the mean of five frames at an anchor in
every four, steadied over the window, is steadier and closer to the truth than one frame at each of
the network's anchors: on the ten DAVIS clips, with a flicker of 8 CIELAB units over their true
colours, 39.0 dB and a warp error of 0.38 instead of 35.1 dB and 0.56 (the film that flickers: 33.7
dB and 8.9). Frames that are matched one too late still give 37.4 dB, because of the flow.

Where a frame has no partner, or shows something else in a place (a title, a logo, damage), the
colours of its neighbours in time serve, and where those show it too, the network's.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from filmcolor.color.spaces import lab_from_rgb, rgb_from_ycc
from filmcolor.guidance.colored_film import ColoredFilm
from filmcolor.guidance.film_matching import NONE
from filmcolor.guidance.film_placement import coverage, detail, sample
from filmcolor.guidance.guides import Guide
from filmcolor.kernels import ops
from filmcolor.kernels.ops import WarpSource
from filmcolor.runtime.threads import num_decoder_threads
from filmcolor.temporal.anchors import AnchorRequests
from filmcolor.temporal.flow import FINE, find_tracked_flows
from filmcolor.types.frames import (
    FloatPlane,
    Gray,
    LumaFrame,
    Plane,
    PredictedFrame,
    TrackedFlow,
    TrackedFrame,
)
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.proxy import downscale, halve

_SPACING = 4  # frames from one anchor to the next
_REACH = 2  # frames before and after an anchor that add their colours
_NETWORK_WEIGHT = np.float32(0.05)  # of the network's colours, beside those of a frame that agrees
_NO_WEIGHT = np.float32(1e-4)  # of an anchor without colours: its neighbours' serve
_PER_SQUARE = -0.5 / 25.0**2  # of codes by which luma may differ
_EXPOSURE_STRIDE = 2  # pixels between those that measure the change of exposure
_MARGIN = 0.04  # of the picture, cropped in the coloured film: its border's colours go on
_MAX_CONTRAST = 2.0  # by which contrast is adjusted
_DETAIL_SIGMA = 3.0  # pixels
_MIN_CORRELATION = 0.3  # of the detail of two frames that show the same
_MIN_DETAIL = 0.7  # length; a frame with less is blank


class ColoredFilmGuide(Guide):
    """Gives anchors the colours of coloured films, the first of them that has their frame."""

    name = "coloured film"

    def __init__(self, films: Sequence[ColoredFilm]) -> None:
        """Take films that are matched with the film whose frames come."""
        self._films = [_Overlay(film) for film in films]
        self._placed: dict[int, FloatPlane | None] = {}  # by number of the film's frame

    @property
    def anchor_requests(self) -> AnchorRequests:
        """An anchor every few frames that have colours."""
        return AnchorRequests(
            is_reference=lambda _: False,
            has_references=lambda _: False,
            is_given=lambda number: number % _SPACING == 0 and self._overlay(number) is not None,
        )

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the colours that coloured films have for them."""
        past: deque[TrackedFrame] = deque(maxlen=_REACH)
        ahead: deque[PredictedFrame] = deque()
        for frame in frames:
            ahead.append(frame)
            if len(ahead) > _REACH:
                yield self._next(past, ahead)
        while ahead:
            yield self._next(past, ahead)

    def _next(self, past: deque[TrackedFrame], ahead: deque[PredictedFrame]) -> PredictedFrame:
        """Return the first frame ahead with its colours, and move it to the past."""
        frame = ahead.popleft()
        if frame.tracked.is_anchor:
            near = [*_before(frame.tracked, past), *_after([f.tracked for f in ahead])]
            frame = self._guide(frame, near)
        past.append(frame.tracked)
        oldest = past[0].source.number
        self._placed = {n: placed for n, placed in self._placed.items() if n >= oldest}
        return frame

    def _guide(
        self, predicted: PredictedFrame, near: Sequence[tuple[TrackedFrame, TrackedFlow]]
    ) -> PredictedFrame:
        """Return an anchor with its colours. `near`: frames around it, and the flows to them."""
        frame = predicted.tracked
        flows = {other.source.number: (other, flow) for other, flow in near}
        total = np.zeros((*frame.guide.shape, 4), np.float32)
        own = frame.source.number
        for number in sorted([*flows, own]):  # a film is read in order
            other, flow = flows.get(number, (frame, None))
            placed = self._place(other)
            if placed is None:
                continue
            if flow is None:
                total += placed
            else:
                weight = _weight(other.coarse, flow, frame.coarse)
                ops.accumulate_warped(total, WarpSource(placed, flow, weight))
        weight = cv2.extractChannel(total, 3)
        colors = total[..., :2]
        if predicted.ab is None:
            ab = colors / np.maximum(weight, _NO_WEIGHT)[..., None]
            confidence = np.minimum(weight, 1.0) + _NO_WEIGHT
        else:
            base = np.full_like(weight, _NETWORK_WEIGHT)
            if predicted.confidence is not None:
                base *= predicted.confidence
            ab = (colors + predicted.ab * base[..., None]) / (weight + base)[..., None]
            confidence = np.minimum(weight, 1.0) + base
        # a dissolve's colours are given too: those of its neighbours are not better
        pinned = np.minimum(weight, 1.0) if frame.is_mixture else predicted.pinned
        return replace(predicted, ab=ab, confidence=confidence, pinned=pinned)

    def _overlay(self, number: int) -> "_Overlay | None":
        """Return the first coloured film that has a frame."""
        return next((f for f in self._films if f.film.frame_of(number) != NONE), None)

    def _place(self, frame: TrackedFrame) -> FloatPlane | None:
        """Return a, b, 0 and 1 (h, w, 4) for a frame, each times its weight; None without any."""
        number = frame.source.number
        if number not in self._placed:
            overlay = self._overlay(number)
            self._placed[number] = None if overlay is None else overlay.place(frame)
        return self._placed[number]


class _Overlay:
    """A coloured film whose frames are laid over those of another, in order."""

    def __init__(self, film: ColoredFilm) -> None:
        self.film = film
        num_threads = num_decoder_threads(film.info.bytes_per_frame)
        self._reader = FrameReader(film.info, film.index, num_threads=num_threads, with_chroma=True)
        self._planes: tuple[int, FloatPlane] | None = None  # the last, by frame number
        self._coverage: FloatPlane | None = None  # (h, w)

    def place(self, frame: TrackedFrame) -> FloatPlane | None:
        """Return a, b, 0 and 1 (h, w, 4), each times its weight, laid over a frame."""
        number = self.film.frame_of(frame.source.number)
        size = frame.guide.shape[1], frame.guide.shape[0]
        if self._planes is None or self._planes[0] != number:
            source = self._reader.read(number)
            if source is None:
                return None
            self._planes = number, self._lay(source, size)
        luma, payload = self._planes[1][..., 0], self._planes[1][..., 1:]
        coarse = _match_contrast(halve(luma), frame.coarse)
        if not _shows_the_same(frame.coarse, coarse):
            return None
        flow, _ = find_tracked_flows(frame.coarse, coarse, FINE)
        placed = np.zeros((*frame.guide.shape, 4), np.float32)
        weight = _weight(coarse, flow, frame.coarse)
        ops.accumulate_warped(placed, WarpSource(payload.copy(), flow, weight))
        return placed

    def _lay(self, source: LumaFrame, size: tuple[int, int]) -> FloatPlane:
        """Return luma, and a, b, 0 and 1 (h, w, 5), as far as the picture covers the film's."""
        assert source.chroma is not None
        coding, matrix = self.film.info.coding, self.film.placement
        # pixels of about the size that the film's have
        own = [max(8, round(1.0 / float(np.abs(row[:2] / size).sum()))) for row in matrix]
        own_size = own[0], own[1]
        gray = downscale(source.luma, own_size, coding)
        cb, cr = (
            (_shrink(plane, own_size) - coding.chroma_offset) / np.float32(coding.chroma_scale)
            for plane in source.chroma
        )
        luma = gray.astype(np.float32)
        channels = rgb_from_ycc(luma * np.float32(1.0 / 255.0), cb, cr, coding)
        _, a, b = lab_from_rgb(*(np.clip(c, 0.0, 1.0).astype(np.float32) for c in channels))
        laid = sample(cv2.merge([luma, a, b]), matrix, size)
        if self._coverage is None:
            self._coverage = coverage(matrix, size, _MARGIN)
        covered = self._coverage
        none = np.zeros_like(covered)
        luma, a, b = cv2.split(laid)
        return cv2.merge([luma, a * covered, b * covered, none, covered])


def _before(
    frame: TrackedFrame, past: Iterable[TrackedFrame]
) -> Iterator[tuple[TrackedFrame, TrackedFlow]]:
    """Yield the frames of an anchor's shot before it, the nearest first, and the flows to them."""
    flow, hop = None, frame.backward
    for other in reversed(list(past)):
        if hop is None:
            return  # a cut
        flow = hop if flow is None else ops.compose(flow, hop)
        yield other, flow
        hop = other.backward


def _after(ahead: Iterable[TrackedFrame]) -> Iterator[tuple[TrackedFrame, TrackedFlow]]:
    """Yield the frames of an anchor's shot after it, and the flows to them."""
    flow = None
    for other in ahead:
        if other.forward is None:
            return
        flow = other.forward if flow is None else ops.compose(flow, other.forward)
        yield other, flow


def _match_contrast(luma: FloatPlane, wanted: Gray) -> Gray:
    """Return luma (h, w) with the mean and the contrast of another picture's, as 8 bits."""
    mean, deviation = float(luma.mean()), float(luma.std())
    gain = float(wanted.std()) / max(deviation, 1e-3)
    gain = min(max(gain, 1.0 / _MAX_CONTRAST), _MAX_CONTRAST)
    adjusted = (luma - mean) * gain + float(wanted.mean())
    return np.rint(adjusted).clip(0, 255).astype(np.uint8)


def _shows_the_same(first: Gray, second: Gray) -> bool:
    """Return whether two frames (h, w) may show the same; a blank one looks like any."""
    details = [detail(p.astype(np.float32), _DETAIL_SIGMA) for p in (first, second)]
    if np.linalg.norm(details[0]) < _MIN_DETAIL:
        return True
    return float(np.vdot(*details)) >= _MIN_CORRELATION


def _weight(source: Gray, flow: TrackedFlow, luma: Gray) -> FloatPlane:
    """Return the weight, 0 to 1 (h, w), of what a frame warps from a source frame."""
    return ops.warp_weight(source, flow, luma, _PER_SQUARE, _EXPOSURE_STRIDE)


def _shrink(plane: Plane, size: tuple[int, int]) -> FloatPlane:
    """Return a plane at a size (width, height)."""
    values = np.ascontiguousarray(plane)
    while values.shape[1] >= 2 * size[0] and values.shape[0] >= 2 * size[1]:
        values = halve(values)
    shrunk: FloatPlane = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return shrunk
