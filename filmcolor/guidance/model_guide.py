"""Carries the colours of a model through a film: it colours key frames, which serve as references.

A good model takes seconds for a picture, and its colours change from frame to frame. Here it sees
one frame of each shot or every few seconds, and `ReferencePropagator` carries their colours to the
anchors of that shot. Where something new enters, the colours of filmcolor's own network remain.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np

from filmcolor.color.upsampling import resize_ab
from filmcolor.errors import InputError, OutputError
from filmcolor.files import move_into_place, remedy_for
from filmcolor.guidance.anchor_settings import SHOT, seconds_between
from filmcolor.guidance.grading import Palette
from filmcolor.guidance.propagation import ReferencePropagator
from filmcolor.shots.key_frames import Span, SpanRule, find_spans
from filmcolor.temporal.anchors import AnchorRequests
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import FloatPlane, Gray, LumaFrame, PredictedFrame, ProxyFrame
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.proxy import downscale, halve, proxy_size

_SHOT_SECONDS = 8.0  # a longer shot is divided
_MAX_KEY_FRAMES = 3  # of such a part
_MIN_SHORTEST = 4  # frames of a span at an end of its shot
_NUM_HELD = 4  # key frames in memory: an anchor needs the one before it and the one after it


def span_rule(anchors: str, frame_rate: Fraction) -> SpanRule:
    """Return how a film is divided into spans whose key frames a model colours.

    `anchors`: SHOT, or a number of seconds.
    """
    is_shot = anchors == SHOT
    seconds = _SHOT_SECONDS if is_shot else seconds_between(anchors)
    period = max(1, round(seconds * float(frame_rate)))
    return SpanRule(period, max(_MIN_SHORTEST, period // 4), _MAX_KEY_FRAMES if is_shot else 1)


class Model(Protocol):
    """A colorizer of pictures; `network.onnx_model.OnnxColorizer` is one."""

    def input_size(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the (width, height) at which it takes a picture of a size."""

    def predict(self, gray: Gray, /) -> FloatPlane:
        """Return ab (h, w, 2), CIELAB, of an upright picture of 8-bit luma (H, W)."""


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


class ModelColors:
    """The colours that a model gives frames of one film, each computed when it is first needed.

    With a folder they are kept there, for the next process and for a resumed run.
    """

    def __init__(
        self,
        model: Model,
        info: FilmInfo,
        size: int,
        palette: Palette,
        index: FrameIndex | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take a film; `size`: short side of its proxies, pixels. `palette`: grades the colours."""
        self._model, self.info, self.index = model, info, index
        self._palette, self._folder = palette, folder
        self._reader = FrameReader(info, index)
        self._size = proxy_size(*info.display_size, size)
        self._held: dict[int, _Colored] = {}  # in order of use; a cache would keep films open

    def predict(self, frame: LumaFrame) -> FloatPlane:
        """Return the ab (h/2, w/2, 2) of a frame, at the size of its guide, graded."""
        turns = self.info.quarter_turns
        size = self.info.display_size[:: -1 if turns % 2 else 1]
        width, height = self._model.input_size(*map(round, size))
        coded_size = (height, width) if turns % 2 else (width, height)
        gray = downscale(frame.luma, coded_size, self.info.coding)
        ab = self._model.predict(np.ascontiguousarray(np.rot90(gray, turns)))
        ab = np.ascontiguousarray(np.rot90(ab, -turns))
        return resize_ab(ab, (self._size[0] // 2, self._size[1] // 2))

    def of_frame(self, number: int) -> "_Colored":
        """Return a frame by its number, with its colours, not graded."""
        colored = self._held.pop(number, None) or self._read(number)
        self._held[number] = colored
        if len(self._held) > _NUM_HELD:
            del self._held[next(iter(self._held))]
        return colored

    def ab_of(self, number: int) -> FloatPlane:
        """Return the ab (h/2, w/2, 2) of a frame by its number, not graded."""
        return self.of_frame(number).ab

    def grade(self, number: int, ab: FloatPlane) -> FloatPlane:
        """Return the ab of a frame, graded as its number asks for."""
        return self._palette.grade_of(number).apply(ab)

    def _read(self, number: int) -> "_Colored":
        path = None if self._folder is None else _path_of(self._folder, number)
        if path is None or not (kept := _load(path)):
            frame = self._reader.read(number)
            if frame is None:
                raise InputError(
                    f"{self.info.path}: frame {number} can no longer be decoded; has it changed?"
                )
            luma = downscale(frame.luma, self._size, self.info.coding)
            # half precision, also where nothing is kept: a resumed run must not differ
            kept = _Colored(luma, self.predict(frame).astype(np.float16).astype(np.float32))
            if path is not None and path.parent.is_dir():
                _save(path, kept)
        return kept


def is_kept(folder: Path, number: int) -> bool:
    """Return whether a folder keeps the colours of a frame."""
    return _path_of(folder, number).is_file()


def _path_of(folder: Path, number: int) -> Path:
    return folder / f"model-{number:06}.npz"


@dataclass(frozen=True, slots=True, eq=False)
class _Colored:
    """A key frame in colour."""

    luma: Gray  # (h, w), its proxy
    ab: FloatPlane  # (h/2, w/2, 2)


def _save(path: Path, colored: _Colored) -> None:
    """Write a key frame; processes that write the same one do not disturb each other."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, luma=colored.luma, ab=colored.ab.astype(np.float16))
        move_into_place(partial, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); {remedy_for(error)}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> _Colored | None:
    """Return a kept key frame, None without one."""
    errors = OSError, EOFError, ValueError, KeyError, BadZipFile
    with suppress(*errors), np.load(path, allow_pickle=False) as arrays:
        return _Colored(arrays["luma"], arrays["ab"].astype(np.float32))
    return None


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
        return np.ones(self.ab.shape[:2], np.float32)

    def holds(self, number: int) -> bool:
        return self.first <= number < self.stop


class KeyFrameGuide:
    """Gives anchors the colours of the key frames of their shot.

    Key frames are no anchors themselves: as such they would gain 0.6 dB, half of it in themselves,
    and cost 3 % of a run, and the colours would be less steady.
    """

    name = "model"
    anchor_requests: AnchorRequests | None = None

    def __init__(
        self,
        key_frames: Sequence[KeyFrame],
        colors: ModelColors,
        features_of: Callable[[Gray], FloatPlane],
    ) -> None:
        """Take key frames in order. `features_of`: features (h/8, w/8, C) of luma (h, w)."""
        references = [_ModelReference(key_frame, colors) for key_frame in key_frames]
        self._propagator = ReferencePropagator(references, features_of, num_neighbors=0)

    def watch_cuts(self, frames: Iterable[ProxyFrame]) -> Iterable[ProxyFrame]:
        """Return the frames: key frames have the cuts already."""
        return frames

    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames, anchors with the colours that key frames have for them."""
        for frame in frames:
            if frame.tracked.source.chroma is not None:  # it keeps its own colours
                yield frame
            else:
                yield from self._propagator.propagate((frame,))


class EveryAnchorGuide:
    """Gives each anchor the colours that a model predicts for it."""

    name = "model"
    anchor_requests: AnchorRequests | None = None

    def __init__(self, colors: ModelColors) -> None:
        self._colors = colors

    def watch_cuts(self, frames: Iterable[ProxyFrame]) -> Iterable[ProxyFrame]:
        """Return the frames."""
        return frames

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
